"""Which accounts stay open."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.auth import Caller
from gateway.config import load
from gateway.metrics import Metrics
from gateway.secret import Secret
from gateway.server import directory as directory_module
from gateway.server.directory import Directory
from gateway.server.upstreams import providers
from gateway.store import SqliteStore
from gateway.upstream.imap import PasswordCredentials
from tests.fakes.uploads import NoUploads


def caller(id: str, password: str = "x") -> Caller:
    return Caller("ann", "main", id, PasswordCredentials("ann", Secret(password)))


async def test_an_account_that_is_listened_to_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long its client has asked nothing: it waits to be told."""
    monkeypatch.setattr(directory_module, "IDLE_S", 0.0)
    monkeypatch.setattr(directory_module, "LOOK_ROUND_S", 0.05)
    environ = {"JMAP_GATEWAY_UPSTREAMS__MAIN__IMAP": "imaps://127.0.0.1:1"}
    brought: list[Caller] = []
    store = await SqliteStore.open(tmp_path / "store")
    directory = Directory(
        data_dir=tmp_path,
        providers=providers(load(None, environ), Metrics()),
        uploads=NoUploads(),
        sort_orders=store,
        brought=brought.append,
        is_needed=lambda account_id: account_id == "a1",
    )
    for one in (caller("a1"), caller("a2"), caller("a1"), caller("a1", "new")):
        await directory.accounts_of(one)
    assert [one.account_id for one in brought] == ["a1", "a2", "a1"]  # what is the same is not told again
    closing = asyncio.create_task(directory.close_idle())
    await asyncio.sleep(0.3)
    closing.cancel()
    assert [account.id for account in directory.accounts()] == ["a1"]
    assert await directory.opened("a2") is None
    assert directory.caller_of("a1") == caller("a1", "new")
    await directory.aclose()
    await store.close()
