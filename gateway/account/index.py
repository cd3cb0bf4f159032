"""The file of an account's index: its connections, and its end when it is of no use.

Rule 1: nothing in it is precious. A file that is corrupt or of another schema is dropped and a new one begun, with
another epoch. So does one that was mirrored and now is not, for its mirror may be gone on from.
Rule 2: one that is mirrored is not synced to the disk (`synced`): on a loaded disk those syncs would be most of what
taking over a hundred accounts takes. It outlives this process and not the system, after whose start it is of no use.
Rule 3: one connection writes, in a thread; one reads on the event loop; each read in a thread has its own.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.account import synced
from gateway.account.dump import fill, finish
from gateway.account.journal import STATE_TYPES
from gateway.account.records import Applied, Batch
from gateway.account.schema import SCHEMA, SCRATCH, TABLES
from gateway.account.snapshot import Caches, Snapshot
from gateway.account.writer import Lost, Writer
from gateway.store.api import Head

EPOCH_OCTETS = 6
BUSY_TIMEOUT_S = 10.0  # a reader never waits in WAL mode; this is for a checkpoint at open
WRITER_CACHE_KIB = 16_384  # holds the indexes by id and link of some 100,000 emails while they are built
READER_CACHE_KIB = 2_048
STATEMENTS = 256  # prepared statements kept per connection
CHECKPOINT_PAGES = 8_000  # 32 MB: a first indexing touches the same pages of its random keys again and again
JOURNAL_LIMIT_OCTETS = 32 * 1024 * 1024  # what stays of the WAL file after a checkpoint


def is_corrupt(error: sqlite3.Error) -> bool:
    """Tell whether an error means that the file is of no use any more."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, Lost) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Index:
    """The index of one account."""

    def __init__(self, path: Path, token: int | None = None) -> None:
        """`token`: of the lease under which it is mirrored."""
        self._path, self._token = path, token
        self._writer: Writer | None = None
        self._writing: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None
        self._idle: list[sqlite3.Connection] = []
        self._open_snapshot: Snapshot | None = None
        self._caches = Caches()

    def open(self) -> None:
        """Open or begin the file. In a thread."""
        if self._writer is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._writing = self._connect_writer()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # disk full, no permission, locked: a new file would fare no better
            self.drop()
            self._writing = self._connect_writer()
        if self._token is None and _head(self._writing) is not None:
            _renew(self._writing)
            self._writing.execute("DELETE FROM meta WHERE key IN ('step', 'token')")
        self._writer = Writer(self._writing, self._token)

    def apply(self, batch: Batch | None) -> Applied:
        """Apply a batch; None: close the connection that writes, until the next. In a thread, one at a time."""
        if batch is None:
            self.flush()
            self._close_writer()
            return Applied(0)
        writer = self._open_writer()
        with self._writing_caches():
            return writer.apply(batch)

    def stage(self, batch: Batch) -> tuple[Applied, Sequence[bytes], bool]:
        """Apply a batch without committing it. Return where it leads, what is to be mirrored first, and whether a
        commit is due. In the thread of `apply`, as all that follows."""
        writer = self._open_writer()
        with self._writing_caches():
            return writer.stage(batch), writer.take_entries(), writer.is_due

    def commit(self) -> Applied:
        """Commit what was staged; return the states it brought."""
        with self._writing_caches():
            return self._open_writer().commit()

    def rollback(self) -> None:
        """Take back what was staged."""
        if self._writer is not None:
            self._writer.rollback()

    def head(self) -> Head | None:
        """Return where the mirror was when it was equal to this; None where it never was, or there is no file."""
        if self._writer is None and not self._path.exists():
            return None
        self._open_writer()
        assert self._writing is not None
        return _head(self._writing)

    def renew(self) -> tuple[Head, bool]:
        """Begin a new epoch with what there is, for a new mirror. Return its head, and whether the index is empty."""
        assert self._token is not None
        self._open_writer()
        connection = self._writing
        assert connection is not None
        with self._writing_caches():
            (is_empty,) = connection.execute("SELECT value = 0 FROM meta WHERE key = 'seq'").fetchone()
            if not is_empty or _head(connection) is not None:
                _renew(connection)
            connection.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('step', 0)")
            connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('token', ?)", (self._token,))
        head = _head(connection)
        assert head is not None
        return head, bool(is_empty) and head.step == 0

    def begin_load(self) -> None:
        """Begin to fill an index from its mirror; `end_load` shows it, `drop` takes it back."""
        self._open_writer()
        assert self._writing is not None
        self._writing.execute("BEGIN IMMEDIATE")

    def fill(self, part: bytes) -> None:
        """Add a part of a snapshot to an index that is new. Raise `Foreign`."""
        assert self._writing is not None
        fill(self._writing, part)

    def begin_replay(self, base: Head) -> None:
        """Be ready for entries, which follow on `base`: on the parts that were filled in, or on the new index."""
        assert self._writing is not None
        finish(self._writing)
        values = {"epoch": base.epoch, "step": base.step, "token": base.token}
        self._writing.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", list(values.items()))
        self._writer = Writer(self._writing, self._token)

    def replay(self, entries: Sequence[tuple[int, bytes]]) -> None:
        """Apply entries as they were applied before. Raise `Foreign`."""
        writer = self._open_writer()
        for token, entry in entries:
            writer.replay(entry, token)

    def end_load(self) -> Head | None:
        """Show what was loaded; return where it leads."""
        with self._writing_caches():
            self._open_writer().commit()
            assert self._writing is not None
            if self._writing.in_transaction:
                self._writing.execute("COMMIT")
            return _head(self._writing)

    def _open_writer(self) -> Writer:
        self.open()
        assert self._writer is not None
        return self._writer

    def flush(self) -> None:
        """Show what windows of a first indexing have brought. In the thread of `apply`."""
        if self._writer is not None:
            with self._writing_caches():
                self._writer.flush()

    @contextmanager
    def _writing_caches(self) -> Iterator[None]:
        caches = self._caches
        caches.version += 1
        try:
            yield
        finally:
            caches.version += 1

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Give a read view on the event loop's own connection; one inside another is the same view."""
        if self._open_snapshot is not None:
            yield self._open_snapshot
            return
        if self._reading is None:
            self._reading = self._connect_reader()
        self._reading.execute("BEGIN")
        try:
            self._open_snapshot = Snapshot(self._reading, self._caches)
            yield self._open_snapshot
        finally:
            self._open_snapshot = None
            self._reading.execute("COMMIT")

    @contextmanager
    def thread_snapshot(self) -> Iterator[Snapshot]:
        """Give a read view with a connection of its own, for a thread."""
        caches = self._caches  # another one once the file was dropped
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect_reader()
        connection.execute("BEGIN")
        try:
            yield Snapshot(connection, caches)
        finally:
            connection.execute("COMMIT")
            if caches is self._caches:
                self._idle.append(connection)
            else:
                connection.close()

    def release(self) -> None:
        """Close the connections that nothing uses; they are opened again when needed."""
        self._caches.forget_rows()
        while self._idle:
            self._idle.pop().close()
        if self._reading is not None and self._open_snapshot is None:
            self._reading.close()
            self._reading = None

    def close(self) -> None:
        """Close all connections. Nothing may be running."""
        self.release()
        with suppress(sqlite3.Error):  # what is not written is read again: its mailbox is not marked as indexed
            self.flush()
        self._close_writer()

    def _close_writer(self) -> None:
        self._writer = None
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def drop(self) -> None:
        """Remove the file; the next `open` begins a new one. On the event loop's thread, once the index is in use."""
        self.close()
        self._caches = Caches()
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").unlink()

    def _connect_writer(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
        try:
            (is_new,) = connection.execute("SELECT count(*) = 0 FROM sqlite_schema").fetchone()
            synced.begin(connection, is_needed=self._token is None, is_new=is_new)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_OCTETS}")
            if is_new:
                _begin(connection)
            row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
            if row is None or row[0] != SCHEMA:
                raise sqlite3.DatabaseError("an index of another schema")
            connection.executescript(SCRATCH)
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # no such table: a database, but not ours
                raise sqlite3.DatabaseError("not an index") from error
            raise
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
        connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
        return connection


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    meta = {"schema": SCHEMA, "epoch": secrets.token_hex(EPOCH_OCTETS), "seq": 0, "floor": 0, "emails": 0, "threads": 0}
    meta |= {f"seq {type}": 0 for type in STATE_TYPES}
    connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", list(meta.items()))
    connection.execute("COMMIT")


def _head(connection: sqlite3.Connection) -> Head | None:
    meta = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('epoch', 'step', 'token')"))
    return Head(meta["epoch"], meta["step"], meta["token"]) if len(meta) == 3 else None


def _renew(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (secrets.token_hex(EPOCH_OCTETS),))
