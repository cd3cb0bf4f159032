"""Which index is synced to the disk, and which one is trusted when it is found again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.account import synced
from gateway.account.index import Index
from gateway.account.records import Batch, MailboxFacts

TREE = Batch([MailboxFacts("Binbox", "INBOX", "INBOX", None, "inbox")])


def write(path: Path, token: int | None) -> None:
    """Begin an index with a mailbox."""
    index = Index(path, token)
    index.open()
    if token is not None:
        index.renew()
    index.apply(TREE)
    index.close()


def mark(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(found)


def mailboxes(path: Path, token: int | None = None) -> int:
    index = Index(path, token)
    index.open()
    with index.snapshot() as snapshot:
        found = len(list(snapshot.mailboxes()))
    index.close()
    return found


@pytest.mark.parametrize(("token", "synchronous"), [(None, 1), (7, 0)])
def test_only_what_is_mirrored_is_not_synced(tmp_path: Path, token: int | None, synchronous: int) -> None:
    path = tmp_path / "a.db"
    index = Index(path, token)
    index.open()
    assert index._writing is not None
    assert index._writing.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    index.close()
    assert mark(path) == (0 if token is None else synced.boot_mark())
    assert synced.boot_mark() != 0


def test_it_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    write(path, 7)
    assert mailboxes(path, 8) == 1


def test_after_another_boot_it_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.db"
    write(path, 7)
    monkeypatch.setattr(synced, "boot_mark", lambda: 12345)
    assert mailboxes(path, 8) == 0
    assert mark(path) == 12345


def test_one_that_was_synced_outlives_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is mirrored afterwards or not; and one that is mirrored no longer is synced then."""
    path = tmp_path / "a.db"
    write(path, None)
    monkeypatch.setattr(synced, "boot_mark", lambda: 12345)
    assert mailboxes(path, 7) == 1
    assert mark(path) == 12345
    assert mailboxes(path) == 1
    assert mark(path) == 0
    monkeypatch.setattr(synced, "boot_mark", lambda: 67890)
    assert mailboxes(path) == 1


def test_where_boots_cannot_be_told_apart_all_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synced, "BOOT_ID", tmp_path / "nothing")
    synced.boot_mark.cache_clear()
    try:
        assert synced.boot_mark() == 0
        write(tmp_path / "a.db", 7)
        assert mark(tmp_path / "a.db") == 0
    finally:
        synced.boot_mark.cache_clear()
