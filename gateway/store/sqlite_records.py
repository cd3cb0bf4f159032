"""The `RecordStore` of the embedded store: its tables and what is read and written in one transaction.

Rule 1: a record and its tombstone are one row: octets NULL means destroyed.
Rule 2: a write whose successor is older than 30 days is forgotten, and with it every tombstone that only a state of
        that time could want. States of then are too old; the newest state of a type never is.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence

from gateway.store.api import RecordChange, RecordHistory, Records, RecordState

KEEP_S = 30 * 86_400  # RFC 8620 section 5.2 asks for 30 days
MAX_WRITES = 5000  # of one type of one account: 200 kB
MAX_TOMBSTONES = 10_000  # of one type of one account: a megabyte
MARK_OCTETS = 6  # a state of another history passes for one of ours once in 10**14
IDS_AT_ONCE = 500  # in one statement: SQLite takes 32,766

SCHEMA = """
    CREATE TABLE record (
        account_id TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
        first_seq INTEGER NOT NULL, created_seq INTEGER NOT NULL, changed_seq INTEGER NOT NULL, octets BLOB,
        PRIMARY KEY (account_id, type, id)
    ) WITHOUT ROWID;
    CREATE INDEX record_by_type ON record (type, account_id) WHERE octets IS NOT NULL;
    CREATE TABLE record_write (
        account_id TEXT NOT NULL, type TEXT NOT NULL, seq INTEGER NOT NULL, mark TEXT NOT NULL, at_s INTEGER NOT NULL,
        PRIMARY KEY (account_id, type, seq)
    ) WITHOUT ROWID;
    INSERT OR IGNORE INTO key VALUES ('record history', randomblob(32));
    """


def read(
    db: sqlite3.Connection, account_id: str, type: str, ids: Collection[str] | None, *, with_history: bool
) -> Records:
    by_id: dict[str, bytes] = {}
    where = "account_id = ? AND type = ? AND octets IS NOT NULL"
    if ids is None:
        query = f"SELECT id, octets FROM record WHERE {where} ORDER BY created_seq, id"
        by_id.update(db.execute(query, (account_id, type)))
    else:
        for some in _slices(list(dict.fromkeys(ids))):
            marks = ",".join("?" * len(some))
            query = f"SELECT id, octets FROM record WHERE {where} AND id IN ({marks}) ORDER BY created_seq, id"
            by_id.update(db.execute(query, (account_id, type, *some)))
    return Records(_state(db, account_id, type), by_id, _history(db, account_id, type) if with_history else None)


def states(db: sqlite3.Connection, account_id: str) -> dict[str, RecordState]:
    query = "SELECT type, max(seq), mark FROM record_write WHERE account_id = ? GROUP BY type"
    return {type: RecordState(seq, mark) for type, seq, mark in db.execute(query, (account_id,))}


def accounts(db: sqlite3.Connection, type: str) -> list[str]:
    query = "SELECT DISTINCT account_id FROM record WHERE type = ? AND octets IS NOT NULL"
    return [account_id for (account_id,) in db.execute(query, (type,))]


def write(
    db: sqlite3.Connection, account_id: str, writes: Mapping[str, Mapping[str, bytes | None]], now_s: int
) -> dict[str, RecordState]:
    query = "SELECT coalesce(max(seq), 0) FROM record_write WHERE account_id = ?"
    seq: int = db.execute(query, (account_id,)).fetchone()[0] + 1
    mark = secrets.token_hex(MARK_OCTETS)
    new: dict[str, RecordState] = {}
    for type, records in writes.items():
        old = read(db, account_id, type, records.keys(), with_history=False)
        rows = [
            (account_id, type, id, seq, seq, seq, octets)
            for id, octets in records.items()
            if octets != old.by_id.get(id)  # a tombstone of what was never there is none either
        ]
        if not rows:
            continue
        if old.state.seq == 0:  # the state before the first write can be told from as well
            db.execute("INSERT INTO record_write VALUES (?,?,0,?,0)", (account_id, type, old.state.mark))
        db.executemany(
            "INSERT INTO record VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET"
            " created_seq = CASE WHEN octets IS NULL THEN excluded.created_seq ELSE created_seq END,"
            " changed_seq = excluded.changed_seq, octets = excluded.octets",
            rows,
        )
        db.execute("INSERT INTO record_write VALUES (?,?,?,?,?)", (account_id, type, seq, mark, now_s))
        new[type] = RecordState(seq, mark)
        _forget(db, account_id, type, now_s)
    return new


def _state(db: sqlite3.Connection, account_id: str, type: str) -> RecordState:
    query = "SELECT seq, mark FROM record_write WHERE account_id = ? AND type = ? ORDER BY seq DESC LIMIT 1"
    row = db.execute(query, (account_id, type)).fetchone()
    if row is not None:
        return RecordState(*row)
    (octets,) = db.execute("SELECT octets FROM key WHERE name = 'record history'").fetchone()
    return RecordState(0, octets[:MARK_OCTETS].hex())


def _history(db: sqlite3.Connection, account_id: str, type: str) -> RecordHistory:
    query = "SELECT seq, mark FROM record_write WHERE account_id = ? AND type = ?"
    marks = dict(db.execute(query, (account_id, type))) or dict([_state(db, account_id, type)])
    query = (
        "SELECT changed_seq, id, created_seq, first_seq, octets IS NULL FROM record"
        " WHERE account_id = ? AND type = ? ORDER BY changed_seq, id"
    )
    rows = db.execute(query, (account_id, type))
    return RecordHistory(marks, [RecordChange(seq, id, made, first, bool(gone)) for seq, id, made, first, gone in rows])


def _forget(db: sqlite3.Connection, account_id: str, type: str, now_s: int) -> None:
    """Drop what is too old or too much. A write that is kept can be told from: what was destroyed after it is kept."""
    floors = (
        ("SELECT max(seq) FROM record_write WHERE account_id = ? AND type = ? AND at_s < ?", now_s - KEEP_S),
        (
            "SELECT seq FROM record_write WHERE account_id = ? AND type = ? ORDER BY seq DESC LIMIT 1 OFFSET ?",
            MAX_WRITES - 1,
        ),
        (
            """SELECT changed_seq FROM record WHERE account_id = ? AND type = ? AND octets IS NULL
            ORDER BY changed_seq DESC LIMIT 1 OFFSET ?""",
            MAX_TOMBSTONES,
        ),
    )
    found = [db.execute(query, (account_id, type, bound)).fetchone() for query, bound in floors]
    floor = max((row[0] for row in found if row is not None and row[0] is not None), default=0)
    if floor:
        db.execute("DELETE FROM record_write WHERE account_id = ? AND type = ? AND seq < ?", (account_id, type, floor))
        db.execute(
            "DELETE FROM record WHERE account_id = ? AND type = ? AND octets IS NULL AND changed_seq <= ?",
            (account_id, type, floor),
        )


def _slices(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(values), IDS_AT_ONCE):
        yield values[at : at + IDS_AT_ONCE]
