"""Apply a batch to the index: the one place that changes it. Runs in a thread, one batch at a time.

Rule 1: a batch is seen whole or not at all, and the journal is written with it. It is a transaction; only windows of a
first indexing share one, for each commit writes again every page of the indexes with random keys.
Rule 2: places are added in all mailboxes first, then flags change, then places go, so that a move made elsewhere is
an update and never a destroy and a create.
Rule 3: a batch that changes nothing a client can see takes no seq.
Rule 4: where the index is mirrored, a batch is committed only after its entry is in the mirror: nobody can have seen
what the next owner does not know. A batch that moves no row takes no step.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence

import orjson

from gateway.account import counts, tree
from gateway.account.arrivals import Arrivals, Numbers, PlacedDelta, only_brings, places_of, prepare
from gateway.account.digest import digest_emails
from gateway.account.effects import Effects, note_before, settle_emails, settle_threads
from gateway.account.entries import Entry, Foreign, pack_entry, unpack_entry
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


class Writer:
    """The writing half of an index."""

    def __init__(self, connection: sqlite3.Connection, token: int | None = None) -> None:
        """`token`: of the lease under which batches are mirrored; None: they are not."""
        self._connection, self._token = connection, token
        self._flags = FlagSets(connection)
        self._numbers = Numbers.load(connection)
        self._moves_rows = False  # the batch under way
        self._sweep_in = 1  # the first batch after opening sweeps
        self._seq = 0  # of the last batch that was staged
        self._uncommitted = 0  # batches
        self._untold: dict[str, str] = {}  # the states they brought
        self._entries: list[bytes] = []  # what of them the mirror has to have first

    def apply(self, batch: Batch) -> Applied:
        """Apply a batch; a delta of a mailbox that is not in the tree (any more) is left out.

        Raises `Lost` when batches that were applied before are gone with this one.
        """
        applied = self.stage(batch)
        if batch.is_bulk and self._uncommitted < BULK_BATCHES:
            return Applied(applied.seq)  # nobody can see it yet
        return self.commit()

    def stage(self, batch: Batch) -> Applied:
        """Apply a batch and do not commit it. Return where it leads."""
        return self._stage(batch, None)

    @property
    def is_due(self) -> bool:
        """Tell whether enough was staged that it should be committed, whatever comes next."""
        return self._uncommitted >= BULK_BATCHES

    def take_entries(self) -> Sequence[bytes]:
        """Return the entries of what is staged, to be mirrored now; if that fails, `rollback`."""
        entries, self._entries = self._entries, []
        return entries

    def replay(self, octets: bytes, token: int) -> None:
        """Apply an entry that another owner has mirrored under this token. Raise `Foreign` where it does not fit."""
        entry = unpack_entry(octets)
        self._numbers = entry.numbers
        applied = self._stage(entry.batch, entry)
        if applied.seq != entry.seq:
            raise Foreign(f"an entry led to {applied.seq} and not to {entry.seq}")
        self._set_meta("token", token)

    def _stage(self, batch: Batch, entry: Entry | None) -> Applied:
        connection = self._connection
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        connection.execute("SAVEPOINT batch")
        try:
            applied = self._apply(batch, entry)
            connection.execute("RELEASE batch")
        except BaseException:
            self._undo()
            raise
        self._uncommitted += 1
        self._untold |= applied.states
        self._seq = applied.seq
        return applied

    def commit(self) -> Applied:
        """Commit what is staged. Return the states that it brought."""
        if self._uncommitted:
            self._commit()
        states, self._untold = self._untold, {}
        return Applied(self._seq, states)

    def rollback(self) -> None:
        """Take back all that is staged: the mirror does not have it."""
        if self._connection.in_transaction:
            self._connection.rollback()
        self._uncommitted, self._entries, self._untold = 0, [], {}
        self._flags.forget()
        self._numbers = Numbers.load(self._connection)

    def flush(self) -> None:
        """Write down what was applied, before the connection closes; what the mirror does not have is taken back."""
        if self._entries:
            self.rollback()
        elif self._uncommitted:
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
            self._entries = []
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

    def _apply(self, batch: Batch, entry: Entry | None) -> Applied:
        """Apply a batch; `entry` is it as another owner has applied it."""
        connection = self._connection
        meta = load_json(connection, "SELECT json_group_object(key, value) FROM meta")
        seq, now_s = meta["seq"] + 1, int(time.time()) if entry is None else entry.now_s
        next_keys = (self._numbers.email, self._numbers.thread)
        touched_types: set[StateType] = set()
        self._moves_rows = False
        if batch.mailboxes is not None or batch.deltas:
            touched_types = self._apply_mail(batch, seq, now_s)
        if batch.details:
            self._put_details(batch.details)
        if batch.digests:
            digest_emails(connection, batch.digests)
        sweeps = self._is_sweep_due(touched_types) if entry is None else entry.sweeps
        news: dict[str, int] = {}
        if touched_types:
            news = {"seq": seq} | {f"seq {type}": seq for type in touched_types}
            if sweeps:
                forget_tombstones(connection, now_s)
        else:
            seq = meta["seq"]
        if entry is not None:
            news["step"] = meta.get("step", 0) + 1
        elif self._token is not None and (touched_types or self._moves_rows):
            news |= {"step": meta.get("step", 0) + 1, "token": self._token}
            self._entries.append(pack_entry(Entry(batch, seq, now_s, sweeps, *next_keys)))
        if news:
            connection.execute(
                "INSERT OR REPLACE INTO meta (key, value) SELECT key, value FROM json_each(?)",
                (orjson.dumps(news).decode(),),
            )
        if not touched_types:
            return Applied(seq)
        return Applied(seq, {type: f"{meta['epoch']}-{seq}" for type in STATE_TYPES if type in touched_types})

    def _is_sweep_due(self, touched_types: set[StateType]) -> bool:
        if touched_types:
            self._sweep_in -= 1
        if self._sweep_in > 0:
            return False
        self._sweep_in = BATCHES_BETWEEN_SWEEPS
        return True

    def _apply_mail(self, batch: Batch, seq: int, now_s: int) -> set[StateType]:
        connection = self._connection
        before = now = tree.Tree(connection)
        gone: list[int] = []
        if batch.mailboxes is not None:
            gone = tree.put_facts(connection, before, batch.mailboxes, seq)
            now = tree.Tree(connection)
        indexed = now.indexed()  # before this batch marks any
        known = {id: num for id, num in now.nums.items() if num not in gone}
        deltas = [PlacedDelta(known[delta.mailbox_id], delta) for delta in batch.deltas if delta.mailbox_id in known]
        places = places_of(deltas)
        for num, delta in deltas:
            if delta.shelves:
                self._shelve(num)
        arrivals = prepare(connection, self._flags, places, self._numbers, seq) if places else Arrivals()
        # Most batches of a first indexing bring new emails and nothing else: those are written, and there is no more
        # to it but to note which Threads they joined.
        is_plain = batch.is_bulk and not gone and not arrivals.touched and all(map(only_brings, batch.deltas))
        emails = Effects()  # as far as they were there before
        if is_plain:
            arrivals.write(connection)
        else:
            emails = self._apply_effects(batch, deltas, arrivals, gone, (before.trash, now.trash), seq, now_s)
        threads = settle_threads(connection, arrivals.joined, emails, seq, now_s)
        tree.drop(connection, gone, seq, now_s)
        self._mark(batch, deltas, now, is_trash_new=now.trash != before.trash)
        self._add_meta("emails", arrivals.new_emails + emails.created - emails.destroyed)
        self._add_meta("threads", arrivals.new_threads + threads.created - threads.destroyed)
        after = tree.Tree(connection)
        is_moved = after != before
        is_mailbox_changed = is_moved and tree.note_changes(connection, before, after, seq)
        self._moves_rows = batch.is_bulk or is_moved or not all(map(_only_marks, batch.deltas))
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
        deltas: Sequence[PlacedDelta],
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

    def _touch(
        self, arrivals: Arrivals, deltas: Sequence[PlacedDelta], changes: Sequence[str], gone: list[int]
    ) -> None:
        """Collect the emails whose places change."""
        insert = "INSERT OR IGNORE INTO temp.touched"
        execute = self._connection.execute
        if arrivals.touched:
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
        if involved := set(threads):
            execute("INSERT OR IGNORE INTO temp.involved SELECT value FROM json_each(?)", (json_of(involved),))
        execute(
            "INSERT OR IGNORE INTO temp.involved SELECT e.thread FROM temp.touched t"
            " CROSS JOIN email e ON e.num = t.email"
        )

    def _move(self, deltas: Sequence[PlacedDelta], changes: Sequence[str], gone: Sequence[int]) -> None:
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

    def _mark(self, batch: Batch, deltas: Sequence[PlacedDelta], now: tree.Tree, *, is_trash_new: bool) -> None:
        """Keep the sync marks, and count anew where differences were not kept."""
        indexed = now.indexed()
        execute = self._connection.execute
        for mailbox, delta in deltas:
            if batch.is_bulk:
                execute("UPDATE mailbox SET is_stale = 1 WHERE num = ?", (mailbox,))
            if delta.mark is not None:
                tree.put_mark(self._connection, mailbox, delta.mark)
                if delta.mark.is_indexed:
                    indexed.add(mailbox)
                else:
                    indexed.discard(mailbox)
        if batch.is_bulk and not is_trash_new:
            return
        is_due = not now.stale().isdisjoint(indexed.intersection(mailbox for mailbox, _ in deltas))
        if is_due or is_trash_new:
            counts.recount(self._connection, now.trash)
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


def _only_marks(delta: MailboxDelta) -> bool:
    """Tell whether a delta says nothing but how far its mailbox has been read."""
    return only_brings(delta) and not delta.arrived
