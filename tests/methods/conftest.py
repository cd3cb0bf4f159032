"""A world for each test, with an inbox that is indexed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.account.account import Account
from gateway.jmap.capability import CORE, MAIL
from gateway.store import SqliteStore, Uploads
from tests.methods.blobs import Blobs, Clock
from tests.methods.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World()
    world.account = Account(
        id="A1",
        name="Someone",
        login="someone",
        path=tmp_path / "index.db",
        make_backend=lambda _account: world,
        uploads=world.uploads,
        capabilities={CORE: {}, MAIL: {}},
    )
    await world.account.open()
    await world.add_mailbox("inbox", name="Inbox", role="inbox", sort_order=1)
    yield world
    await world.account.aclose()


@pytest.fixture
async def blobs(world: World, tmp_path: Path) -> AsyncIterator[Blobs]:
    store, clock = await SqliteStore.open(tmp_path), Clock()
    uploads = Uploads(store, tmp_path / "uploads", clock=clock)
    yield Blobs(world, uploads, clock, tmp_path)
    await store.close()
