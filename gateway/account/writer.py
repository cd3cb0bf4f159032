"""Apply a batch to the index: the one place that changes it. Runs in a thread, one batch at a time.

Rule 1: a batch is seen whole or not at all, and the journal is written with it. It is a transaction; only windows of a
first indexing share one, for each commit writes again every page of the indexes with random keys.
Rule 2: places are added in all mailboxes first, then flags change, then places go, so that a move made elsewhere is
an update and never a destroy and a create.
Rule 3: a batch that changes nothing a client can see takes no seq.
"""

from __future__ import annotations

import sqlite3
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.account import counts, tree
from gateway.account.arrivals import Arrivals, Numbers, Place, prepare
from gateway.account.digest import digest_emails
from gateway.account.effects import Effects, note_before, settle_emails, settle_threads
from gateway.account.flags import FlagSets
from gateway.account.journal import STATE_TYPES, StateType, forget_tombstones
from gateway.account.pack import pack_preview, pack_structure
from gateway.account.records import Applied, Batch, EmailDetail, MailboxDelta
from gateway.account.schema import SCRATCH_TABLES
from gateway.account.sql import insert_many, json_of, load_json

BATCHES_BETWEEN_SWEEPS = 1_000  # of old tombstones
BULK_BATCHES = 16  # a transaction: up to 40,000 messages, which an interrupted indexing reads again


class Lost(sqlite3.DatabaseError):
    """Batches that had been applied are not in the file: the index is not what sync takes it for."""


class _Delta(NamedTuple):
    """A delta of a mailbox that the index knows."""

    mailbox: int
    delta: MailboxDelta


