"""The first indexing of a mailbox: every message once, in windows, oldest first.

Rule 1: memory is bounded by the windows in flight, whatever the mailbox holds.
Rule 2: what is in the index already is not read again: an indexing that was cut short goes on where it stopped.
Rule 3: after a change of UIDVALIDITY the old locations stay visible on the shelf until the new ones are complete, so
that an email whose identity matches never disappears.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gateway.account.records import Batch, MailboxDelta, MailboxRow, Mark, NewMessage
from gateway.sync.identity import light_items, reader
from gateway.sync.link import Link
from gateway.sync.parsing import read_messages
from gateway.sync.plan import Tier, count, missing, windows
from gateway.upstream.imap import Connection, Range, Selected

# Messages of one FETCH and batch. A batch has its own cost, and rewrites most pages of the indexes by id and link, so
# many are better; but nothing is written while the first is read, nor read while the last is written.
SMALL_WINDOW, LARGE_WINDOW = 500, 1_000  # 0.5 and 1 MB held; 10 and 25 ms of the writer
WINDOW_SHARE = 8  # of what is left: windows grow and shrink with it
IN_FLIGHT = 3  # FETCH commands sent ahead, so that the server never waits for us


async def index_mailbox(link: Link, row: MailboxRow) -> None:
    """Put every message of a mailbox into the index and mark it as indexed."""
    await link.account.apply(Batch())  # what an attempt that was cut short has left is seen by the next lines
    if await _is_empty(link, row):
        return
    facts = await link.facts()
    async with link.connection(row.facts.path, select=False) as connection:
        # Anew, even where it is selected: that may be the mailbox that was here before.
        selected = await connection.select(row.facts.path, condstore=facts.tier is not Tier.NEITHER)
        mark = await _begin(link, row, selected)
        present = await connection.search(["ALL"])
        known = await link.account.read(lambda snapshot: snapshot.uids(row.facts.id))
        await _read_windows(
            link,
            connection,
            row,
            missing(present, known),
            light_items(facts.identity, has_modseq=facts.tier is not Tier.NEITHER and bool(mark.highestmodseq)),
        )
    after_last = present[-1][1] + 1 if present else 1
    done = replace(mark, uidnext=max(mark.uidnext, after_last), exists=count(present), is_indexed=True)
    delta = MailboxDelta(row.facts.id, vanished=missing(known, present), mark=done, clears_shelf=True)
    await link.account.apply(Batch(deltas=[delta]))


async def _is_empty(link: Link, row: MailboxRow) -> bool:
    """Take the word of STATUS for a mailbox without messages, and mark it as indexed: no connection is needed."""
    mark = row.mark
    if mark is None or mark.is_indexed or mark.exists or not (mark.uidvalidity and mark.uidnext):
        return False
    if await link.account.read(lambda snapshot: snapshot.has_locations(row.facts.id)):
        return False
    await link.account.apply(Batch(deltas=[MailboxDelta(row.facts.id, mark=replace(mark, is_indexed=True))]))
    return True


async def read_new(link: Link, row: MailboxRow, first: int) -> None:
    """Bring many new messages of an indexed mailbox in, in windows; what else changed is left to the resync."""
    facts, mark = await link.facts(), row.mark
    if mark is None:
        raise ValueError("a mailbox without a mark is indexed whole")
    async with link.connection(row.facts.path) as connection:
        await connection.noop()
        present = await connection.search([f"UID {first}:*"])
        new = missing(present, [(1, first - 1)])
        items = light_items(facts.identity, has_modseq=facts.tier is not Tier.NEITHER)
        await _read_windows(link, connection, row, new, items)
    if new:
        moved_on = replace(mark, uidnext=new[-1][1] + 1, exists=mark.exists + count(new))
        await link.account.apply(Batch(deltas=[MailboxDelta(row.facts.id, mark=moved_on)]))


async def _begin(link: Link, row: MailboxRow, selected: Selected) -> Mark:
    """Write down from where a resync has to start once this is done; shelve locations whose uids are void."""
    validity = selected.uidvalidity or 0
    old = row.mark
    if old is not None and old.uidvalidity == validity and not old.is_indexed and old.highestmodseq:
        return old  # cut short earlier: changes since then are still to be read
    mark = Mark(validity, selected.uidnext or 0, selected.highestmodseq, selected.exists)
    delta = MailboxDelta(row.facts.id, mark=mark, shelves=old is not None and old.uidvalidity != validity)
    await link.account.apply(Batch(deltas=[delta], is_bulk=True))
    return mark


def _windows(uids: list[Range]) -> Iterator[list[Range]]:
    """Yield the uids in windows: small, larger, small."""
    first, left = 0, count(uids)
    pieces = windows(uids, SMALL_WINDOW)
    size = 1
    while first < len(pieces):
        fitting = max(1, min(size, LARGE_WINDOW // SMALL_WINDOW, left // WINDOW_SHARE // SMALL_WINDOW))
        window = [one for piece in pieces[first : first + fitting] for one in piece]
        yield window
        left -= count(window)
        first += fitting
        size += 1


async def _read_windows(link: Link, connection: Connection, row: MailboxRow, uids: list[Range], items: str) -> None:
    """Fetch and apply window after window: some on their way from the server, one on its way into the index."""
    facts = await link.facts()
    read = reader(facts.identity)

    async def fetch(window: Sequence[Range]) -> list[NewMessage]:
        octets: list[bytes] = []
        odd: list[NewMessage] = []
        await connection.fetch(window, items, on_message=lambda message: odd.append(read(message)), octets=octets)
        return [*await read_messages(facts.identity, octets), *odd]

    ahead: list[asyncio.Task[list[NewMessage]]] = []
    applying: asyncio.Task[object] | None = None
    done, total = 0, count(uids)
    todo = _windows(uids)
    try:
        while True:
            while len(ahead) < IN_FLIGHT and (window := next(todo, None)) is not None:
                ahead.append(asyncio.create_task(fetch(window)))
            if not ahead:
                break
            messages = await ahead.pop(0)
            if applying is not None:
                await applying
            batch = Batch(deltas=[MailboxDelta(row.facts.id, messages)], is_bulk=True)
            applying = asyncio.create_task(link.account.apply(batch))
            done += len(messages)
            if link.meter is not None:
                link.meter.indexed(row.facts.name, done, total)
        if applying is not None:
            await applying
    finally:
        for task in ahead:
            task.cancel()
