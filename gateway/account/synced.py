"""Whether an index is synced to the disk, and which one may be trusted that was not.

A file that is not synced outlives the process that wrote it, however that ended, but not the system: it is marked with
the boot of the system that it was written under, in SQLite's `user_version`. 0: all of it is on the disk.
"""

from __future__ import annotations

import functools
import sqlite3
import zlib
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4)


@functools.cache
def boot_mark() -> int:
    """Return the mark of this boot of the system; 0 where it cannot be told from others."""
    try:
        return zlib.crc32(BOOT_ID.read_bytes()) & 0x7FFF_FFFF
    except OSError:
        return 0


def begin(connection: sqlite3.Connection, *, is_needed: bool, is_new: bool) -> None:
    """Set whether what this connection writes is synced. Raise `sqlite3.DatabaseError` for a file not to be trusted.

    `is_new`: there is nothing in the file.
    """
    mark = 0 if is_needed else boot_mark()
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found not in (0, boot_mark()):
        raise sqlite3.DatabaseError("an index that was not synced, of another boot")
    if found != mark and not is_new:  # what was written under either rule is on the disk, and so is the mark, before
        connection.execute("PRAGMA synchronous = FULL")  # anything is under the other
        connection.execute(f"PRAGMA user_version = {mark}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute(f"PRAGMA synchronous = {'OFF' if mark else 'NORMAL'}")
    if is_new and mark:
        connection.execute(f"PRAGMA user_version = {mark}")