class Writer:
    """The writing half of an index."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._flags = FlagSets(connection)
        self._numbers = Numbers.load(connection)
        self._sweep_in = 1  # the first batch after opening sweeps
        self._uncommitted = 0  # batches
        self._untold: dict[str, str] = {}  # the states they brought

    def apply(self, batch: Batch) -> Applied:
        """Apply a batch; a delta of a mailbox that is not in the tree (any more) is left out.

        Raises `Lost` when batches that were applied before are gone with this one.
        """
        connection = self._connection
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        connection.execute("SAVEPOINT batch")
        try:
            applied = self._apply(batch)
            connection.execute("RELEASE batch")
        except BaseException:
            self._undo()
            raise
        self._uncommitted += 1
        self._untold |= applied.states
        if batch.is_bulk and self._uncommitted < BULK_BATCHES:
            return Applied(applied.seq)  # nobody can see it yet
        self._commit()
        states, self._untold = self._untold, {}
        return Applied(applied.seq, states)

    def flush(self) -> None:
        """Write down what was applied, before the connection closes."""
        if self._uncommitted:
            self._commit()

    def _undo(self) -> None:
        """Take back the batch under way, and no other."""
        connection = self._connection
        if connection.in_transaction:  # some errors end the transaction by themselves
            connection.execute("ROLLBACK TO batch")
            connection.execute("RELEASE batch")
        self._flags.forget()
        self._numbers = Numbers.load(connection)
        if self._uncommitted and not connection.in_transaction:
            self._uncommitted = 0
            raise Lost("windows of a first indexing were not written")

    def _commit(self) -> None:
        is_alone, self._uncommitted = self._uncommitted == 1, 0
        try:
            self._connection.commit()
        except sqlite3.Error as error:
            self._connection.rollback()
            self._flags.forget()
            self._numbers = Numbers.load(self._connection)
            if is_alone:
                raise
            raise Lost("windows of a first indexing were not written") from error

    def _apply(self, batch: Batch) -> Applied:
        connection = self._connection
        meta = load_json(connection, "SELECT json_group_object(key, value) FROM meta")
        seq, now_s = meta["seq"] + 1, int(time.time())
        touched_types: set[StateType] = set()
        if batch.mailboxes is not None or batch.deltas:
            touched_types = self._apply_mail(batch, seq, now_s)
        if batch.details:
            self._put_details(batch.details)
        if batch.digests:
            digest_emails(connection, batch.digests)
        if not touched_types:
            return Applied(meta["seq"])
        for type in touched_types:
            self._set_meta(f"seq {type}", seq)
        self._set_meta("seq", seq)
        self._sweep_in -= 1
        if self._sweep_in <= 0:
            self._sweep_in = BATCHES_BETWEEN_SWEEPS
            forget_tombstones(connection, now_s)
        return Applied(seq, {type: f"{meta['epoch']}-{seq}" for type in STATE_TYPES if type in touched_types})

    def _apply_mail(self, batch: Batch, seq: int, now_s: int) -> set[StateType]:
        connection = self._connection
        before = tree.shown(connection)
        old_trash = tree.trash_of(connection)
        gone = tree.put_facts(connection, batch.mailboxes, seq) if batch.mailboxes is not None else []
        trash = tree.trash_of(connection)
        rows = load_json(connection, "SELECT json_group_array(json_array(id, num, is_indexed)) FROM mailbox")
        nums = {id: num for id, num, _ in rows}
        indexed = {num for _, num, is_indexed in rows if is_indexed}  # before this batch marks any
        known = {id: num for id, num in nums.items() if num not in gone}
        deltas = [_Delta(known[delta.mailbox_id], delta) for delta in batch.deltas if delta.mailbox_id in known]
        places = _places(deltas)
        for num, delta in deltas:
            if delta.shelves:
                self._shelve(num)
        arrivals = prepare(connection, self._flags, places, self._numbers, seq) if places else Arrivals()
        # Most batches of a first indexing bring new emails and nothing else: those are written, and there is no more
        # to it but to note which Threads they joined.
        is_plain = batch.is_bulk and not gone and not arrivals.touched and all(map(_only_brings, batch.deltas))
        emails = Effects()
        if is_plain:
            arrivals.write(connection)
        else:
            emails = self._apply_effects(batch, deltas, arrivals, gone, (old_trash, trash), seq, now_s)
        threads = settle_threads(connection, arrivals.joined, seq, now_s, is_plain=is_plain)
        tree.drop(connection, gone, seq, now_s)
        self._mark(batch, deltas, trash, is_trash_new=trash != old_trash)
        self._add_meta("emails", arrivals.new_emails + emails.created - emails.destroyed)
        self._add_meta("threads", arrivals.new_threads + threads.created - threads.destroyed)
        is_mailbox_changed = tree.note_changes(connection, before, tree.shown(connection), seq)
        touched: set[StateType] = set()
        if arrivals.new_emails or emails.emails:
            touched.add("Email")
        # What a first indexing finds is new to the index, not to the store.
        is_added = arrivals.new_emails or emails.created
        if is_added and any(delta.arrived and num in indexed for num, delta in deltas):
            touched.add("EmailDelivery")
        if arrivals.new_threads or threads.emails:
            touched.add("Thread")
        if is_mailbox_changed:
            touched.add("Mailbox")
        return touched

    def _apply_effects(
        self,
        batch: Batch,
        deltas: Sequence[_Delta],
        arrivals: Arrivals,
        gone: list[int],
        trashes: tuple[int, int],
        seq: int,
        now_s: int,
    ) -> Effects:
        """Write what arrives and change what is there; `trashes` are the trash before and now."""
        connection = self._connection
        for table in SCRATCH_TABLES:
            connection.execute(f"DELETE FROM temp.{table}")
        changes = [self._flag_changes(delta) for _, delta in deltas]
        self._touch(arrivals, deltas, changes, gone)
        note_before(connection)
        if not batch.is_bulk:
            self._involve(row[2] for row in arrivals.emails)
            counts.tally(connection, trashes[0], -1)
        arrivals.write(connection)
        self._move(deltas, changes, gone)
        effects = settle_emails(connection, self._flags, seq, now_s)
        if not batch.is_bulk:
            counts.tally(connection, trashes[1], 1)
            counts.settle(connection)
        return effects

    def _shelve(self, mailbox: int) -> None:
        (lowest,) = self._connection.execute("SELECT min(uid) FROM location WHERE mailbox = ?", (mailbox,)).fetchone()
        # Below what is on the shelf already, so that shelving twice keeps every place.
        self._connection.execute(
            "UPDATE location SET uid = ? - uid WHERE mailbox = ? AND uid > 0", (min(lowest or 0, 0), mailbox)
        )

    def _flag_changes(self, delta: MailboxDelta) -> str:
        """Return the flags of a delta as parameter: JSON of [uid, flag set, modseq]."""
        return json_of([(one.uid, self._flags.get(one.flags).num, one.modseq) for one in delta.flagged])

    def _touch(self, arrivals: Arrivals, deltas: Sequence[_Delta], changes: Sequence[str], gone: list[int]) -> None:
        """Collect the emails whose places change."""
        insert = "INSERT OR IGNORE INTO temp.touched"
        execute = self._connection.execute
        execute(f"{insert} SELECT value FROM json_each(?)", (json_of(arrivals.touched),))
        for (mailbox, delta), changed in zip(deltas, changes, strict=True):
            if delta.flagged:
                execute(
                    f"{insert} SELECT l.email FROM json_each(?) j CROSS JOIN location l"
                    " ON l.mailbox = ? AND l.uid = j.value ->> 0 WHERE l.flags <> j.value ->> 1",
                    (changed, mailbox),
                )
            if delta.vanished:
                execute(
                    f"{insert} SELECT l.email FROM json_each(?) j CROSS JOIN location l"
                    " ON l.mailbox = ? AND l.uid BETWEEN max(j.value ->> 0, 1) AND j.value ->> 1",
                    (json_of(delta.vanished), mailbox),
                )
            if delta.clears_shelf:
                execute(f"{insert} SELECT email FROM location WHERE mailbox = ? AND uid < 0", (mailbox,))
        for mailbox in gone:
            execute(f"{insert} SELECT email FROM location WHERE mailbox = ?", (mailbox,))

    def _involve(self, threads: Iterable[int]) -> None:
        """Collect the Threads whose share of the counts may change."""
        execute = self._connection.execute
        execute("INSERT OR IGNORE INTO temp.involved SELECT value FROM json_each(?)", (json_of(set(threads)),))
        execute(
            "INSERT OR IGNORE INTO temp.involved SELECT e.thread FROM temp.touched t"
            " CROSS JOIN email e ON e.num = t.email"
        )

    def _move(self, deltas: Sequence[_Delta], changes: Sequence[str], gone: Sequence[int]) -> None:
        """Change and remove places."""
        execute = self._connection.execute
        for (mailbox, delta), changed in zip(deltas, changes, strict=True):
            if delta.flagged:
                execute(
                    "INSERT OR REPLACE INTO location (mailbox, uid, email, flags, modseq)"
                    " SELECT l.mailbox, l.uid, l.email, j.value ->> 1, max(l.modseq, j.value ->> 2)"
                    " FROM json_each(?) j CROSS JOIN location l ON l.mailbox = ? AND l.uid = j.value ->> 0",
                    (changed, mailbox),
                )
        for mailbox, delta in deltas:
            if delta.vanished:
                execute(
                    "DELETE FROM location WHERE (mailbox, uid) IN (SELECT l.mailbox, l.uid FROM json_each(?) j"
                    " CROSS JOIN location l ON l.mailbox = ?"
                    " AND l.uid BETWEEN max(j.value ->> 0, 1) AND j.value ->> 1)",
                    (json_of(delta.vanished), mailbox),
                )
            if delta.clears_shelf:
                execute("DELETE FROM location WHERE mailbox = ? AND uid < 0", (mailbox,))
        for mailbox in gone:
            execute("DELETE FROM location WHERE mailbox = ?", (mailbox,))

    def _mark(self, batch: Batch, deltas: Sequence[_Delta], trash: int, *, is_trash_new: bool) -> None:
        """Keep the sync marks, and count anew where differences were not kept."""
        execute = self._connection.execute
        for mailbox, delta in deltas:
            if batch.is_bulk:
                execute("UPDATE mailbox SET is_stale = 1 WHERE num = ?", (mailbox,))
            if delta.mark is not None:
                tree.put_mark(self._connection, mailbox, delta.mark)
        if batch.is_bulk and not is_trash_new:
            return
        (is_due,) = execute(
            "SELECT EXISTS (SELECT 1 FROM mailbox WHERE is_stale AND is_indexed"
            " AND num IN (SELECT value FROM json_each(?)))",
            (json_of([mailbox for mailbox, _ in deltas]),),
        ).fetchone()
        if is_due or is_trash_new:
            counts.recount(self._connection, trash)
            execute("UPDATE mailbox SET is_stale = 0")

    def _put_details(self, details: Sequence[EmailDetail]) -> None:
        execute = self._connection.execute
        ids = json_of([detail.email_id for detail in details])
        nums = dict(
            load_json(
                self._connection,
                "SELECT json_group_array(json_array(id, num)) FROM email WHERE id IN (SELECT value FROM json_each(?))",
                (ids,),
            )
        )
        found = [(nums[one.email_id], one) for one in details if one.email_id in nums]
        previews = json_of([(num, pack_preview(one.preview)) for num, one in found])
        execute(
            "INSERT INTO content (email, preview) SELECT j.value ->> 0, j.value ->> 1 FROM json_each(?) j WHERE true"
            " ON CONFLICT (email) DO UPDATE SET preview = excluded.preview",
            (previews,),
        )
        for has_attachment in (False, True):
            execute(
                "UPDATE email SET has_attachment = ? WHERE num IN (SELECT value FROM json_each(?))",
                (has_attachment, json_of([num for num, one in found if one.has_attachment is has_attachment])),
            )
        insert_many(
            self._connection,
            "INSERT OR REPLACE INTO structure (email, structure)",
            [(num, pack_structure(one.structure)) for num, one in found],
        )

    def _set_meta(self, key: str, value: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    def _add_meta(self, key: str, value: int) -> None:
        if value:
            self._connection.execute("UPDATE meta SET value = value + ? WHERE key = ?", (value, key))


def _only_brings(delta: MailboxDelta) -> bool:
    """Tell whether nothing of a delta can concern what is in the index."""
    return not (delta.flagged or delta.vanished or delta.shelves or delta.clears_shelf)


def _places(deltas: Sequence[_Delta]) -> list[Place]:
    """Return the new places as the rest of the batch leaves them: last told, with their last flags, still there."""
    if len(deltas) == 1 and _only_brings(deltas[0].delta):
        mailbox, delta = deltas[0]
        if len({message.uid for message in delta.arrived}) == len(delta.arrived):
            return [(mailbox, message) for message in delta.arrived]
    places = {(num, message.uid): message for num, delta in deltas for message in delta.arrived}
    if not places:
        return []
    for num, delta in deltas:
        for change in delta.flagged:
            if (message := places.get((num, change.uid))) is not None:
                places[num, change.uid] = message._replace(
                    flags=change.flags, modseq=max(message.modseq, change.modseq)
                )
        if delta.vanished:
            ranges = sorted(delta.vanished)
            starts = [low for low, _ in ranges]
            for key in [key for key in places if key[0] == num]:
                at = bisect_right(starts, key[1]) - 1
                if at >= 0 and key[1] <= ranges[at][1]:
                    del places[key]
    return [(num, message) for (num, _), message in places.items()]
