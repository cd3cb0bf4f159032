"""What a batch does to emails whose places it touched: who appears, changes, goes, and what the journal keeps of it.

Rule 1: an email is visible through the places that are not flagged \\Deleted; without one it does not exist for
clients, but its places stay known (RFC 8621 section 4.1.1).
Rule 2: all of it is sets: a few statements, however many emails.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from gateway.account.flags import FlagSets, union
from gateway.account.sql import json_of, load_json

_VISIBLE_PLACES = """
INSERT INTO temp.{table} SELECT DISTINCT l.email, l.mailbox
FROM temp.touched t CROSS JOIN location l ON l.email = t.email CROSS JOIN flagset f ON f.num = l.flags
WHERE NOT f.is_deleted"""

_NOW = """
INSERT INTO temp.now (email, locations, is_visible, keywords, highest, sets)
SELECT t.email, count(l.uid), coalesce(max(NOT f.is_deleted), 0),
  min(CASE WHEN NOT f.is_deleted THEN f.keywords END), max(CASE WHEN NOT f.is_deleted THEN f.keywords END),
  group_concat(DISTINCT CASE WHEN NOT f.is_deleted THEN f.keywords END)
FROM temp.touched t LEFT JOIN location l ON l.email = t.email LEFT JOIN flagset f ON f.num = l.flags
GROUP BY t.email"""

# The sets of keywords that places of one email disagree in, and whether an email has no place any more.
_ODD = """
SELECT json_array(
  (SELECT json_group_array(DISTINCT sets) FROM temp.now WHERE keywords <> highest),
  EXISTS (SELECT 1 FROM temp.now WHERE locations = 0))"""

_CHANGED = """
INSERT INTO temp.changed (email, thread, kind)
SELECT n.email, e.thread, CASE WHEN NOT e.is_visible THEN 'c' WHEN NOT n.is_visible THEN 'd' ELSE 'u' END
FROM temp.now n CROSS JOIN email e ON e.num = n.email
WHERE n.is_visible <> e.is_visible OR n.is_visible AND (
  n.keywords <> e.keywords
  OR EXISTS (SELECT mailbox FROM temp.new x WHERE x.email = n.email
             EXCEPT SELECT mailbox FROM temp.old o WHERE o.email = n.email)
  OR EXISTS (SELECT mailbox FROM temp.old o WHERE o.email = n.email
             EXCEPT SELECT mailbox FROM temp.new x WHERE x.email = n.email))"""

_LEAVE = """
DELETE FROM member WHERE (mailbox, received, email) IN (
  SELECT o.mailbox, e.received, o.email FROM temp.changed c
  CROSS JOIN temp.old o ON o.email = c.email CROSS JOIN email e ON e.num = c.email
  WHERE NOT EXISTS (SELECT 1 FROM temp.new x WHERE x.email = o.email AND x.mailbox = o.mailbox))"""

_ENTER = """
INSERT OR REPLACE INTO member (mailbox, received, email, thread, keywords)
SELECT x.mailbox, e.received, c.email, c.thread, n.keywords FROM temp.changed c
CROSS JOIN temp.new x ON x.email = c.email CROSS JOIN temp.now n ON n.email = c.email
CROSS JOIN email e ON e.num = c.email WHERE c.kind <> 'd'"""

_BURY = """
INSERT INTO tombstone (type, seq, num, id, thread, first_seq, destroyed_at_s)
SELECT 'Email', :seq, e.num, e.id, e.thread, e.first_seq, :now FROM temp.changed c CROSS JOIN email e ON e.num = c.email
WHERE c.kind = 'd'"""

_UPDATE = """
UPDATE email SET keywords = coalesce(n.keywords, email.keywords), is_visible = n.is_visible,
  updated_seq = CASE WHEN c.kind = 'd' THEN email.updated_seq ELSE :seq END,
  created_seq = CASE WHEN c.kind = 'c' THEN :seq ELSE email.created_seq END,
  first_seq = CASE WHEN c.kind = 'c' THEN
    coalesce((SELECT t.first_seq FROM tombstone t WHERE t.type = 'Email' AND t.id = email.id), :seq)
    ELSE email.first_seq END
