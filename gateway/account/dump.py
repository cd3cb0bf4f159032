"""An index as the parts of a mirror's snapshot, and back.

Rule 1: what only this index knows goes out: ids, seqs, keys, flags, Threads, tombstones, headers. What follows from it
is made again (`member`, `words`), and what the upstream can give again is left out (previews, structures).
Rule 2: a part is some thousand rows of one table, column by column, as compressed JSON text; the first says of what
format they are.
Rule 3: an index is filled in one transaction: whole or not at all.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from gateway.account.entries import FORMAT, Foreign
from gateway.account.pack import pack_words
from gateway.account.sql import insert_many, load_json
from gateway.message.summary import Summary

ROWS_AT_ONCE = 2_000  # half a megabyte of headers; some 10 ms of a thread
ZLIB_LEVEL = 6

_TABLES = ("flagset", "keywordset", "mailbox", "email", "thread", "location", "link", "tombstone", "header", "content")
_LEFT_OUT = {"email": {"has_attachment"}, "content": {"preview"}}  # details go with their structure
_KEYS = {
    "location": ("mailbox", "uid"),
    "link": ("hash",),
    "tombstone": ("type", "seq", "num"),
    "header": ("email",),
    "content": ("email",),
}
_MEMBERS = """
INSERT INTO member (mailbox, received, email, thread, keywords)
SELECT DISTINCT l.mailbox, e.received, e.num, e.thread, e.keywords FROM location l
CROSS JOIN flagset f ON f.num = l.flags CROSS JOIN email e ON e.num = l.email
WHERE NOT f.is_deleted ORDER BY 1, 2, 3"""


def dump(connection: sqlite3.Connection) -> Iterator[bytes]:
    """Yield the parts of an index, as one read transaction sees it. Each takes some milliseconds of a thread."""
    meta = load_json(connection, "SELECT json_group_object(key, value) FROM meta")
    yield _compressed({"format": FORMAT, "meta": meta})
    for table in _TABLES:
        left_out = _LEFT_OUT.get(table, set())
        names = [column[0] for column in connection.execute(f"SELECT * FROM {table} LIMIT 0").description]
        yield from _dump_table(connection, table, [name for name in names if name not in left_out])


def _dump_table(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> Iterator[bytes]:
    key = _KEYS.get(table, ("num",))
    keys, marks = ", ".join(key), ", ".join("?" * len(key))
    where = {"content": "summary IS NOT NULL"}.get(table, "true")
    values = ", ".join(f"json_group_array({_value(column)})" for column in columns)
    last: tuple[Any, ...] | None = None
    while True:
        after = "" if last is None else f" AND ({keys}) > ({marks})"
        found = load_json(
            connection,
            f"SELECT json_array({values}) FROM"
            f" (SELECT * FROM {table} WHERE {where}{after} ORDER BY {keys} LIMIT {ROWS_AT_ONCE})",
            last or (),
        )
        if not found[0]:
            return
        if table == "header":
            found[1] = [bytes.fromhex(block).decode("latin-1") for block in found[1]]
        yield _compressed({"table": table, "names": columns, "columns": found})
        if len(found[0]) < ROWS_AT_ONCE:
            return
        last = tuple(found[columns.index(name)][-1] for name in key)


def _value(column: str) -> str:
    return "hex(block)" if column == "block" else column


def fill(connection: sqlite3.Connection, part: bytes) -> None:
    """Put a part into an index that is empty but for what `begin` wrote, within a transaction. Raise `Foreign`."""
    try:
        value = orjson.loads(zlib.decompress(part))
        if "format" in value:
            if value["format"] != FORMAT:
                raise Foreign(f"a snapshot of format {value['format']}")
            connection.execute("DELETE FROM meta")
            insert_many(connection, "INSERT OR FAIL INTO meta (key, value)", list(value["meta"].items()))
            return
        table, names, columns = value["table"], value["names"], value["columns"]
        if table not in _TABLES:
            raise Foreign("a part of a snapshot that belongs to no table")
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise Foreign("a part of a snapshot that cannot be read") from error
    if table == "header":
        columns[1] = [block.encode("latin-1") for block in columns[1]]
    if table == "content":
        words = [pack_words(Summary(*orjson.loads(summary))) for summary in columns[1]]
        rows = [(email, *row) for email, row in zip(columns[0], words, strict=True)]
        insert_many(connection, "INSERT OR FAIL INTO words", rows)
    insert_many(connection, f"INSERT OR FAIL INTO {table} ({', '.join(names)})", list(zip(*columns, strict=True)))


def finish(connection: sqlite3.Connection) -> None:
    """Make what follows from the parts, once all are in."""
    connection.execute(_MEMBERS)


def _compressed(value: object) -> bytes:
    return zlib.compress(orjson.dumps(value), ZLIB_LEVEL)
