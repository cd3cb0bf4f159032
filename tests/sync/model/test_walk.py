"""Whatever happens, a client that only ever follows changes ends with exactly what is there. On every tier.

A seeded random walk: two IMAP clients and JMAP methods change mail and mailboxes, connections are cut, the gateway is
restarted, watchers come and go; two JMAP clients follow at their own pace. `make soak` walks for 10,000 steps;
SEED and STEPS (of a tier) choose another walk.
"""

from __future__ import annotations

import asyncio
import imaplib
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from gateway.account.account import Account
from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.errors import MethodError
from tests.sync.conftest import OpenAccount
from tests.sync.model.follower import Follower
from tests.sync.test_equal import Other
from tests.upstreams import dovecot as dovecot_server
from tests.upstreams.fixtures import running
from tests.upstreams.upstream import Upstream, quoted

SOAK = bool(os.environ.get("SOAK"))
STEPS = int(os.environ.get("STEPS", 0)) or (2_500 if SOAK else 40)  # a tier: 10,000 in all in the soak
SEED = int(os.environ.get("SEED", "4"))
CHECK_EVERY = 20
PATIENCE_S = 30.0  # with what a cut connection has cost

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(7200 if SOAK else 300)]


@pytest.fixture(scope="session")
def dovecot_condstore(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Dovecot that advertises CONDSTORE and no QRESYNC."""
    with running(
        request, "dovecot-condstore", "dovecot", lambda place: dovecot_server.start(place, "condstore")
    ) as server:
        yield server


class ImapClient(Other):
    """An IMAP client that has to live with another one: what it wanted to touch may be gone."""

    def try_step(self) -> None:
        try:
            self.step()
        except (AssertionError, imaplib.IMAP4.error, OSError):
            self._reconnect()  # a mailbox deleted under us may cost the connection
            self.mailboxes = ["INBOX", *self._others()]

    def _reconnect(self) -> None:
        """Connect anew. The old connection goes first: Dovecot lets a login have ten.

        A gateway restarted just now had four, and has four. Where Dovecot's processes have not noticed yet that
        connections are gone, as on a loaded machine, the next one is refused for a moment, whoever wants it.
        """
        self.imap.shutdown()
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.imap = self.upstream.imap(self.login)
            except (imaplib.IMAP4.error, OSError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    @property
    def login(self) -> str:
        return self._login

    def __init__(self, upstream: Upstream, login: str, seed: int) -> None:
        super().__init__(upstream, login, seed)
        self._login = login
        self.serial = seed * 100_000  # names and dates of its own

    def _others(self) -> list[str]:
        lines = self.imap.list('""', quoted(f"{self.upstream.prefix}*"))[1]
        names = [line.decode().rpartition(" ")[2].strip('"') for line in lines if isinstance(line, bytes)]
        return [name for name in names if "box" in name or "renamed" in name]


class Walk:
    """One account and everybody who changes or follows it."""

    def __init__(
        self, upstream: Upstream, login: str, open_account: OpenAccount, seed: int, *, looks_once: bool
    ) -> None:
        self.upstream, self.login, self._open, self.looks_once = upstream, login, open_account, looks_once
        self.random = random.Random(seed)
        self.imap_clients = [ImapClient(upstream, login, seed * 10 + number) for number in (1, 2)]
        self.followers: list[Follower] = []
        self.trail: list[str] = []
        self._stop_watching: Callable[[], None] | None = None
        self._serial = 0

    async def start(self) -> None:
        self.account = await self._opened()
        self.followers = [self._follower(seed) for seed in (1, 2)]
        for follower in self.followers:
            await self._persist(follower.start)

    def _follower(self, seed: int) -> Follower:
        return Follower(self.account, seed, looks_once=self.looks_once)

    async def _opened(self) -> Account:
        account = await self._open(self.upstream, self.login)
        account.capabilities = {CORE: {}, MAIL: {}}
        return account

    async def step(self) -> None:
        """Do one thing."""
        choices: list[tuple[int, Callable[[], Awaitable[object]]]] = [
            (12, self.change_by_imap),
            (8, self.change_by_jmap),
            (5, self.follow),
            (2, self.cut),
            (1, self.restart),
            (1, self.watch_or_not),
        ]
        (act,) = self.random.choices([act for _, act in choices], [weight for weight, _ in choices])
        self.trail.append(act.__name__)
        await act()

    async def check(self) -> None:
        for follower in self.followers:
            await self._persist(follower.follow)
        for follower in self.followers:  # again: a first time may have begun what was not complete then
            await follower.follow()
        truth = self._follower(0)
        await truth.start()
        for follower in self.followers:
            follower.check(truth)

    # ------------------------------------------------------------ what may happen

    async def change_by_imap(self) -> None:
        # In a thread, so that what the gateway does in the background goes on meanwhile.
        await asyncio.to_thread(self.random.choice(self.imap_clients).try_step)

    async def follow(self) -> None:
        await self._persist(self.random.choice(self.followers).follow)

    async def cut(self) -> None:
        """Cut every connection of the gateway, whatever it is doing."""
        pool = self.account.backend._link._pool  # type: ignore[attr-defined] # the only way to them
        for slot in [*pool._free, *pool._borrowed]:
            if slot.connection is not None and slot.connection.wire._transport is not None:
                slot.connection.wire._transport.abort()
        await asyncio.sleep(0)  # that is when they are closed

    async def restart(self) -> None:
        await self.account.aclose()
        self._stop_watching = None
        self.account = await self._opened()
        for follower in self.followers:
            follower.account = self.account

    async def watch_or_not(self) -> None:
        if self._stop_watching is None:
            self._stop_watching = self.account.backend.watch()
        else:
            self._stop_watching()
            self._stop_watching = None

    async def change_by_jmap(self) -> None:
        """Ask for a change; the client may know less than there is, so what is refused is no fault."""
        client = self.random.choice(self.followers)
        emails, mailboxes = list(client.objects["Email"]), client.objects["Mailbox"]
        self._serial += 1
        act = self.random.choice(["flag", "flag", "move", "add", "destroy", "make", "rename", "remove"])
        some = self.random.sample(emails, min(len(emails), self.random.randint(1, 3)))
        target = self.random.choice(list(mailboxes))
        keyword = self.random.choice(["$seen", "$flagged", "$answered", "work"])
        own = [id for id, one in mailboxes.items() if one["role"] is None]
        match act:
            case "flag":
                value = self.random.choice([True, None])
                await self._set("Email", update={id: {f"keywords/{keyword}": value} for id in some})
            case "move":
                await self._set("Email", update={id: {"mailboxIds": {target: True}} for id in some})
            case "add":
                await self._set("Email", update={id: {f"mailboxIds/{target}": True} for id in some})
            case "destroy":
                await self._set("Email", destroy=some[:1])
            case "make":
                await self._set("Mailbox", create={"m": {"name": f"jbox{self._serial}"}})
            case "rename" if own:
                await self._set("Mailbox", update={self.random.choice(own): {"name": f"jrenamed{self._serial}"}})
            case "remove" if own:
                await self._set("Mailbox", destroy=[self.random.choice(own)], onDestroyRemoveEmails=True)

    async def _set(self, type: str, **arguments: object) -> None:
        await self._persist(lambda: self.followers[0].call(f"{type}/set", **arguments))

    async def _persist(self, work: Callable[[], Awaitable[object]]) -> None:
        """Try again what a cut connection has cost, for longer than the pool backs off from one that was refused."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                await work()
                return
            except MethodError as error:
                if error.kind != "serverUnavailable" or time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("tier", "looks_once"),
    [("dovecot", False), ("dovecot_condstore", False), ("dovecot_uidplus", True), ("dovecot_bare", True)],
)
async def test_a_client_that_follows_ends_with_what_is_there(
    tier: str, looks_once: bool, request: pytest.FixtureRequest, open_account: OpenAccount
) -> None:
    """No change is lost, none is a phantom; states that were handed out stay good through cuts and restarts."""
    upstream: Upstream = request.getfixturevalue(tier)
    walk = Walk(upstream, upstream.fresh_login(), open_account, SEED, looks_once=looks_once)
    await walk.start()
    for number in range(1, STEPS + 1):
        try:
            await walk.step()
            if number % CHECK_EVERY == 0 or number == STEPS:
                await walk.check()
        except BaseException as error:
            error.add_note(f"seed {SEED}, step {number}: {' '.join(walk.trail[-CHECK_EVERY:])}")
            raise
