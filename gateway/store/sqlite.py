"""User state in one SQLite file, `gateway.db`: the embedded store.

Rule 1: one thread owns the connection; every call is one transaction in it, durable (synchronous=FULL) when it returns.
Rule 2: the schema only grows: `MIGRATIONS` is appended to, never edited; `user_version` counts how many have run.
Rule 3: one process at a time: a lock on the data directory, held until close; or several that share it on purpose.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from gateway.store import sqlite_records
from gateway.store.api import PushRecord, Records, RecordState, StoreError, UploadRecord

T = TypeVar("T")

FILE = "gateway.db"
LOCK = "lock"
KEY_OCTETS = 32
BUSY_TIMEOUT_S = 5.0  # for a backup that reads the file meanwhile

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE key (name TEXT PRIMARY KEY, octets BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE upload (
        account_id TEXT NOT NULL, digest TEXT NOT NULL, size_octets INTEGER NOT NULL, type TEXT NOT NULL,
        uploaded_at_s INTEGER NOT NULL, expires_at_s INTEGER NOT NULL,
        PRIMARY KEY (account_id, digest)
    ) WITHOUT ROWID;
    CREATE INDEX upload_by_digest ON upload (digest);
    CREATE INDEX upload_by_expiry ON upload (expires_at_s);
    CREATE TABLE sealed (
        account_id TEXT NOT NULL, field TEXT NOT NULL, octets BLOB NOT NULL,
        PRIMARY KEY (account_id, field)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE sort_order (
        account_id TEXT NOT NULL, path TEXT NOT NULL, sort_order INTEGER NOT NULL,
        PRIMARY KEY (account_id, path)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE push_subscription (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, device_client_id TEXT NOT NULL, url TEXT NOT NULL,
        p256dh BLOB NOT NULL, auth BLOB NOT NULL, code TEXT NOT NULL, is_verified INTEGER NOT NULL,
        expires_at_s INTEGER NOT NULL, types TEXT, position TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX push_subscription_by_owner ON push_subscription (owner);
    """,
    sqlite_records.SCHEMA,
    """
    CREATE TABLE fact (name TEXT PRIMARY KEY, octets BLOB NOT NULL) WITHOUT ROWID;
    DELETE FROM record WHERE type = 'ehlo';
    DELETE FROM record_write WHERE type = 'ehlo';
    """,
)

_COLUMNS = "account_id, digest, size_octets, type, uploaded_at_s, expires_at_s"


_PUSH_COLUMNS = tuple(f.name for f in fields(PushRecord))
_PUSH = ", ".join(_PUSH_COLUMNS)
_PUSH_MARKS = ",".join("?" * len(_PUSH_COLUMNS))


