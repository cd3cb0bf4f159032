"""The mailbox rows of the index: what the upstream lists, the sync marks, and what a client sees of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import orjson

from gateway.account.records import MailboxFacts, MailboxRow, Mark
from gateway.account.sql import json_of, load_json

NO_MAILBOX = -1  # as the number of a trash mailbox that does not exist
_COLUMNS = (
    "num, id, path, name, parent_id, role, is_subscribed, sort_order, rights, is_selectable, shares, upstream_total,"
    " upstream_unread, total_emails, unread_emails, total_threads, unread_threads, uidvalidity, uidnext,"
    " highestmodseq, exists_count, is_indexed, is_stale"
)
_JSON_ROWS = f"SELECT json_group_array(json_array({_COLUMNS})) FROM mailbox"


class Tree:
    """All mailboxes of the index at one moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._text: str = connection.execute(_JSON_ROWS).fetchone()[0]
        self._values: list[list[Any]] = orjson.loads(self._text)

    @cached_property
    def nums(self) -> dict[str, int]:
        """The numbers by id."""
        return {values[1]: values[0] for values in self._values}

    @cached_property
    def trash(self) -> int:
        """The number of the trash mailbox."""
        return min((values[0] for values in self._values if values[5] == "trash"), default=NO_MAILBOX)

    @cached_property
    def rows(self) -> list[MailboxRow]:
        return [_row(values) for values in self._values]

    def indexed(self) -> set[int]:
        """Return the numbers of those that are indexed."""
        return {values[0] for values in self._values if values[-2]}

    def stale(self) -> set[int]:
        """Return the numbers of those whose counts lack something."""
        return {values[0] for values in self._values if values[-1]}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self._text == other._text


def load_row(connection: sqlite3.Connection, mailbox_id: str) -> MailboxRow | None:
    """Return the mailbox with this id."""
    rows = load_json(connection, _JSON_ROWS + " WHERE id = ?", (mailbox_id,))
    return _row(rows[0]) if rows else None


def _row(values: list[Any]) -> MailboxRow:
    emails, unread, threads, unread_threads, *marks = values[13:]
    facts = _facts(*values[1:13])
    uidvalidity, uidnext, highestmodseq, exists, is_indexed, _ = marks
    mark = None
    if uidvalidity is not None:
        mark = Mark(uidvalidity, uidnext, highestmodseq, exists, bool(is_indexed))
    if not is_indexed and facts.total_emails is not None:
        emails = threads = facts.total_emails
        unread = unread_threads = facts.unread_emails or 0
    # Between the windows of a first indexing the differences lack what is not counted yet.
    return MailboxRow(facts, max(emails, 0), max(unread, 0), max(threads, 0), max(unread_threads, 0), mark)


@lru_cache(maxsize=1024)
def _facts(
    id: str,
    path: str,
    name: str,
    parent_id: str | None,
    role: str | None,
    is_subscribed: int,
    sort_order: int,
    rights: str,
    is_selectable: int,
    shares: str,
    upstream_total: int | None,
    upstream_unread: int | None,
) -> MailboxFacts:
    return MailboxFacts(
        id,
        path,
        name,
        parent_id,
        role,
        bool(is_subscribed),
        sort_order,
        frozenset(rights.split()),
        bool(is_selectable),
        tuple((identifier, tuple(names)) for identifier, names in orjson.loads(shares)),
        upstream_total,
        upstream_unread,
    )


