"""One consistent read view of an account's index, inside one read transaction.

Rule 1: nothing here waits: a snapshot is opened, read and closed between two awaits.
Rule 2: many rows come as one value (`sql`): beside a busy thread each step of a statement can take 5 ms.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from gateway.account import tree
from gateway.account.journal import Journal, StateType
from gateway.account.pack import unpack_email
from gateway.account.records import Changes, EmailMarks, EmailRow, Location, MailboxRow
from gateway.account.sql import json_of, load_json

__all__ = ["Caches", "Snapshot", "StateType"]

_EMAIL = """
SELECT '[' || group_concat('["' || e.id || '","' || t.id || '",[' ||
  (SELECT group_concat(m.mailbox) FROM member m WHERE m.thread = e.thread AND m.email = e.num) || '],' ||
  e.keywords || ',' || e.size || ',' || e.received || ',' || coalesce(e.has_attachment, 'null') || ',' ||
  coalesce(c.preview, 'null') || ',' || coalesce(c.summary, 'null') || {structure} || ']', ',') || ']'
FROM json_each(?) j CROSS JOIN email e ON e.id = j.value CROSS JOIN thread t ON t.num = e.thread
LEFT JOIN content c ON c.email = e.num {join} WHERE e.is_visible"""
_WITHOUT_STRUCTURE = _EMAIL.format(structure="''", join="")
_WITH_STRUCTURE = _EMAIL.format(
    structure="',' || coalesce(s.structure, 'null')", join="LEFT JOIN structure s ON s.email = e.num"
)
_MARKS = """
SELECT json_group_array(json_array(e.id, e.keywords, e.received,
  (SELECT group_concat(m.mailbox) FROM member m WHERE m.thread = e.thread AND m.email = e.num)))
