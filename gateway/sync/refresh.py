"""Bring an account's index up to date: one sweep over all mailboxes, applied as one batch.

Rule 1: a sweep is one batch, additions first, so that a move by another client is an update and never a destroy.
Rule 2: when something vanished, the mailboxes are looked at once more before it is believed: what vanished may have
moved to a mailbox that had been looked at before.
Rule 3: a mailbox that cannot be read costs that mailbox, not the account.
Rule 4: news of single mailboxes is a sweep of those alone, with a look at all of them only by Rule 2.
Rule 5: a sweep belongs to the account, not to the request that asked for it: a request that goes away stops nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gateway.account.records import Batch, MailboxDelta, MailboxRow, Mark
from gateway.sync.indexing import read_new
from gateway.sync.link import Facts, Link
from gateway.sync.listing import Lister
from gateway.sync.plan import Seen, Step, plan
from gateway.sync.resync import UidsVoid, changed_since, scan
from gateway.sync.told import listed_of
from gateway.sync.tree import Listed, Move, Tree
from gateway.upstream.imap import CommandFailed, ImapError, StatusItems

log = logging.getLogger(__name__)

MAX_LOOKS = 4  # at all mailboxes in one sweep: mail that keeps moving must not keep a request waiting
MANY_NEW = 5_000  # new messages of one mailbox that are not held in memory but read in windows
SCAN_SHARE = 0.05  # of the time at most goes into scans that nothing but suspicion asks for
AUDIT_EVERY_S = 3600.0  # one mailbox is compared whole, though its numbers say that nothing changed


@dataclass(slots=True)
class _Sweep:
    """What one sweep has gathered so far."""

    rows: Mapping[str, MailboxRow]
    deltas: dict[str, MailboxDelta] = field(default_factory=dict)
    scanned: dict[str, Seen] = field(default_factory=dict)
    told: Mapping[str, Listed] | None = None  # what this look is about, when it is not about all: something did change


class Refresher:
    """Sweeps one account, one sweep at a time."""

    def __init__(self, link: Link, lister: Lister, *, max_staleness_s: float) -> None:
        self._link, self._lister, self._max_staleness_s = link, lister, max_staleness_s
        self._moves: list[Move] = []
        self._running: asyncio.Task[None] | None = None
        self._fresh_at = float("-inf")  # when the last sweep that succeeded began
        self._next_scan: dict[str, float] = {}
        self._unseen: dict[str, int | None] = {}
        self._next_audit = time.monotonic() + AUDIT_EVERY_S
        self._suspect: str | None = None
        self.is_vouched_for: Callable[[], bool] = lambda: False  # by a watcher: nothing changed that the index lacks

    async def refresh(self) -> None:
        """Return once the index is as the upstream was `max_staleness_s` ago, or later. Raises ImapError.

        With a staleness of 0 the upstream is asked each time, whatever a watcher says: it hears of changes later.
        """
        oldest, age_s = time.monotonic() - self._max_staleness_s, 0.0
        while self._fresh_at < oldest and not (self._max_staleness_s and self.is_vouched_for()):
            if self._running is None:
                self._running = asyncio.create_task(self._run())
            await asyncio.shield(self._running)
            age_s = time.monotonic() - self._fresh_at
        if self._link.meter is not None:
            self._link.meter.answered(age_s)

    async def catch_up(self, told: Mapping[str, StatusItems] | None = None) -> None:
        """Make a sweep that begins now; with `told`, numbers by path, of those mailboxes alone. Raises ImapError."""
        while self._running is not None:
            await asyncio.wait([self._running])
        self._running = asyncio.create_task(self._run(told))
        await asyncio.shield(self._running)

    async def sweep(self) -> None:
        """Make a sweep now, for who has the turn and has changed the tree. Raises ImapError."""
        begun = time.monotonic()
        await self._sweep()
        self._fresh_at = begun

    def expect(self, move: Move) -> None:
        """Be told of a RENAME before it is sent: the next sweep that succeeds finds it done or not."""
        self._moves.append(move)

    async def aclose(self) -> None:
        """Stop the sweep under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self, told: Mapping[str, StatusItems] | None = None) -> None:
        begun, meter = time.monotonic(), self._link.meter
        try:
            async with self._link.turn:
                changed = await self._sweep(told)
        except ImapError:
            if meter is not None:
                meter.failed()
            raise
        finally:
            self._running = None
        if told is not None:
            return
        self._fresh_at = begun
        if meter is not None:
            meter.swept(time.monotonic() - begun, changed)

    async def _sweep(self, told: Mapping[str, StatusItems] | None = None) -> int:
        facts = await self._link.facts()
        sweep = _Sweep(self._link.mailboxes())
        tree: Tree | None = None
        listed: Mapping[str, Listed] | None = None
        if told is not None:
            listed = sweep.told = listed_of(sweep.rows, told, facts.tier)
        for _look in range(MAX_LOOKS):
            if listed is None:
                tree = await self._lister.look(sweep.rows, self._moves)
                listed = tree.listed
            found = await self._read_changes(facts, listed, sweep)
            for delta in found:
                sweep.deltas[delta.mailbox_id] = _merged(sweep.deltas.get(delta.mailbox_id), delta)
            if not any(delta.vanished for delta in found):
                break
            listed = sweep.told = None
        await self._apply(sweep, tree)
        return len(sweep.deltas)

    async def _apply(self, sweep: _Sweep, tree: Tree | None) -> None:
        deltas, facts = list(sweep.deltas.values()), None
        if tree is not None:
            unmarked = [(id, listed) for id, listed in tree.listed.items() if _is_unmarked(sweep.rows.get(id))]
            deltas += [delta for id, listed in unmarked if (delta := _first_mark(id, listed)) is not None]
            facts = tree.facts if {row.facts for row in sweep.rows.values()} != set(tree.facts) else None
        if deltas or facts is not None:
            await self._link.account.apply(Batch(mailboxes=facts, deltas=deltas))
            self._link.has_work = True  # after it: who finds nothing to do meanwhile takes the flag away
        if tree is not None:
            self._moves.clear()

    async def _read_changes(self, facts: Facts, mailboxes: Mapping[str, Listed], sweep: _Sweep) -> list[MailboxDelta]:
        """Carry out the planned step of every indexed mailbox, side by side."""
        tasks = []
        for mailbox_id, listed in mailboxes.items():
            row = sweep.rows.get(mailbox_id)
            if row is None or row.mark is None or listed.seen is None:
                continue
            pending = sweep.deltas.get(mailbox_id)
            mark = pending.mark if pending is not None and pending.mark is not None else row.mark
            step = plan(mark, listed.seen, facts.tier)
            is_audit = step is Step.NOTHING and pending is None and self._is_audit_due(mailbox_id)
            if is_audit:
                step = Step.SCAN
            elif step is Step.SCAN and not (sweep.told or self._is_scan_due(mailbox_id, mark, listed, sweep)):
                continue
            if step is Step.REBUILD and (rebuilt := _first_mark(mailbox_id, listed)) is not None:
                self._link.rebuilding.add(mailbox_id)
                sweep.deltas[mailbox_id] = replace(rebuilt, shelves=True)
            elif step in (Step.SCAN, Step.CHANGED_SINCE):
                row = replace(row, facts=replace(row.facts, path=listed.path))
                tasks.append(asyncio.create_task(self._one(row, step, listed.seen, pending, is_audit=is_audit)))
        try:
            return [delta for delta in await asyncio.gather(*tasks) if delta is not None]
        finally:
            for task in tasks:
                task.cancel()

    async def _one(
        self, row: MailboxRow, step: Step, seen: Seen, pending: MailboxDelta | None, *, is_audit: bool
    ) -> MailboxDelta | None:
        try:
            if pending is None and row.mark is not None and (seen.uidnext or 0) - row.mark.uidnext > MANY_NEW:
                await read_new(self._link, row, row.mark.uidnext)
                row = self._link.mailboxes()[row.facts.id]
            if step is Step.CHANGED_SINCE:
                return await changed_since(self._link, row, seen, pending)
            begun = time.monotonic()
            delta = await scan(self._link, row, seen, pending)
            self._next_scan[row.facts.id] = time.monotonic() + (time.monotonic() - begun) / SCAN_SHARE
            if is_audit:
                self._tell_audit(row, delta)
        except (CommandFailed, UidsVoid) as error:
            log.warning("mailbox not read", extra={"mailbox": row.facts.id, "error": type(error).__name__})
            return None
        return delta

    def audit_soon(self, mailbox_id: str) -> None:
        """Compare a mailbox whole in the next sweep, whatever its numbers say."""
        self._next_audit, self._suspect = float("-inf"), mailbox_id

    def _is_audit_due(self, mailbox_id: str) -> bool:
        """Choose, every now and then, the mailbox that was not compared for longest."""
        now = time.monotonic()
        if now < self._next_audit:
            return False
        compared = self._next_scan
        if mailbox_id != (self._suspect or min(self._link.mailboxes(), key=lambda id: compared.get(id, 0.0))):
            return False
        self._next_audit, self._suspect = now + AUDIT_EVERY_S, None
        return True

    def _tell_audit(self, row: MailboxRow, delta: MailboxDelta) -> None:
        """Count what no resync had told of; what came since the look is no finding."""
        old = [message for message in delta.arrived if row.mark is not None and message.uid < row.mark.uidnext]
        found = len(old) + len(delta.flagged) + len(delta.vanished)
        if found:
            log.warning("an audit found differences", extra={"mailbox": row.facts.id, "found": found})
        if self._link.meter is not None:
            self._link.meter.audited(found)

    def _is_scan_due(self, mailbox_id: str, mark: Mark, listed: Listed, sweep: _Sweep) -> bool:
        """Scan when the numbers say so, or when no scan was made for a while: a flag may change without a trace."""
        seen = listed.seen
        if seen is None or sweep.scanned.get(mailbox_id) == seen:
            return False
        moved = seen.messages != mark.exists or (seen.uidnext or 0) > mark.uidnext
        moved = moved or self._unseen.get(mailbox_id) != listed.unseen
        if not moved and self._max_staleness_s and time.monotonic() < self._next_scan.get(mailbox_id, 0.0):
            return False
        sweep.scanned[mailbox_id] = seen
        self._unseen[mailbox_id] = listed.unseen
        return True


def _is_unmarked(row: MailboxRow | None) -> bool:
    return row is None or row.mark is None


def _first_mark(mailbox_id: str, listed: Listed) -> MailboxDelta | None:
    """Remember the numbers of a mailbox not read yet: a rename is recognised by them."""
    seen = listed.seen
    if seen is None or seen.uidvalidity is None:
        return None
    mark = Mark(seen.uidvalidity, seen.uidnext or 0, seen.highestmodseq or 0, seen.messages or 0)
    return MailboxDelta(mailbox_id, mark=mark)


def _merged(before: MailboxDelta | None, after: MailboxDelta) -> MailboxDelta:
    if before is None:
        return after
    return MailboxDelta(
        after.mailbox_id,
        [*before.arrived, *after.arrived],
        [*before.flagged, *after.flagged],
        [*before.vanished, *after.vanished],
        after.mark,
    )