FROM temp.changed c CROSS JOIN temp.now n ON n.email = c.email WHERE email.num = c.email"""

_RISE = """
DELETE FROM tombstone WHERE type = 'Email' AND id IN (
  SELECT e.id FROM temp.changed c CROSS JOIN email e ON e.num = c.email WHERE c.kind = 'c')"""

_GONE = "DELETE FROM {table} WHERE {key} IN (SELECT email FROM temp.now WHERE locations = 0)"


_TABLES_OF_EMAILS = (
    ("email", "num"),
    ("header", "email"),
    ("content", "email"),
    ("structure", "email"),
    ("words", "email"),
)


class Effects(NamedTuple):
    """How many emails and Threads a client sees appear, change and go."""

    emails: int = 0  # changed in any way
    created: int = 0
    destroyed: int = 0


def note_before(connection: sqlite3.Connection) -> None:
    """Remember where the touched emails are visible. Before the locations change."""
    connection.execute(_VISIBLE_PLACES.format(table="old"))


def settle_emails(connection: sqlite3.Connection, flags: FlagSets, seq: int, now_s: int) -> Effects:
    """Bring emails, members and tombstones in line with the locations of the touched emails."""
    connection.execute(_VISIBLE_PLACES.format(table="new"))
    connection.execute(_NOW)
    disagreements, has_gone = load_json(connection, _ODD)
    if disagreements:
        _agree_on_keywords(connection, flags, disagreements)
    connection.execute(_CHANGED)
    kinds = load_json(
        connection,
        "SELECT json_group_object(kind, n) FROM (SELECT kind, count(*) AS n FROM temp.changed GROUP BY kind)",
    )
    if kinds:
        connection.execute(_LEAVE)
        connection.execute(_ENTER)
        if "d" in kinds:
            connection.execute(_BURY, {"seq": seq, "now": now_s})
        connection.execute(_UPDATE, {"seq": seq})
        if "c" in kinds:
            connection.execute(_RISE)
    for table, key in _TABLES_OF_EMAILS if has_gone else ():
        connection.execute(_GONE.format(table=table, key=key))
    return Effects(sum(kinds.values()), kinds.get("c", 0), kinds.get("d", 0))


def _agree_on_keywords(connection: sqlite3.Connection, flags: FlagSets, disagreements: Sequence[str]) -> None:
    """Give emails whose places disagree the union of their keywords; there are few distinct disagreements."""
    agreed = {
        sets: flags.keywordset(union(flags.keywords(int(num)) for num in sets.split(","))) for sets in disagreements
    }
    connection.execute(
        "UPDATE temp.now SET keywords = j.value FROM json_each(?) j WHERE j.key = sets AND keywords <> highest",
        (orjson.dumps(agreed).decode(),),
    )


def settle_threads(connection: sqlite3.Connection, joined: set[int], emails: Effects, seq: int, now_s: int) -> Effects:
    """Bring Threads and their tombstones in line: those `joined`, and those of emails that came to light or went."""
    if not emails.created and not emails.destroyed:
        updated = 0
        if joined:
            updated = connection.execute(
                "UPDATE thread SET updated_seq = ? WHERE is_visible AND num IN (SELECT value FROM json_each(?))",
                (seq, json_of(joined)),
            ).rowcount
        if updated == len(joined):  # else one of them comes back to light
            return Effects(updated)
        connection.execute("DELETE FROM temp.changed")
    connection.execute("DELETE FROM temp.involved")
    connection.execute("INSERT INTO temp.involved SELECT value FROM json_each(?)", (json_of(joined),))
    connection.execute("INSERT OR IGNORE INTO temp.involved SELECT thread FROM temp.changed WHERE kind <> 'u'")
    parameters = {"seq": seq, "now": now_s}
    of_involved = "num IN (SELECT thread FROM temp.involved)"
    is_empty = "NOT EXISTS (SELECT 1 FROM member m WHERE m.thread = thread.num)"
    connection.execute(
        "INSERT INTO tombstone (type, seq, num, id, first_seq, destroyed_at_s)"
        " SELECT 'Thread', :seq, num, id, first_seq, :now FROM thread"
        f" WHERE {of_involved} AND is_visible AND {is_empty}",
        parameters,
    )
    destroyed = connection.execute(
        f"UPDATE thread SET is_visible = 0 WHERE {of_involved} AND is_visible AND {is_empty}"
    ).rowcount
    updated = connection.execute(
        f"UPDATE thread SET updated_seq = :seq WHERE {of_involved} AND is_visible", {"seq": seq}
    ).rowcount
    created = connection.execute(
        "UPDATE thread SET is_visible = 1, created_seq = :seq, updated_seq = :seq, first_seq = coalesce("
        "(SELECT t.first_seq FROM tombstone t WHERE t.type = 'Thread' AND t.id = thread.id), :seq)"
        f" WHERE {of_involved} AND NOT is_visible AND NOT {is_empty}",
        {"seq": seq},
    ).rowcount
    if created:
        connection.execute(
            "DELETE FROM tombstone WHERE type = 'Thread' AND id IN ("
            "SELECT id FROM temp.involved i CROSS JOIN thread t ON t.num = i.thread WHERE t.created_seq = :seq)",
            {"seq": seq},
        )
    return Effects(destroyed + updated + created, created, destroyed)
