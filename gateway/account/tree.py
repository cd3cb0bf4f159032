"""The mailbox rows of the index: what the upstream lists, the sync marks, and what a client sees of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from gateway.account.records import MailboxFacts, MailboxRow, Mark
from gateway.account.sql import json_of, load_json

NO_MAILBOX = -1  # as the number of a trash mailbox that does not exist
_COLUMNS = (
    "num, id, path, name, parent_id, role, is_subscribed, sort_order, rights, is_selectable, shares, upstream_total,"
    " upstream_unread, total_emails, unread_emails, total_threads, unread_threads, uidvalidity, uidnext,"
    " highestmodseq, exists_count, is_indexed, is_stale"
)
_JSON_ROWS = f"SELECT json_group_array(json_array({_COLUMNS})) FROM mailbox"


def load_rows(connection: sqlite3.Connection, mailbox_id: str | None = None) -> list[MailboxRow]:
    """Return all mailboxes, or the one with this id."""
    if mailbox_id is None:
        return [_row(values) for values in load_json(connection, _JSON_ROWS)]
    return [_row(values) for values in load_json(connection, _JSON_ROWS + " WHERE id = ?", (mailbox_id,))]


def _row(values: list[Any]) -> MailboxRow:
    (_, id, path, name, parent_id, role, is_subscribed, sort_order, rights, is_selectable, shares, *rest) = values
    upstream_total, upstream_unread, emails, unread, threads, unread_threads, *marks = rest
    uidvalidity, uidnext, highestmodseq, exists, is_indexed, _ = marks
    facts = MailboxFacts(
        id,
        path,
        name,
        parent_id,
        role,
        bool(is_subscribed),
        sort_order,
        frozenset(rights.split()),
        bool(is_selectable),
        tuple((identifier, tuple(names)) for identifier, names in json.loads(shares)),
        upstream_total,
        upstream_unread,
    )
    mark = None
    if uidvalidity is not None:
        mark = Mark(uidvalidity, uidnext, highestmodseq, exists, bool(is_indexed))
    if not is_indexed and upstream_total is not None:
        emails = threads = upstream_total
        unread = unread_threads = upstream_unread or 0
    # Between the windows of a first indexing the differences lack what is not counted yet.
    return MailboxRow(facts, max(emails, 0), max(unread, 0), max(threads, 0), max(unread_threads, 0), mark)


def trash_of(connection: sqlite3.Connection) -> int:
    """Return the number of the trash mailbox."""
    row = connection.execute("SELECT min(num) FROM mailbox WHERE role = 'trash'").fetchone()
    return NO_MAILBOX if row[0] is None else int(row[0])


def put_facts(connection: sqlite3.Connection, mailboxes: Sequence[MailboxFacts], seq: int) -> list[int]:
    """Make the rows agree with the whole tree. Return the numbers of those that are gone; their rows stay so far."""
    known = {row.facts.id: row.facts for row in load_rows(connection)}
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
    kept = json_of([facts.id for facts in mailboxes])
    connection.execute(
        "DELETE FROM tombstone WHERE type = 'Mailbox' AND id IN (SELECT value FROM json_each(?))", (kept,)
    )
    gone: list[int] = load_json(
        connection,
        "SELECT json_group_array(num) FROM mailbox WHERE id NOT IN (SELECT value FROM json_each(?))",
        (kept,),
    )
    return gone


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


Shown = dict[str, tuple[tuple[Any, ...], tuple[int, ...]]]  # id -> (facts, counts) as a client sees them


def shown(rows: Sequence[MailboxRow]) -> Shown:
    """Return what a client sees of each mailbox."""
    out: Shown = {}
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


def note_changes(connection: sqlite3.Connection, before: Shown, after: Shown, seq: int) -> bool:
    """Write the journal of the mailboxes; return whether a client sees a change."""
    facts = [id for id, (now, _) in after.items() if id in before and before[id][0] != now]
    both = [id for id, now in after.items() if id in before and before[id] != now]
    of_ids = "id IN (SELECT value FROM json_each(?))"
    if facts:
        connection.execute(f"UPDATE mailbox SET facts_seq = ? WHERE {of_ids}", (seq, json_of(facts)))
    if both:
        connection.execute(f"UPDATE mailbox SET updated_seq = ? WHERE {of_ids}", (seq, json_of(both)))
    return bool(both) or before.keys() != after.keys()