FROM json_each(?) j CROSS JOIN email e ON e.id = j.value WHERE e.is_visible"""

MAX_ROWS = 2_000  # kept of an account: forty pages of a list, 4 MB at most


class Caches:
    """What all views of an index share: numbers that keep their meaning."""

    def __init__(self) -> None:
        self.keywordsets: dict[int, tuple[str, ...]] = {}
        self.mailbox_ids: tuple[int, dict[int, str]] = (-1, {})  # as of a seq of Mailbox
        # Moves on before and after every write: odd while one is under way, so that no row of before is taken for one
        # of after.
        self.version = 0
        self._rows: dict[str, EmailRow] = {}
        self._rows_version = 0
        self._journal: tuple[int, Journal | None] = (-1, None)

    def rows(self, version: int) -> dict[str, EmailRow] | None:
        """Return the rows read since the last write, to be read and added to; None while they cannot be trusted."""
        if version % 2 or version != self.version:
            return None
        if self._rows_version != version or len(self._rows) > MAX_ROWS:
            self._rows, self._rows_version = {}, version
        return self._rows

    def journal(self, version: int, connection: sqlite3.Connection) -> Journal:
        """Return the head of the history, read once after each write."""
        connection.execute("SELECT 1 FROM meta")  # from now on the view is of this moment, or of before
        if version % 2 or version != self.version:
            return Journal.load(connection)
        known_version, journal = self._journal
        if journal is None or known_version != version:
            journal = Journal.load(connection)
            self._journal = version, journal
        return journal

    def forget_rows(self) -> None:
        self._rows = {}


class Snapshot:
    """What `Account.snapshot()` gives: reads of one moment."""

    def __init__(self, connection: sqlite3.Connection, caches: Caches) -> None:
        self.connection = connection
        self._caches = caches
        self._version = caches.version

    @cached_property
    def journal(self) -> Journal:
        return self._caches.journal(self._version, self.connection)

    def state(self, type: StateType) -> str:
        """Return the state string of a type."""
        return self.journal.state(type)

    def changes(self, type: StateType, since: str, max_changes: int | None = None) -> Changes:
        """Answer /changes (RFC 8620 section 5.2). Raise `cannotCalculateChanges`."""
        return self.journal.changes(self.connection, type, since, max_changes)

    def mailboxes(self) -> list[MailboxRow]:
        """Return every mailbox of the account, in no order."""
        return tree.Tree(self.connection).rows

    def mailbox(self, mailbox_id: str) -> MailboxRow | None:
        """Return one mailbox."""
        return tree.load_row(self.connection, mailbox_id)

    def emails(self, ids: Iterable[str], *, with_structure: bool = False) -> dict[str, EmailRow]:
        """Return the Emails that exist of these, by id."""
        if with_structure:
            return self._load_emails(list(ids), with_structure=True)
        _ = self.journal  # from the first read on the view is of one moment; the version is looked at after that
        rows = self._caches.rows(self._version)
        if rows is None:
            return self._load_emails(list(ids), with_structure=False)
        wanted = list(ids)
        if lacking := [id for id in wanted if id not in rows]:
            loaded = self._load_emails(lacking, with_structure=False)
            if self._caches.rows(self._version) is not rows:  # a write has begun: they are of before
                return {id: row for id in wanted if (row := loaded.get(id) or rows.get(id)) is not None}
            rows.update(loaded)
        return {id: rows[id] for id in wanted if id in rows}

    def email_marks(self, ids: Iterable[str]) -> dict[str, EmailMarks]:
        """Return what can change of the Emails that exist of these, by id: a fifth of the cost of `emails`."""
        found = load_json(self.connection, _MARKS, (json_of(ids),)) or ()
        keywordsets = self.keywordsets if found else {}
        named = {numbers: self._named(numbers) for numbers in {values[3] for values in found}}
        return {
            id: EmailMarks(id, named[mailboxes], keywordsets[keywords], received)
            for id, keywords, received, mailboxes in found
        }

    def _named(self, numbers: str) -> tuple[str, ...]:
        """Return the ids of mailboxes by their internal keys, "1,7"."""
        return tuple([self.mailbox_ids[int(number)] for number in numbers.split(",")])

    def _load_emails(self, ids: Sequence[str], *, with_structure: bool) -> dict[str, EmailRow]:
        text = _WITH_STRUCTURE if with_structure else _WITHOUT_STRUCTURE
        found = load_json(self.connection, text, (json_of(ids),)) or ()
        mailbox_ids = self.mailbox_ids
        keywordsets = self._caches.keywordsets
        if any(values[3] not in keywordsets for values in found):
            keywordsets = self.keywordsets
        headers = self._headers([values[0] for values in found if values[8] is None])
        rows = [
            unpack_email(values, mailbox_ids, keywordsets, headers.get(values[0]), with_structure=with_structure)
            for values in found
        ]
        return {row.id: row for row in rows}

    def _headers(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the headers of emails that are not digested."""
        if not ids:
            return {}
        found = self._list(
            "SELECT json_group_array(json_array(e.id, hex(h.block))) FROM json_each(?) j"
            " CROSS JOIN email e ON e.id = j.value CROSS JOIN header h ON h.email = e.num",
            json_of(ids),
        )
        return {id: bytes.fromhex(block) for id, block in found}

    def undigested(self, limit: int) -> list[int]:
        """Return the internal keys of at most `limit` emails that are not digested, those indexed last first."""
        return self._list(
            "SELECT json_group_array(email) FROM (SELECT email FROM header ORDER BY email DESC LIMIT ?)", limit
        )

    def email_ids(self, limit: int) -> list[str]:
        """Return the ids of at most `limit` Emails of the account, newest first."""
        return self._list(
            "SELECT json_group_array(id) FROM (SELECT id FROM email WHERE is_visible"
            " ORDER BY received DESC, num DESC LIMIT ?)",
            limit,
        )

    def thread_ids(self, limit: int) -> list[str]:
        """Return the ids of at most `limit` Threads of the account."""
        return self._list(
            "SELECT json_group_array(id) FROM (SELECT id FROM thread WHERE is_visible ORDER BY num DESC LIMIT ?)", limit
        )

    def threads(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """Return the email ids of the Threads that exist of these, oldest first (RFC 8621 section 3)."""
        found = load_json(
            self.connection,
            "SELECT json_group_array(json_array(t.id, m.received, e.id)) FROM json_each(?) j"
            " CROSS JOIN thread t ON t.id = j.value CROSS JOIN member m ON m.thread = t.num"
            " CROSS JOIN email e ON e.num = m.email",
            (json_of(ids),),
        )
        threads: dict[str, dict[str, None]] = {}
        for thread_id, _, email_id in sorted(found):
            threads.setdefault(thread_id, {})[email_id] = None
        return {thread_id: list(emails) for thread_id, emails in threads.items()}

    def locations(self, email_ids: Iterable[str]) -> dict[str, list[Location]]:
        """Return where these Emails are, places flagged \\Deleted and the shelf included."""
        found = load_json(
            self.connection,
            "SELECT json_group_array(json_array(e.id, l.mailbox, l.uid)) FROM json_each(?) j"
            " CROSS JOIN email e ON e.id = j.value CROSS JOIN location l ON l.email = e.num",
            (json_of(set(email_ids)),),
        )
        mailbox_ids = self.mailbox_ids
        out: dict[str, list[Location]] = {}
        for email_id, mailbox, uid in found:
            out.setdefault(email_id, []).append(Location(mailbox_ids[mailbox], uid))
        return out

    def has_locations(self, mailbox_id: str) -> bool:
        """Tell whether anything is known of a mailbox's messages, the shelf included."""
        (has_any,) = self.connection.execute(
            "SELECT EXISTS (SELECT 1 FROM location WHERE mailbox = (SELECT num FROM mailbox WHERE id = ?))",
            (mailbox_id,),
        ).fetchone()
        return bool(has_any)

    def uids(self, mailbox_id: str) -> list[tuple[int, int]]:
        """Return the known uids of a mailbox as sorted, inclusive ranges; the shelf left out. Slow: see `read`."""
        count, low, high = self.connection.execute(
            "SELECT count(*), min(uid), max(uid) FROM location"
            " WHERE mailbox = (SELECT num FROM mailbox WHERE id = ?) AND uid > 0",
            (mailbox_id,),
        ).fetchone()
        if count == 0 or high - low + 1 == count:  # no gaps: ten times faster
            return [(low, high)] if count else []
        found = self._list(
            "SELECT json_group_array(json_array(low, high)) FROM (SELECT min(uid) AS low, max(uid) AS high FROM ("
            "SELECT uid, uid - row_number() OVER (ORDER BY uid) AS gap FROM location"
            " WHERE mailbox = (SELECT num FROM mailbox WHERE id = ?) AND uid > 0) GROUP BY gap)",
            mailbox_id,
        )
        return sorted((low, high) for low, high in found)

    def flags(self, mailbox_id: str, low: int, high: int) -> dict[int, tuple[tuple[str, ...], int]]:
        """Return (flags as stored, modseq) of the known uids from `low` to `high`."""
        found = self._list(
            "SELECT json_group_array(json_array(uid, flags, modseq)) FROM location"
            " WHERE mailbox = (SELECT num FROM mailbox WHERE id = ?) AND uid BETWEEN max(1, ?) AND ?",
            mailbox_id,
            low,
            high,
        )
        nums = json_of({flags for _, flags, _ in found})
        flagsets = self._list(
            "SELECT json_group_array(json_array(num, json(flags))) FROM flagset"
            " WHERE num IN (SELECT value FROM json_each(?))",
            nums,
        )
        stored = {num: tuple(flags) for num, flags in flagsets}
        return {uid: (stored[flags], modseq) for uid, flags, modseq in found}

    def emails_without_details(self, mailbox_id: str | None, limit: int) -> list[str]:
        """Return ids of Emails that lack details, newest first, of a mailbox or of all."""
        inside = (
            ""
            if mailbox_id is None
            else (
                " AND EXISTS (SELECT 1 FROM member m WHERE m.mailbox = (SELECT num FROM mailbox WHERE id = ?)"
                " AND m.received = e.received AND m.email = e.num)"
            )
        )
        parameters = () if mailbox_id is None else (mailbox_id,)
        return self._list(
            "SELECT json_group_array(id) FROM (SELECT id FROM email e INDEXED BY email_bare"
            f" WHERE is_visible AND has_attachment IS NULL{inside} ORDER BY received DESC LIMIT ?)",
            *parameters,
            limit,
        )

    def email_at(self, mailbox_id: str, uids: Sequence[int]) -> dict[int, str]:
        """Return the Email ids at these uids, \\Deleted ones included; unknown uids are left out."""
        found = self._list(
            "SELECT json_group_array(json_array(l.uid, e.id)) FROM json_each(?) j CROSS JOIN location l"
            " ON l.mailbox = (SELECT num FROM mailbox WHERE id = ?) AND l.uid = j.value"
            " CROSS JOIN email e ON e.num = l.email",
            json_of(uids),
            mailbox_id,
        )
        return dict(found)

    @property
    def mailbox_ids(self) -> dict[int, str]:
        """The ids of the mailboxes by number."""
        seq, ids = self._caches.mailbox_ids
        now = self.journal.seqs["Mailbox"]
        if seq != now:
            ids = dict(self._list("SELECT json_group_array(json_array(num, id)) FROM mailbox"))
            self._caches.mailbox_ids = (now, ids)
        return ids

    @property
    def keywordsets(self) -> dict[int, tuple[str, ...]]:
        """Every combination of keywords by number."""
        known = self._caches.keywordsets
        (count,) = self.connection.execute("SELECT count(*) FROM keywordset").fetchone()
        if count != len(known):
            found = self._list("SELECT json_group_array(json_array(num, json(keywords))) FROM keywordset")
            known = self._caches.keywordsets = {num: tuple(keywords) for num, keywords in found}
        return known

    def meta(self, key: str) -> int:
        """Return one number that the index keeps of itself: "emails" and "threads" are what is visible."""
        return int(self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])

    def _list(self, text: str, *parameters: Any) -> list[Any]:
        found: list[Any] = load_json(self.connection, text, parameters)
        return found
