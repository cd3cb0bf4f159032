"""Who is indexed next: what a request waits for at once, then INBOX, then the rest; then what that left for later.

Rule 1: a mailbox is indexed by one task, however many requests wait for it; a request that goes away stops nothing.
Rule 2: background work takes one connection at a time and goes on where it failed when the next request comes.
Rule 3: a mailbox whose UIDVALIDITY keeps changing is left as it is for a while: reading it anew each time helps nobody.
Rule 4: what is being renamed or deleted is not selected meanwhile (`left_alone`). Dovecot 2.3 lets DELETE and EXAMINE
of one mailbox wait for one another's locks, three seconds as a rule and two minutes at worst, and then logs "dotlock
…/dovecot-uidlist.lock was immediately deleted under us".
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress

from gateway.account.account import DIGESTED_AT_ONCE
from gateway.account.records import Batch, MailboxRow, Need
from gateway.jmap.errors import MethodError
from gateway.sync.details import load_details
from gateway.sync.indexing import index_mailbox
from gateway.sync.link import Link
from gateway.sync.rush import Rush
from gateway.upstream.imap import CommandFailed, ImapError

log = logging.getLogger(__name__)

DETAILS_AT_ONCE = 100  # emails: the server reads every body for them, and a request must not wait long behind it
MAX_REBUILDS = 3  # of one mailbox within REBUILD_SPAN_S; more is a server that flaps
REBUILD_SPAN_S = 600.0
LEAVE_S = 5.0  # for reading under way to end before a RENAME or DELETE; what is longer has selected long ago
REFUSED_S = 30.0  # until a mailbox that could not be selected is tried again


class Schedule:
    """The indexing of one account."""

    def __init__(self, link: Link, rush: Rush) -> None:
        self._link, self._rush = link, rush
        self._indexing: dict[str, asyncio.Task[None]] = {}
        self._background: asyncio.Task[None] | None = None
        self._rebuilt: dict[str, tuple[float, ...]] = {}  # when each mailbox was indexed, the last few times
        self._not_before: dict[str, float] = {}
        self._reading: set[str] = set()  # mailboxes whose indexing has begun
        self._left_alone: set[str] = set()
        self._may_go_on = asyncio.Event()
        self._loading = asyncio.Lock()  # held while details are loaded: they may come from any mailbox
        self.on_indexed: Callable[[str], None] = lambda _: None  # told of each mailbox whose indexing is complete

    async def ensure(self, need: Need) -> None:
        """Return when the mailboxes that `need` names are indexed. Raises ImapError."""
        if not self._link.has_work:
            return
        rows = self._link.mailboxes()
        unindexed = {row.facts.id: row for row in rows.values() if _lacks_index(row)}
        self._wake()
        wanted = unindexed if need.everything else {id: unindexed[id] for id in need.mailbox_ids if id in unindexed}
        if need.known:
            wanted |= {id: row for id, row in unindexed.items() if id in self._link.rebuilding}
        await self._index(wanted.values())

    def is_working(self) -> bool:
        """Tell whether there is work going on in the background."""
        return self._background is not None and not self._background.done()

    def wake(self) -> None:
        """Do in the background whatever there is to do."""
        if self._link.has_work:
            self._wake()

    @asynccontextmanager
    async def left_alone(self, mailbox_ids: Collection[str]) -> AsyncIterator[None]:
        """Read nothing of these mailboxes in the body, which ends with a look at the tree: what waits uses new paths.

        One body at a time: its caller has the turn.
        """
        self._may_go_on.clear()
        self._left_alone.update(mailbox_ids)
        try:
            reading = [self._indexing[id] for id in mailbox_ids if id in self._reading]
            if reading:
                await asyncio.wait(reading, timeout=LEAVE_S)
            with suppress(TimeoutError):  # a slow load from elsewhere, as a rule
                async with asyncio.timeout(LEAVE_S), self._loading:
                    pass
            yield
        finally:
            self._left_alone.clear()
            self._may_go_on.set()

    async def aclose(self) -> None:
        """Stop all work."""
        tasks = [*self._indexing.values(), *([self._background] if self._background else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _index(self, rows: Iterable[MailboxRow]) -> None:
        await asyncio.gather(*(asyncio.shield(self._task(row)) for row in sorted(rows, key=_priority)))

    def _task(self, row: MailboxRow) -> asyncio.Task[None]:
        task = self._indexing.get(row.facts.id)
        if task is None:
            task = asyncio.create_task(self._index_one(row))
            self._indexing[row.facts.id] = task
            task.add_done_callback(lambda _: self._indexing.pop(row.facts.id, None))
        return task

    async def _index_one(self, row: MailboxRow) -> None:
        mailbox_id = row.facts.id
        if mailbox_id in self._left_alone:
            await self._may_go_on.wait()
            if (now_there := self._link.mailboxes().get(mailbox_id)) is None:
                return
            row = now_there
        if time.monotonic() < self._not_before.get(mailbox_id, 0.0):
            return
        self._reading.add(mailbox_id)
        try:
            await index_mailbox(self._link, row)
            self._link.rebuilding.discard(mailbox_id)
            self.on_indexed(mailbox_id)
        except CommandFailed as error:
            # Listed, but not to be selected: it shows no mail for now.
            log.warning("mailbox not indexed", extra={"mailbox": mailbox_id, "error": type(error).__name__})
            self._not_before[mailbox_id] = time.monotonic() + REFUSED_S
            return
        finally:
            self._reading.discard(mailbox_id)
        rebuilt = self._rebuilt.get(mailbox_id, ())
        now = time.monotonic()
        if len(rebuilt) == MAX_REBUILDS and now - rebuilt[0] < REBUILD_SPAN_S:
            log.warning("mailbox rebuilt again and again", extra={"mailbox": mailbox_id})
            self._not_before[mailbox_id] = now + REBUILD_SPAN_S
        self._rebuilt[mailbox_id] = (*rebuilt, now)[-MAX_REBUILDS:]

    def _wake(self) -> None:
        if self._background is None or self._background.done():
            self._background = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while (row := self._next_to_index()) is not None:
                await self._index([row])
            await self._digest_all()
            await self._load_all_details()
        except ImapError as error:
            log.info("background work stopped", extra={"error": type(error).__name__})
        except MethodError as error:
            log.info("background work stopped", extra={"error": error.kind})

    def _next_to_index(self) -> MailboxRow | None:
        """Return the next mailbox as it is now: what was true of it when the work began may be void."""
        now = time.monotonic()
        rows = [row for row in self._link.mailboxes().values() if _lacks_index(row)]
        return min((row for row in rows if self._not_before.get(row.facts.id, 0.0) <= now), key=_priority, default=None)

    async def _digest_all(self) -> None:
        """Read the headers that the indexing stored as they came, newest first."""
        account = self._link.account
        while True:
            with account.snapshot() as snapshot:
                nums = snapshot.undigested(DIGESTED_AT_ONCE)
            if not nums:
                return
            await account.apply(Batch(digests=nums))
            await asyncio.sleep(0)

    async def _load_all_details(self) -> None:
        """Fill what list views want beyond the header, newest first; what cannot be loaded ends it."""
        while True:
            with self._link.account.snapshot() as snapshot:
                lacking = snapshot.emails_without_details(None, DETAILS_AT_ONCE)
            if not lacking:
                self._link.has_work = any(_lacks_index(row) for row in self._link.mailboxes().values())
                return
            await self._rush.over()
            if self._left_alone:
                await self._may_go_on.wait()
                continue
            async with self._loading:
                if not await load_details(self._link, lacking):
                    return
            await asyncio.sleep(0)


def _lacks_index(row: MailboxRow) -> bool:
    return row.facts.is_selectable and (row.mark is None or not row.mark.is_indexed)


def _priority(row: MailboxRow) -> tuple[bool, int, str]:
    return row.facts.role != "inbox", row.facts.sort_order, row.facts.path