class SqliteStore:
    """A `UserStore`. Made by `open()`."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, lock: int) -> None:
        self._connection, self._thread, self._lock = connection, thread, lock

    @classmethod
    async def open(cls, data_dir: Path, *, is_shared: bool = False) -> SqliteStore:
        """Open or make the store in this directory, or raise `StoreError`.

        `is_shared`: other processes that say so too may have it open. One has made it before.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix=FILE)
        loop = asyncio.get_running_loop()
        try:
            connection, lock = await loop.run_in_executor(thread, _open, data_dir, is_shared)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(connection, thread, lock)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)
        os.close(self._lock)

    async def key(self, name: str) -> bytes:
        def work(db: sqlite3.Connection) -> bytes:
            db.execute("INSERT OR IGNORE INTO key VALUES (?, ?)", (name, os.urandom(KEY_OCTETS)))
            octets: bytes = db.execute("SELECT octets FROM key WHERE name = ?", (name,)).fetchone()[0]
            return octets

        return await self._run(work)

    async def put_fact(self, name: str, octets: bytes) -> None:
        await self._run(lambda db: db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, octets)))

    async def fact(self, name: str) -> bytes | None:
        def work(db: sqlite3.Connection) -> bytes | None:
            found = db.execute("SELECT octets FROM fact WHERE name = ?", (name,)).fetchone()
            return found[0] if found is not None else None

        return await self._run(work)

    async def put_upload(self, record: UploadRecord) -> None:
        await self._run(
            lambda db: db.execute(f"INSERT OR REPLACE INTO upload ({_COLUMNS}) VALUES (?,?,?,?,?,?)", record)
        )

    async def upload(self, account_id: str, digest: str) -> UploadRecord | None:
        found = await self._uploads("account_id = ? AND digest = ?", account_id, digest)
        return found[0] if found else None

    async def uploads(self, account_id: str) -> Sequence[UploadRecord]:
        return await self._uploads("account_id = ? ORDER BY uploaded_at_s, digest", account_id)

    async def expired_uploads(self, now_s: int, limit: int) -> Sequence[UploadRecord]:
        return await self._uploads("expires_at_s <= ? ORDER BY expires_at_s LIMIT ?", now_s, limit)

    async def drop_uploads(self, account_id: str, digests: Collection[str]) -> frozenset[str]:
        def work(db: sqlite3.Connection) -> frozenset[str]:
            db.executemany("DELETE FROM upload WHERE account_id = ? AND digest = ?", [(account_id, d) for d in digests])
            claimed = "SELECT 1 FROM upload WHERE digest = ?"
            return frozenset(d for d in digests if db.execute(claimed, (d,)).fetchone() is None)

        return await self._run(work)

    async def put_subscription(self, record: PushRecord) -> None:
        values = [getattr(record, name) for name in _PUSH_COLUMNS]
        values[_PUSH_COLUMNS.index("types")] = None if record.types is None else json.dumps(record.types)
        text = f"INSERT OR REPLACE INTO push_subscription ({_PUSH}) VALUES ({_PUSH_MARKS})"
        await self._run(lambda db: db.execute(text, values))

    async def subscriptions(self, owner: str | None = None) -> Sequence[PushRecord]:
        query = f"SELECT {_PUSH} FROM push_subscription WHERE ?1 IS NULL OR owner = ?1 ORDER BY expires_at_s, id"
        return await self._run(lambda db: [_push_record(row) for row in db.execute(query, (owner,))])

    async def subscription_owners(self) -> Sequence[str]:
        query = "SELECT DISTINCT owner FROM push_subscription ORDER BY owner"
        return await self._run(lambda db: [owner for (owner,) in db.execute(query)])

    async def put_position(self, owner: str, id: str, position: str) -> None:
        query = "UPDATE push_subscription SET position = ? WHERE id = ? AND owner = ?"
        await self._run(lambda db: db.execute(query, (position, id, owner)))

    async def drop_subscriptions(self, owner: str, ids: Collection[str]) -> None:
        query = "DELETE FROM push_subscription WHERE id = ? AND owner = ?"
        await self._run(lambda db: db.executemany(query, [(id, owner) for id in ids]))
        await self._forget()

    async def put_sealed(self, account_id: str, field: str, sealed: bytes) -> None:
        await self._run(
            lambda db: db.execute("INSERT OR REPLACE INTO sealed VALUES (?,?,?)", (account_id, field, sealed))
        )

    async def sealed(self, account_id: str, field: str) -> bytes | None:
        def work(db: sqlite3.Connection) -> bytes | None:
            query = "SELECT octets FROM sealed WHERE account_id = ? AND field = ?"
            row = db.execute(query, (account_id, field)).fetchone()
            return row[0] if row else None

        return await self._run(work)

    async def sealed_accounts(self, field: str) -> Sequence[str]:
        query = "SELECT account_id FROM sealed WHERE field = ?"
        return await self._run(lambda db: [account_id for (account_id,) in db.execute(query, (field,))])

    async def drop_sealed(self, account_id: str, field: str) -> None:
        await self._run(
            lambda db: db.execute("DELETE FROM sealed WHERE account_id = ? AND field = ?", (account_id, field))
        )
        await self._forget()

    async def _forget(self) -> None:
        """Empty the log, which still holds what was dropped; in the file it is overwritten (`secure_delete`)."""

        def work() -> None:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def sort_orders(self, account_id: str) -> Mapping[str, int]:
        query = "SELECT path, sort_order FROM sort_order WHERE account_id = ?"
        return await self._run(lambda db: dict(db.execute(query, (account_id,))))

    async def put_sort_orders(self, account_id: str, orders: Mapping[str, int | None]) -> None:
        kept = [(account_id, path, order) for path, order in orders.items() if order is not None]

        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "DELETE FROM sort_order WHERE account_id = ? AND path = ?", [(account_id, p) for p in orders]
            )
            db.executemany("INSERT INTO sort_order VALUES (?,?,?)", kept)

        await self._run(work)

    async def records(
        self, account_id: str, type: str, ids: Collection[str] | None = None, *, with_history: bool = False
    ) -> Records:
        return await self._run(lambda db: sqlite_records.read(db, account_id, type, ids, with_history=with_history))

    async def record_states(self, account_id: str) -> Mapping[str, RecordState]:
        return await self._run(lambda db: sqlite_records.states(db, account_id))

    async def write_records(
        self, account_id: str, writes: Mapping[str, Mapping[str, bytes | None]]
    ) -> Mapping[str, RecordState]:
        now_s = int(time.time())
        return await self._run(lambda db: sqlite_records.write(db, account_id, writes, now_s))

    async def record_accounts(self, type: str) -> Sequence[str]:
        return await self._run(lambda db: sqlite_records.accounts(db, type))

    async def _uploads(self, where: str, *values: object) -> list[UploadRecord]:
        query = f"SELECT {_COLUMNS} FROM upload WHERE {where}"
        return await self._run(lambda db: [UploadRecord(*row) for row in db.execute(query, values)])

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one transaction in the store's thread. A caller who is cancelled does not interrupt it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._connection:
                return work(self._connection)
        except sqlite3.OperationalError as error:  # a disk that is full, or fails
            raise StoreError(f"{FILE} cannot be used ({error})") from error


def _push_record(row: tuple[Any, ...]) -> PushRecord:
    values = dict(zip(_PUSH_COLUMNS, row, strict=True))
    types = values["types"]
    values |= {"is_verified": bool(values["is_verified"]), "types": None if types is None else tuple(json.loads(types))}
    return PushRecord(**values)


def _open(data_dir: Path, is_shared: bool) -> tuple[sqlite3.Connection, int]:
    lock = -1
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        # Made here so that nobody else may read it: SQLite would follow the umask.
        os.close(os.open(data_dir / FILE, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(data_dir / FILE, timeout=BUSY_TIMEOUT_S)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # RFC 8620 section 7.2: URLs and keys are erased
        _migrate(connection, data_dir / FILE)
    except BaseException as error:
        if lock >= 0:
            os.close(lock)
        raise _reason(error, data_dir) from None
    return connection, lock


def _reason(error: BaseException, data_dir: Path) -> BaseException:
    """Return what to raise: why the store cannot be opened, and what to do."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, BlockingIOError):
        return StoreError(f"{data_dir} is in use by another gateway; stop it, or choose another data_dir")
    if isinstance(error, OSError):
        return StoreError(f"{data_dir} cannot be used ({error.strerror}); check its owner and permissions")
    if isinstance(error, sqlite3.DatabaseError):
        return StoreError(f"{data_dir / FILE} cannot be used ({error}); restore it from a backup")
    return error


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        connection.close()
        raise StoreError(f"{path} was written by a newer gateway (schema {version}); run that one, or a newer one")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
