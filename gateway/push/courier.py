"""Carries state changes to push subscriptions (RFC 8620 section 7.2): one task for each that is verified.

Rule 1: what is not delivered is kept as newest states, so that trouble ends with one message.
Rule 2: how far a subscription has been told is durable: after a restart it hears once of what it missed.
Rule 3: nothing is sent to a subscription that is not verified, but the one message that verifies it.
Rule 4: a service that has trouble or says "slower" costs its own subscriptions a wait, and nobody else anything.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from gateway.account.account import Account
from gateway.account.records import Need
from gateway.jmap.encode import encode
from gateway.jmap.errors import MethodError
from gateway.push.bus import Bus, Changed, Listener
from gateway.push.encryption import MAX_PLAIN_OCTETS
from gateway.push.post import Answer, Outcome, Poster, Target
from gateway.push.state_change import state_change
from gateway.store import PushRecord
from gateway.store.api import PushStore

log = logging.getLogger(__name__)

# Opens the accounts of an owner. None: the gateway has no credentials; `Courier.logged_in` tells when that may change.
AccountsOf = Callable[[str], Awaitable[Mapping[str, Account] | None]]
OnPush = Callable[[str], None]  # (delivered | gone | later | slower | refused), for the metrics

SPACING_S = 1.0  # between two messages to one device: a burst of mail is one
RETRY_FIRST_S = 2.0
RETRY_LIMIT_S = 1800.0
REFUSED_WAIT_S = 300.0  # a message that is never taken: perhaps the next one is
SLOWER_FACTOR = 4.0  # of the spacing, for each "too many requests"
SPACING_LIMIT_S = 3600.0
VERIFY_WAITS_S = (2.0, 10.0, 60.0)  # between attempts to verify: the device is there now
FRESHEN_S = 60.0  # to learn what was missed while the gateway was away, so that it is told with the rest
OPEN_RETRY_S = 30.0
NO_CREDENTIALS_S = 600.0


class Courier:
    """All deliveries. `start()` with what the store holds, `aclose()` at the end."""

    def __init__(
        self,
        *,
        store: PushStore,
        bus: Bus,
        poster: Poster,
        accounts_of: AccountsOf,
        gone: Callable[[PushRecord], Awaitable[None]],
        on_push: OnPush = lambda _answer: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`gone` is told of a subscription that its push service does not know any more, or that has expired."""
        self._store, self._bus, self._poster = store, bus, poster
        self._accounts_of, self._gone, self._on_push, self._clock = accounts_of, gone, on_push, clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._owners: dict[str, str] = {}  # of those that have a task
        self._logins: dict[str, asyncio.Event] = {}

    async def begin(self, owner: str) -> int:
        """Go on with the subscriptions of one owner; return how many there are."""
        records = await self._store.subscriptions(owner)
        for record in records:
            self.serve(record)
        return len(records)

    async def end(self, owner: str) -> None:
        """Leave the subscriptions of one owner to somebody else."""
        ids = [id for id, one in self._owners.items() if one == owner]
        tasks = [task for id in ids if (task := self._tasks.get(id)) is not None]
        for id in ids:
            self.stop(id)
        await asyncio.gather(*tasks, return_exceptions=True)

    def is_serving(self, owner: str) -> bool:
        """Tell whether an owner has subscriptions that are served here."""
        return owner in self._owners.values()

    async def aclose(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def serve(self, record: PushRecord) -> None:
        """Deliver to this subscription from now on, as it is now; only wait for its end while it is not verified."""
        self._begin(record, self._serve(record))

    def verify(self, record: PushRecord) -> None:
        """Send the verification code, and watch the expiry."""
        self._begin(record, self._verify(record))

    def stop(self, id: str) -> None:
        """Send nothing more to this subscription."""
        task = self._tasks.pop(id, None)
        self._owners.pop(id, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def logged_in(self, owner: str) -> None:
        """Somebody has brought this owner's credentials."""
        event = self._logins.get(owner)
        if event is not None:
            event.set()

    def count(self) -> int:
        return len(self._tasks)

    def _begin(self, record: PushRecord, work: Coroutine[Any, Any, None]) -> None:
        self.stop(record.id)
        task = self._tasks[record.id] = asyncio.create_task(work, name=f"push {record.id}")
        self._owners[record.id] = record.owner
        task.add_done_callback(lambda done: self._ended(record.id, done))

    def _ended(self, id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(id) is task:
            del self._tasks[id]
            self._owners.pop(id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("push ended", exc_info=error)

    # ------------------------------------------------------------ one subscription

    async def _serve(self, record: PushRecord) -> None:
        if await self._until_expiry(record, self._deliver_for_ever(record) if record.is_verified else _for_ever()):
            await self._gone(record)

    async def _verify(self, record: PushRecord) -> None:
        if await self._until_expiry(record, self._send_code(record)):
            await self._gone(record)

    async def _until_expiry(self, record: PushRecord, work: Coroutine[Any, Any, bool]) -> bool:
        """Run `work`; return whether the subscription is at its end, by what it returns or by its expiry."""
        expiry = asyncio.timeout(max(record.expires_at_s - self._clock(), 0))
        try:
            async with expiry:
                return await work
        except TimeoutError:
            if not expiry.expired():
                raise
            return True

    async def _send_code(self, record: PushRecord) -> bool:
        """Send the verification code; try again only where the service could not be asked (RFC 9749 section 6)."""
        body = encode({"@type": "PushVerification", "pushSubscriptionId": record.id, "verificationCode": record.code})
        for wait_s in (*VERIFY_WAITS_S, None):
            outcome = await self._post(record, body, "high", None)
            if outcome.answer is Answer.GONE:
                return True
            if outcome.answer in (Answer.DELIVERED, Answer.REFUSED) or wait_s is None:
                break
            await asyncio.sleep(max(wait_s, outcome.retry_after_s or 0))
        return await _for_ever()

    async def _deliver_for_ever(self, record: PushRecord) -> bool:
        accounts = await self._accounts(record.owner)
        types = None if record.types is None else frozenset(record.types)
        async with self._bus.listen(accounts, types) as listener:
            if record.position:
                await _freshen(accounts.values())
                listener.catch_up(record.position)
            else:
                record = await self._told(record, listener.position)
            return await self._deliver(record, listener)

    async def _accounts(self, owner: str) -> Mapping[str, Account]:
        """Open the owner's accounts, however long that takes."""
        while True:
            event = self._logins.setdefault(owner, asyncio.Event())
            event.clear()
            wait_s = OPEN_RETRY_S
            try:
                accounts = await self._accounts_of(owner)
                if accounts is not None:
                    return accounts
                wait_s = NO_CREDENTIALS_S
            except (MethodError, OSError) as error:
                log.info("push waits for its account", extra={"account": owner, "error": type(error).__name__})
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s * random.uniform(0.8, 1.2)):
                    await event.wait()

    async def _deliver(self, record: PushRecord, listener: Listener) -> bool:
        """Post what the listener tells, until the push service does not know the subscription any more."""
        spacing_s, failures = SPACING_S, 0
        while True:
            changed = await listener.next()
            position = listener.position
            outcome = await self._post_all(record, changed)
            match outcome.answer:
                case Answer.DELIVERED:
                    record = await self._told(record, position)
                    spacing_s, failures = max(SPACING_S, spacing_s / 2), 0
                    wait_s = spacing_s
                case Answer.GONE:
                    return True
                case Answer.SLOWER:
                    spacing_s = min(spacing_s * SLOWER_FACTOR, SPACING_LIMIT_S)
                    wait_s = max(spacing_s, outcome.retry_after_s or 0)
                case Answer.REFUSED:
                    wait_s = REFUSED_WAIT_S
                case Answer.LATER:
                    failures += 1
                    wait_s = min(RETRY_FIRST_S * 2 ** min(failures - 1, 20), RETRY_LIMIT_S) * random.uniform(0.5, 1)
                    wait_s = max(wait_s, outcome.retry_after_s or 0)
            if outcome.answer is not Answer.DELIVERED:
                listener.put_back(changed)
            await asyncio.sleep(wait_s)

    async def _post_all(self, record: PushRecord, changed: Changed) -> Outcome:
        outcome = Outcome(Answer.DELIVERED)
        for part in split(changed):
            outcome = await self._post(record, state_change(part), "normal", topic(part))
            if outcome.answer is not Answer.DELIVERED:
                break
        return outcome

    async def _post(self, record: PushRecord, body: bytes, urgency: Any, topic: str | None) -> Outcome:
        target = Target(record.url, record.p256dh, record.auth)
        outcome = await self._poster.post(target, body, urgency=urgency, topic=topic)
        self._on_push(outcome.answer.value)
        if outcome.answer is not Answer.DELIVERED:
            fields = {"subscription": record.id, "answer": outcome.answer.value, "detail": outcome.detail}
            log.info("push was not delivered", extra=fields)
        return outcome

    async def _told(self, record: PushRecord, position: str) -> PushRecord:
        await self._store.put_position(record.owner, record.id, position)
        return replace(record, position=position)


def split(changed: Changed) -> Sequence[Changed]:
    """Return the change in parts that fit a message each: at least one account in each."""
    parts: list[Changed] = [{}]
    for account_id, states in changed.items():
        if parts[-1] and len(state_change(parts[-1] | {account_id: states})) > MAX_PLAIN_OCTETS:
            parts.append({})
        parts[-1][account_id] = states
    return parts


def topic(changed: Changed) -> str:
    """Return the topic of a message (RFC 8030 section 5.4).

    A push service lets a later message replace an earlier one of the same topic, so it names which types of which
    accounts are told: what is replaced is then told by what replaces it.
    """
    names = "\n".join(sorted(f"{account_id} {type}" for account_id, states in changed.items() for type in states))
    return urlsafe_b64encode(blake2b(names.encode(), digest_size=18).digest()).decode("ascii")


async def _freshen(accounts: Any) -> None:
    """Look upstream, so that what was missed is told at once; an upstream that is away is watched from now on."""
    with suppress(MethodError, TimeoutError):
        async with asyncio.timeout(FRESHEN_S), asyncio.TaskGroup() as group:
            for account in accounts:
                group.create_task(_fresh(account))


async def _fresh(account: Account) -> None:
    with suppress(MethodError):
        await account.fresh(Need(known=True))


async def _for_ever() -> bool:
    await asyncio.Event().wait()
    return False
