"""Deliveries to devices: a real account, a real push service, and time that passes quickly."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.account.account import Account
from gateway.jmap.errors import MethodError
from gateway.push import courier as courier_module
from gateway.push.bus import Bus
from gateway.push.courier import Courier, split, topic
from gateway.push.encryption import MAX_PLAIN_OCTETS
from gateway.push.guard import Guard
from gateway.push.post import Poster
from gateway.push.state_change import state_change
from gateway.push.subscriptions import Subscriptions
from gateway.push.vapid import Vapid
from gateway.store import PushRecord, SqliteStore
from tests.push.accounts import deliver, opened, rename, state, watchers
from tests.push.service import PushService, push_service

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1")]
QUIET_S = 0.5


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "SPACING_S": 0.05,
        "RETRY_FIRST_S": 0.05,
        "REFUSED_WAIT_S": 0.2,
        "VERIFY_WAITS_S": (0.05, 0.05),
        "OPEN_RETRY_S": 0.05,
    }.items():
        monkeypatch.setattr(courier_module, name, seconds)


class Place:
    """An account A1 of the owner a1, its push service, and a gateway's push side that can be started again."""

    account: Account
    service: PushService
    store: SqliteStore

    def __init__(self) -> None:
        self.is_open = True
        self.fault: Exception | None = None
        self.asked = 0
        self.answers: list[str] = []

    async def accounts_of(self, owner: str) -> Mapping[str, Account] | None:
        assert owner == "a1"
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return {"A1": self.account} if self.is_open else None

    @asynccontextmanager
    async def pushing(self) -> AsyncIterator[Subscriptions]:
        """Run the push side."""
        guard = Guard(LOOPBACK)
        poster = Poster(guard, Vapid(b"k" * 32), self.service.ca_file)
        subscriptions = Subscriptions(self.store, guard)
        courier = subscriptions.courier = Courier(
            store=self.store,
            bus=Bus(),
            poster=poster,
            accounts_of=self.accounts_of,
            gone=subscriptions.end,
            on_push=self.answers.append,
        )
        for owner in {record.owner for record in await self.store.subscriptions()}:
            await courier.begin(owner)
        try:
            yield subscriptions
        finally:
            await courier.aclose()
            await poster.aclose()

    async def subscribed(self, subscriptions: Subscriptions, **properties: Any) -> PushRecord:
        """Make a subscription and verify it."""
        record = await self.made(subscriptions, **properties)
        code = (await self.service.next()).value["verificationCode"]
        verified = await subscriptions.update("a1", record.id, {"verification_code": code})
        await self.settled()
        return verified

    async def made(self, subscriptions: Subscriptions, **properties: Any) -> PushRecord:
        device = self.service.device
        given = {"keys": (device.p256dh, device.auth), "expires_at_s": None, "types": None} | properties
        return await subscriptions.create("a1", device_client_id="d", url=f"{self.service.url}/d", **given)

    async def settled(self) -> None:
        async with asyncio.timeout(5):
            while not watchers(self.account):  # noqa: ASYNC110  # nobody tells a test
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)

    async def quiet(self) -> None:
        with pytest.raises(TimeoutError):
            await self.service.next(QUIET_S)

    async def next(self) -> dict[str, str]:
        """Return the states that the next message tells."""
        pushed = await self.service.next()
        assert pushed.value["@type"] == "StateChange"
        states: dict[str, str] = pushed.value["changed"]["A1"]
        return states


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place()
    async with AsyncExitStack() as stack:
        made.service = await stack.enter_async_context(push_service(tmp_path))
        made.account = await stack.enter_async_context(opened(tmp_path / "a.db"))
        made.store = await SqliteStore.open(tmp_path / "store")
        yield made
        await made.store.close()


async def test_the_code_is_sent_at_once_and_nothing_else(place: Place) -> None:
    """Until it is verified a subscription hears of nothing, and nothing is watched for it."""
    async with place.pushing() as subscriptions:
        record = await place.made(subscriptions)
        assert (await place.service.next()).value == {
            "@type": "PushVerification",
            "pushSubscriptionId": record.id,
            "verificationCode": record.code,
        }
        await deliver(place.account, 1)
        await place.quiet()
        assert (place.asked, watchers(place.account)) == (0, 0)


