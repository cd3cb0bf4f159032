"""What another client does at a real server reaches the index by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from gateway.account.account import Account
from gateway.account.records import Applied, EmailRow, Need
from gateway.sync import watch
from tests.sync.conftest import OpenAccount
from tests.upstreams.upstream import Upstream, expect_ok

pytestmark = [pytest.mark.upstream]

SOON_S = 15.0  # Dovecot gathers changes for half a second (a RENAME: one and a half) before it tells
LOOKS_S = 45.0  # looks come every five seconds; when they take long, on a busy machine, less often
MESSAGE = b"Subject: %d\r\nMessage-ID: <%d@example.com>\r\n\r\nx\r\n"


class Follower:
    """A client that is told of every batch, and asks nothing."""

    def __init__(self, account: Account, within_s: float) -> None:
        self.account, self.within_s = account, within_s
        self.applied: list[Applied] = []
        account.subscribe(self.applied.append)

    def emails(self) -> list[EmailRow]:
        with self.account.snapshot() as snapshot:
            return list(snapshot.emails(snapshot.email_ids(100)).values())

    def paths(self) -> set[str]:
        with self.account.snapshot() as snapshot:
            return {row.facts.path for row in snapshot.mailboxes()}

    async def until(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + self.within_s
        while not is_so():
            assert time.monotonic() < end, f"{self.emails()} {self.paths()}"
            await asyncio.sleep(0.01)


async def test_everything_that_another_client_does_is_told(
    upstream: Upstream, open_account: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the INBOX and elsewhere: new mail, flags, expunges, moves, new mailboxes, renames."""
    monkeypatch.setattr(watch, "QUIET_S", 1.0)
    monkeypatch.setattr(watch, "AGAIN_S", 1.0)
    login = upstream.fresh_login()
    other = f"{upstream.prefix}Other"
    with upstream.imap(login) as imap:
        expect_ok(imap.create(other))
    account = await open_account(upstream, login, max_staleness_s=5)
    stop = account.backend.watch()
    follower = Follower(account, SOON_S if upstream.kind == "dovecot" else LOOKS_S)
    await follower.until(lambda: other in follower.paths())
    await account.fresh(Need(known=True, everything=True))

    await asyncio.to_thread(upstream.deliver, login, MESSAGE % (1, 1))
    await follower.until(lambda: len(follower.emails()) == 1)
    await asyncio.to_thread(upstream.append, login, MESSAGE % (2, 2), mailbox=other)
    await follower.until(lambda: len(follower.emails()) == 2)
    for mailbox in ("INBOX", other):
        with upstream.selected(login, mailbox) as imap:
            expect_ok(imap.uid("STORE", "1", "+FLAGS", r"(\Flagged)"))
    await follower.until(lambda: all("$flagged" in row.keywords for row in follower.emails()))
    known = {row.id for row in follower.emails()}
    with account.snapshot() as snapshot:
        state = snapshot.state("Email")
    with upstream.selected(login) as imap:
        expect_ok(imap.uid("COPY", "1", other))
        expect_ok(imap.uid("STORE", "1", "+FLAGS", r"(\Deleted)"))
        expect_ok(imap.expunge())
    await follower.until(lambda: len({row.mailbox_ids for row in follower.emails()}) == 1)
    with account.snapshot() as snapshot:
        changes = snapshot.changes("Email", state)
    assert {row.id for row in follower.emails()} == known
    assert (list(changes.created), list(changes.destroyed)) == ([], [])
    with upstream.selected(login, other) as imap:
        expect_ok(imap.uid("STORE", "1:*", "+FLAGS", r"(\Deleted)"))
        expect_ok(imap.expunge())
    await follower.until(lambda: not follower.emails())
    new, renamed = f"{upstream.prefix}New", f"{upstream.prefix}Renamed"
    with upstream.imap(login) as imap:
        expect_ok(imap.create(new))
    await follower.until(lambda: new in follower.paths())
    with upstream.imap(login) as imap:
        expect_ok(imap.rename(new, renamed))
    await follower.until(lambda: renamed in follower.paths())
    await asyncio.to_thread(upstream.append, login, MESSAGE % (3, 3), mailbox=renamed)
    await follower.until(lambda: len(follower.emails()) == 1)
    stop()


async def test_many_changes_are_few_batches(dovecot: Upstream, open_account: OpenAccount) -> None:
    """A hundred messages and their flags arrive in a handful of batches."""
    login = dovecot.fresh_login()
    account = await open_account(dovecot, login, max_staleness_s=5)
    stop = account.backend.watch()
    follower = Follower(account, 10.0)
    await follower.until(lambda: "INBOX" in follower.paths())
    await account.fresh(Need(known=True, everything=True))
    before = len(follower.applied)
    await asyncio.to_thread(dovecot.append, login, *[MESSAGE % (n, n) for n in range(100)])
    with dovecot.selected(login) as imap:
        expect_ok(imap.uid("STORE", "1:*", "+FLAGS", r"(\Seen)"))
    await follower.until(lambda: sum("$seen" in row.keywords for row in follower.emails()) == 100)
    assert len(follower.applied) - before <= 8
    stop()


async def test_a_restarted_server_is_found_again(dovecot: Upstream, open_account: OpenAccount) -> None:
    """All connections are cut; what happened meanwhile is found, and what comes next is told."""
    login = dovecot.fresh_login()
    account = await open_account(dovecot, login, max_staleness_s=5)
    stop = account.backend.watch()
    follower = Follower(account, 8.0)
    await follower.until(lambda: "INBOX" in follower.paths())
    await account.fresh(Need(known=True, everything=True))
    pool = account.backend._link._pool  # type: ignore[attr-defined] # the only way to cut what it has borrowed
    for slot in [*pool._free, *pool._borrowed]:
        if slot.connection is not None:
            slot.connection.wire._transport.abort()
    await asyncio.to_thread(dovecot.deliver, login, MESSAGE % (1, 1))
    await follower.until(lambda: len(follower.emails()) == 1)
    await asyncio.to_thread(dovecot.deliver, login, MESSAGE % (2, 2))
    await follower.until(lambda: len(follower.emails()) == 2)
    stop()
