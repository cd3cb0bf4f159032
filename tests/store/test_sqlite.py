"""The embedded store of user state."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store import SqliteStore, StoreError, UploadRecord


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "data")
    yield opened
    await opened.close()


async def test_only_the_owner_reads_it(store: SqliteStore, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "data" / "gateway.db").stat().st_mode) == 0o600


async def test_writes_are_synchronous(store: SqliteStore) -> None:
    """Durable before acknowledged: WAL with synchronous=FULL."""
    assert await store._run(lambda db: db.execute("PRAGMA synchronous").fetchone()[0]) == 2
    assert await store._run(lambda db: db.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"


async def test_two_gateways_do_not_share_a_directory(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="in use by another gateway"):
        await SqliteStore.open(tmp_path / "data")


async def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await store.close()
    connection = sqlite3.connect(tmp_path / "gateway.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(StoreError, match="newer gateway"):
        await SqliteStore.open(tmp_path)


async def test_a_broken_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match="restore it from a backup"):
        await SqliteStore.open(tmp_path)


async def test_dropping_tells_what_nobody_has(store: SqliteStore) -> None:
    """A digest that another account still has is not given up."""
    for account, digest in [("a", "1"), ("a", "2"), ("b", "1")]:
        await store.put_upload(UploadRecord(account, digest, 1, "t", 0, 10))
    assert await store.drop_uploads("a", ["1", "2"]) == {"2"}
    assert await store.upload("a", "1") is None
    assert await store.upload("b", "1") is not None
