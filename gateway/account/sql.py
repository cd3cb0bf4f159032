"""Running SQL beside an event loop: one statement for many rows.

Rule 1: each step of a statement gives the GIL away, and a thread waits up to 5 ms to get it back. So rows go in
through multi-row INSERTs, and come out as one JSON value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import orjson

# Rows of one INSERT: few sizes, so that their statements stay in the connection's cache.
_CHUNKS = (500, 100, 20, 5, 1)


@lru_cache(maxsize=128)
def _insert_text(head: str, row: str, rows: int) -> str:
    return f"{head} VALUES {', '.join([row] * rows)}"


def insert_many(connection: sqlite3.Connection, head: str, rows: Sequence[Sequence[Any]], row: str = "") -> None:
    """Insert rows by `head`, such as `INSERT OR FAIL INTO link (hash, thread)`; a failure has to end the transaction.

    `row` is the text of one row's values where some are constant. OR FAIL: what may have to be taken back within a
    transaction (ABORT, the default) is copied first, each page of an index that a row touches.
    """
    at, end = 0, len(rows)
    while at < end:
        size = next(chunk for chunk in _CHUNKS if chunk <= end - at)
        text = _insert_text(head, row or f"({', '.join('?' * len(rows[at]))})", size)
        connection.execute(text, list(chain.from_iterable(rows[at : at + size])))
        at += size


def load_json(connection: sqlite3.Connection, text: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
    """Run a SELECT of one row and column that is JSON text; return it parsed, None for NULL."""
    row = connection.execute(text, parameters).fetchone()
    return None if row is None or row[0] is None else orjson.loads(row[0])


def json_of(values: Iterable[Any]) -> str:
    """Return values as the parameter of `json_each(?)`."""
    return orjson.dumps(list(values)).decode()
