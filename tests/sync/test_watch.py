"""Watching an upstream that misbehaves: scripted, for no real server does so when asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gateway.account.account import Account
from gateway.account.records import Applied, Need
from gateway.sync import watch as watch_module
from gateway.sync import watch_news
from gateway.sync.imap_backend import ImapBackend
from gateway.upstream.imap import Credentials, Pool
from tests.fakes.uploads import NoUploads
from tests.sync.small_server import BASIC, IDLING, NOTIFYING, SmallServer
from tests.upstream.imap.scripted import CREDENTIALS, QUICK, Peer, Scripted, hang, serve

TIMEOUTS = replace(QUICK, idle_renew_s=0.3)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are followed by a new attempt at once. Looks stay rare: nothing else may find changes."""
    monkeypatch.setattr(watch_module, "RETRY_FIRST_S", 0.1)


@dataclass
class Watched:
    """An account, and when its index changed."""

    account: Account
    server: SmallServer
    scripted: Scripted
    applied: list[Applied] = field(default_factory=list)

    async def until(self, is_so: Callable[[], bool], what: str, seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, f"{what}; the server was asked {dict(self.server.verbs)}"
            await asyncio.sleep(0.005)

    def emails(self) -> int:
        with self.account.snapshot() as snapshot:
            return len(snapshot.email_ids(1000))

    async def until_emails(self, count: int, seconds: float = 5.0) -> None:
        await self.until(lambda: self.emails() == count, f"not {count} emails but {self.emails()}", seconds)

    async def until_quiet(self) -> Peer:
        """Wait until the first look is over; return the connection that listens."""
        await self.until_emails(self.server.messages)
        peer = await asyncio.wait_for(self.server.listening.get(), 5)
        await asyncio.sleep(0.1)
        return peer


Open = Callable[..., AbstractAsyncContextManager[Watched]]


@pytest.fixture
def watched(tmp_path: Path) -> Open:
    """Open an account over a SmallServer, watched."""
    serial = iter(range(100))

    @asynccontextmanager
    async def open_one(
        server: SmallServer,
        *,
        size: int = 4,
        script: Callable[[Peer], Awaitable[None]] | None = None,
        max_staleness_s: float = 0.05,
    ) -> AsyncIterator[Watched]:
        async def credentials() -> Credentials:
            return CREDENTIALS

        async with serve(script or server.script) as scripted:
            account = Account(
                id="A1",
                name="alice",
                login="alice",
                path=tmp_path / f"index{next(serial)}.db",
                make_backend=lambda account: ImapBackend(
                    account,
                    Pool(scripted.endpoint, credentials, size=size, timeouts=TIMEOUTS),
                    max_staleness_s=max_staleness_s,
                ),
                uploads=NoUploads(),
            )
            await account.open()
            one = Watched(account, server, scripted)
            account.subscribe(one.applied.append)
            stop = account.backend.watch()
            try:
                yield one
            finally:
                stop()
                await account.aclose()

    return open_one


async def test_news_of_a_mailbox_is_read_without_a_look_at_all(watched: Open) -> None:
    """From the STATUS event to the index in one SELECT and its FETCHes."""
    async with watched(SmallServer()) as one:
        peer = await one.until_quiet()
        looks, seen = one.server.verbs["LIST"], len(one.applied)
        peer.send(one.server.deliver())
        await one.until_emails(3)
        assert one.server.verbs["LIST"] == looks
        await one.until(lambda: len(one.applied) > seen, "not announced")
        assert [set(applied.states) for applied in one.applied[seen:]] == [
            {"Email", "Thread", "Mailbox", "EmailDelivery"}
        ]


async def test_a_watched_account_needs_no_sweep_for_a_request(watched: Open) -> None:
    """Unless an event is pending: then the request waits for what it tells."""
    async with watched(SmallServer()) as one:
        peer = await one.until_quiet()
        before = one.server.verbs.total()
        await one.account.fresh(Need(known=True))
        assert one.server.verbs.total() == before
        peer.send(one.server.deliver())
        await asyncio.sleep(0.02)
        await one.account.fresh(Need(known=True))
        assert one.emails() == 3


async def test_with_no_staleness_allowed_the_upstream_is_asked(watched: Open) -> None:
    """A server tells of changes later than it answers."""
    async with watched(SmallServer(), max_staleness_s=0) as one:
        await one.until_quiet()
        one.server.deliver()
        await one.account.fresh(Need(known=True))
        assert one.emails() == 3


@pytest.mark.parametrize("refusal", [b"NO [BADEVENT (MessageNew)] no", b"BAD never heard of it"])
async def test_where_notify_is_refused_idle_serves(watched: Open, refusal: bytes) -> None:
    """The INBOX at once, all else within the interval."""
    async with watched(SmallServer(answers={"NOTIFY": [refusal] * 9})) as one:
        peer = await one.until_quiet()
        assert one.server.verbs["IDLE"] == 1
        one.server.deliver()
        peer.send(b"* 3 EXISTS\r\n")
        await one.until_emails(3, 2.0)


async def test_an_overflow_is_followed_by_notify_and_a_look(watched: Open) -> None:
    """What was not told is found, and from then on all is told again (RFC 5465 section 5.8)."""
    async with watched(SmallServer()) as one:
        peer = await one.until_quiet()
        one.server.deliver()
        peer.send(b"* OK [NOTIFICATIONOVERFLOW] too much\r\n")
        await one.until_emails(3)
        assert one.server.verbs["NOTIFY"] == 2
        peer.send(one.server.deliver())
        await one.until_emails(4)


async def test_a_flood_of_events_is_coalesced(watched: Open) -> None:
    """Thousands of events about one mailbox cost a handful of resyncs."""
    async with watched(SmallServer()) as one:
        peer = await one.until_quiet()
        before = one.server.verbs["EXAMINE"]
        for _ in range(50):
            peer.send(b"".join(one.server.deliver() for _ in range(2)) * 100)
            await asyncio.sleep(0.002)
        await one.until_emails(102)
        assert one.server.verbs["EXAMINE"] - before < 40


async def test_a_flood_without_end_costs_the_connection(watched: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever never stops talking is hung up on; watching begins anew, with a look."""
    monkeypatch.setattr(watch_news, "FLOOD_EVENTS", 1000)
    async with watched(SmallServer()) as one:
        peer = await one.until_quiet()
        peer.send(one.server.deliver() * 1200)
        await one.until(lambda: one.server.verbs["NOTIFY"] == 2, "no new connection")
        await one.until_emails(3)


async def test_deaf_idle_is_noticed_at_the_renewal(watched: Open) -> None:
    """No answer to DONE: a new connection, and a look that finds what was missed."""
    async with watched(SmallServer(IDLING, deaf_to_done=True)) as one:
        await one.until_quiet()
        one.server.deliver()
        one.server.deaf_to_done = False
        await one.until_emails(3)
        assert len(one.scripted.peers) >= 3


@pytest.mark.parametrize("capabilities", [IDLING, NOTIFYING])
async def test_bye_is_followed_by_a_new_connection_and_a_look(watched: Open, capabilities: bytes) -> None:
    """What changed in between is found."""
    async with watched(SmallServer(capabilities)) as one:
        peer = await one.until_quiet()
        one.server.deliver()
        peer.send(b"* BYE going down\r\n")
        peer.writer.close()
        await one.until_emails(3)


async def test_without_notify_and_idle_all_is_looked_at(watched: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few seconds, on a connection that is given back in between."""
    monkeypatch.setattr(watch_module, "SWEEP_S", 0.2)
    async with watched(SmallServer(BASIC)) as one:
        await one.until_emails(2)
        one.server.deliver()
        await one.until_emails(3)


async def test_a_budget_of_one_is_left_to_work(watched: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection in all, and requests are answered."""
    monkeypatch.setattr(watch_module, "SWEEP_S", 0.2)
    async with watched(SmallServer(), size=1) as one:
        await one.until_emails(2)
        one.server.deliver()
        await one.account.fresh(Need(known=True))
        await one.until_emails(3)
        assert len(one.scripted.peers) == 1
        assert one.server.verbs["NOTIFY"] == one.server.verbs["IDLE"] == 0


async def test_the_look_at_all_goes_over_the_connection_that_listens(watched: Open) -> None:
    """An idle account has one connection."""
    async with watched(SmallServer(messages=0)) as one:
        await asyncio.wait_for(one.server.listening.get(), 5)
        await one.until(lambda: one.server.verbs["LIST"] == 1, "no look")
        assert one.scripted.peers[0].lines[-1].split()[1] == b"LIST" or len(one.scripted.peers) == 1


async def test_it_ends_when_nobody_wants_it_and_begins_again(watched: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last who wanted it, and a while; the connection is closed."""
    monkeypatch.setattr(watch_module, "LINGER_S", 0.2)
    monkeypatch.setattr(watch_module, "RETRY_LIMIT_S", 0.1)
    async with watched(SmallServer()) as one:
        peer = await one.until_quiet()
        again = one.account.backend.watch()
        again()
        again()  # more than once is once
        await asyncio.sleep(0.4)
        assert not peer.reader.at_eof()
    assert peer.reader.at_eof()
    async with watched(SmallServer()) as one:
        peer = await one.until_quiet()
        backend = one.account.backend
        assert isinstance(backend, ImapBackend)
        first, second = backend.watch(), backend.watch()
        backend._watcher._demand -= 1  # the fixture's own
        first()
        second()
        await one.until(peer.reader.at_eof, "still listening")
        one.server.deliver()
        stop = backend.watch()
        await one.until_emails(3)
        backend._watcher._demand += 1
        stop()


async def test_a_stuck_upstream_costs_itself(watched: Open) -> None:
    """Another account, on another server, hears as fast as ever."""

    async def stuck(peer: Peer) -> None:
        await peer.greet(NOTIFYING)
        await hang(peer)

    async with watched(SmallServer(), script=stuck), watched(SmallServer()) as one:
        peer = await one.until_quiet()
        for count in range(3, 8):
            begun = time.monotonic()
            peer.send(one.server.deliver())
            await one.until_emails(count)
            assert time.monotonic() - begun < 0.5


async def test_late_news_is_no_news(watched: Open) -> None:
    """An event about what a sweep has read already sends nothing to the server."""
    async with watched(SmallServer(), max_staleness_s=0) as one:
        peer = await one.until_quiet()
        late = one.server.deliver()
        await one.account.fresh(Need(known=True))
        await asyncio.sleep(0.1)
        before = one.server.verbs["EXAMINE"], one.server.verbs["LIST"]
        peer.send(late)
        await asyncio.sleep(0.2)
        assert (one.server.verbs["EXAMINE"], one.server.verbs["LIST"]) == before