def put_facts(connection: sqlite3.Connection, before: Tree, mailboxes: Sequence[MailboxFacts], seq: int) -> list[int]:
    """Make the rows agree with the whole tree. Return the numbers of those that are gone; their rows stay so far."""
    known = {row.facts.id: row.facts for row in before.rows}
    for facts in mailboxes:
        if known.get(facts.id) == facts:
            continue
        connection.execute(
            "INSERT INTO mailbox (id, path, name, parent_id, role, is_subscribed, sort_order, rights, is_selectable,"
            " shares, upstream_total, upstream_unread, created_seq, updated_seq, first_seq, facts_seq)"
            " VALUES (:id, :path, :name, :parent, :role, :subscribed, :order, :rights, :selectable,"
            " :shares, :total, :unread,"
            " :seq, :seq, coalesce((SELECT first_seq FROM tombstone WHERE type = 'Mailbox' AND id = :id), :seq), :seq)"
            " ON CONFLICT (id) DO UPDATE SET path = :path, name = :name, parent_id = :parent, role = :role,"
            " is_subscribed = :subscribed, sort_order = :order, rights = :rights, is_selectable = :selectable,"
            " shares = :shares,"
            " upstream_total = :total, upstream_unread = :unread",
            {
                "id": facts.id,
                "path": facts.path,
                "name": facts.name,
                "parent": facts.parent_id,
                "role": facts.role,
                "subscribed": facts.is_subscribed,
                "order": facts.sort_order,
                "rights": " ".join(sorted(facts.rights)),
                "selectable": facts.is_selectable,
                "shares": json.dumps(facts.shares),
                "total": facts.total_emails,
                "unread": facts.unread_emails,
                "seq": seq,
            },
        )
    kept = {facts.id for facts in mailboxes}
    if new := kept - known.keys():
        connection.execute(
            "DELETE FROM tombstone WHERE type = 'Mailbox' AND id IN (SELECT value FROM json_each(?))", (json_of(new),)
        )
    return [num for id, num in before.nums.items() if id not in kept]


def drop(connection: sqlite3.Connection, gone: Sequence[int], seq: int, now_s: int) -> None:
    """Destroy mailboxes; their locations are gone already."""
    for num in gone:
        connection.execute(
            "INSERT INTO tombstone (type, seq, num, id, first_seq, destroyed_at_s)"
            " SELECT 'Mailbox', ?, num, id, first_seq, ? FROM mailbox WHERE num = ?",
            (seq, now_s, num),
        )
        connection.execute("DELETE FROM mailbox WHERE num = ?", (num,))


def put_mark(connection: sqlite3.Connection, num: int, mark: Mark) -> None:
    connection.execute(
        "UPDATE mailbox SET uidvalidity = ?, uidnext = ?, highestmodseq = ?, exists_count = ?, is_indexed = ?"
        " WHERE num = ?",
        (mark.uidvalidity, mark.uidnext, mark.highestmodseq, mark.exists, mark.is_indexed, num),
    )


_Shown = dict[str, tuple[tuple[Any, ...], tuple[int, ...]]]  # id -> (facts, counts) as a client sees them


def _shown(rows: Sequence[MailboxRow]) -> _Shown:
    """Return what a client sees of each mailbox."""
    out: _Shown = {}
    for row in rows:
        facts = row.facts
        out[facts.id] = (
            (
                facts.name,
                facts.parent_id,
                facts.role,
                facts.is_subscribed,
                facts.sort_order,
                facts.rights,
                facts.is_selectable,
                facts.shares,
            ),
            (row.total_emails, row.unread_emails, row.total_threads, row.unread_threads),
        )
    return out


def note_changes(connection: sqlite3.Connection, old: Tree, new: Tree, seq: int) -> bool:
    """Write the journal of the mailboxes; return whether a client sees a change."""
    before, after = _shown(old.rows), _shown(new.rows)
    facts = [id for id, (now, _) in after.items() if id in before and before[id][0] != now]
    both = [id for id, now in after.items() if id in before and before[id] != now]
    of_ids = "id IN (SELECT value FROM json_each(?))"
    if facts:
        connection.execute(f"UPDATE mailbox SET facts_seq = ? WHERE {of_ids}", (seq, json_of(facts)))
    if both:
        connection.execute(f"UPDATE mailbox SET updated_seq = ? WHERE {of_ids}", (seq, json_of(both)))
    return bool(both) or before.keys() != after.keys()