async def test_a_verified_subscription_hears_what_changes(place: Place) -> None:
    """From then on, and not what was there before."""
    await deliver(place.account, 1)
    async with place.pushing() as subscriptions:
        await place.subscribed(subscriptions)
        await place.quiet()
        await rename(place.account, "Other")
        assert await place.next() == {"Mailbox": state(place.account, "Mailbox")}
    assert watchers(place.account) == 0


async def test_only_its_types_are_told(place: Place) -> None:
    """And changing them takes effect."""
    async with place.pushing() as subscriptions:
        record = await place.subscribed(subscriptions, types=("Email",))
        await rename(place.account, "Other")
        await place.quiet()
        await deliver(place.account, 1)
        assert set(await place.next()) == {"Email"}
        await subscriptions.update("a1", record.id, {"types": ("Thread",)})
        await asyncio.sleep(0.2)
        while not place.service.pushed.empty():  # Thread has changed since it was told last: never
            place.service.pushed.get_nowait()
        await deliver(place.account, 2)
        assert set(await place.next()) == {"Thread"}


async def test_a_burst_is_a_few_messages(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first goes at once; what comes in the pause after it goes together."""
    monkeypatch.setattr(courier_module, "SPACING_S", 0.5)
    async with place.pushing() as subscriptions:
        await place.subscribed(subscriptions)
        for uid in range(1, 21):
            await deliver(place.account, uid)
            await asyncio.sleep(0.01)
        await place.next()
        assert (await place.next())["Email"] == state(place.account, "Email")
        await place.quiet()


async def test_trouble_ends_with_one_message(place: Place) -> None:
    """A service that fails is tried again, with the newest states."""
    async with place.pushing() as subscriptions:
        await place.subscribed(subscriptions)
        place.service.answers = [(503, {}), (500, {}), (502, {})]
        await deliver(place.account, 1)
        await place.next()
        await rename(place.account, "Other")
        for _ in range(2):
            await place.next()
        last = await place.next()
        assert last["Mailbox"] == state(place.account, "Mailbox")
        assert last["Email"] == state(place.account, "Email")
        await place.quiet()
        assert place.answers[-4:] == ["later", "later", "later", "delivered"]


@pytest.mark.parametrize("status", [404, 410])
async def test_a_subscription_that_the_service_does_not_know_is_erased(place: Place, status: int) -> None:
    """It is not called again, and the account is not watched for it any more."""
    async with place.pushing() as subscriptions:
        await place.subscribed(subscriptions)
        place.service.answers = [(status, {})]
        await deliver(place.account, 1)
        await place.next()
        async with asyncio.timeout(5):
            while await subscriptions.of("a1"):  # noqa: ASYNC110  # nobody tells a test
                await asyncio.sleep(0.01)
        await deliver(place.account, 2)
        await place.quiet()
        assert watchers(place.account) == 0


async def test_too_many_requests_slow_it_down(place: Place) -> None:
    """At least as long as Retry-After says; then once, with the newest."""
    async with place.pushing() as subscriptions:
        await place.subscribed(subscriptions)
        place.service.answers = [(429, {"Retry-After": "1"})]
        await deliver(place.account, 1)
        await place.next()
        began = time.monotonic()
        await deliver(place.account, 2)
        assert (await place.next())["Email"] == state(place.account, "Email")
        assert time.monotonic() - began > 0.9
        await place.quiet()


async def test_a_message_that_is_refused_waits_for_the_next(place: Place) -> None:
    """403 or a redirect says nothing of the subscription; it is not hammered."""
    async with place.pushing() as subscriptions:
        await place.subscribed(subscriptions)
        place.service.answers = [(403, {})]
        await deliver(place.account, 1)
        await place.next()
        began = time.monotonic()
        await place.next()
        assert time.monotonic() - began > 0.15
        assert len(await subscriptions.of("a1")) == 1


async def test_a_verification_is_tried_again_only_where_the_service_had_trouble(place: Place) -> None:
    """One that was rejected is not sent again (RFC 9749 section 6)."""
    async with place.pushing() as subscriptions:
        place.service.answers = [(503, {}), (503, {})]
        await place.made(subscriptions)
        for _ in range(3):
            assert (await place.service.next()).value["@type"] == "PushVerification"
        await place.quiet()
        place.service.answers = [(403, {})]
        await place.made(subscriptions)
        await place.service.next()
        await place.quiet()


async def test_after_a_restart_it_hears_once_of_what_it_missed(place: Place) -> None:
    """And if nothing was missed, of nothing."""
    async with place.pushing() as subscriptions:
        await place.subscribed(subscriptions)
        await deliver(place.account, 1)
        await place.next()
        await asyncio.sleep(0.1)  # told, and written down
    async with place.pushing():
        await place.quiet()
    await deliver(place.account, 2)
    await rename(place.account, "Other")
    async with place.pushing():
        missed = await place.next()
        assert missed["Email"] == state(place.account, "Email")
        assert missed["Mailbox"] == state(place.account, "Mailbox")
        await place.quiet()


async def test_what_was_not_delivered_before_the_end_is_told_after_it(place: Place) -> None:
    """Only what the service has taken counts as told."""
    async with place.pushing() as subscriptions:
        await place.subscribed(subscriptions)
        place.service.answers = [(503, {})] * 1000
        await deliver(place.account, 1)
        await place.next()
    place.service.answers = []
    while not place.service.pushed.empty():
        place.service.pushed.get_nowait()
    async with place.pushing():
        assert (await place.next())["Email"] == state(place.account, "Email")


async def test_an_account_that_cannot_be_opened_is_tried_again(place: Place) -> None:
    """An index on a full disk, an upstream that is unknown now: the subscription waits."""
    async with place.pushing() as subscriptions:
        record = await place.made(subscriptions)
        await place.service.next()
        place.fault = MethodError("serverUnavailable")
        await subscriptions.update("a1", record.id, {"verification_code": record.code})
        await asyncio.sleep(0.3)
        assert place.asked > 1
        place.fault = None
        await place.settled()


async def test_without_credentials_it_waits_for_a_login(place: Place) -> None:
    """Nobody is asked again and again; whoever logs in brings them."""
    async with place.pushing() as subscriptions:
        record = await place.made(subscriptions)
        await place.service.next()
        place.is_open = False
        await subscriptions.update("a1", record.id, {"verification_code": record.code})
        await asyncio.sleep(0.3)
        assert place.asked == 1
        place.is_open = True
        assert subscriptions.courier is not None
        subscriptions.courier.logged_in("a1")
        await place.settled()


async def test_it_ends_when_it_expires(place: Place) -> None:
    """To the second: nothing is sent after, and it is erased."""
    async with place.pushing() as subscriptions:
        await place.subscribed(subscriptions, expires_at_s=time.time() + 2)
        await deliver(place.account, 1)
        await place.next()
        await asyncio.sleep(2)
        assert await place.store.subscriptions() == []
        await deliver(place.account, 2)
        await place.quiet()


async def test_a_destroyed_one_hears_nothing(place: Place) -> None:
    """From the answer on."""
    async with place.pushing() as subscriptions:
        record = await place.subscribed(subscriptions)
        await subscriptions.destroy("a1", record.id)
        await deliver(place.account, 1)
        await place.quiet()


async def test_one_service_in_trouble_delays_no_other(place: Place) -> None:
    """Each subscription has its own waits."""
    async with place.pushing() as subscriptions:
        await place.subscribed(subscriptions)
        device = place.service.device
        dead = "https://127.0.0.1:9999/x"
        record = await subscriptions.create(
            "a1",
            device_client_id="dead",
            url=dead,
            keys=(device.p256dh, device.auth),
            expires_at_s=None,
            types=None,
        )
        await subscriptions.update("a1", record.id, {"verification_code": record.code})
        await asyncio.sleep(0.1)
        for uid in range(1, 4):
            await deliver(place.account, uid)
            assert (await place.next())["Email"] == state(place.account, "Email")


def test_a_change_of_many_accounts_is_split() -> None:
    """Into messages that a push service takes; nothing is lost, nothing told twice."""
    changed = {f"account{n:060}": {"Email": "abcdef012345-123456", "Mailbox": "abcdef012345-1"} for n in range(200)}
    parts = split(changed)
    assert len(parts) > 1
    assert all(len(state_change(part)) <= MAX_PLAIN_OCTETS for part in parts)
    assert {id: states for part in parts for id, states in part.items()} == changed


def test_a_topic_names_what_is_told() -> None:
    """The same types of the same accounts replace each other at the service; others do not (RFC 8030 section 5.4)."""
    one = topic({"a": {"Email": "1", "Mailbox": "1"}})
    assert one == topic({"a": {"Mailbox": "2", "Email": "7"}})
    assert one != topic({"a": {"Email": "1"}})
    assert one != topic({"b": {"Email": "1", "Mailbox": "1"}})
    assert len(one) <= 32
    assert all(c.isalnum() or c in "-_" for c in one)
