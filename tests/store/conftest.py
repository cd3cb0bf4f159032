"""The stores as the tests ask for them: embedded, on one Redis, on a Redis Cluster, in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.redis_url import check_redis_url
from gateway.store import SqliteStore
from gateway.store.api import Lease, Node, UserStore
from gateway.store.redis_leases import RedisLeases
from gateway.store.redis_link import RedisLink
from gateway.store.redis_store import RedisStore

NODE = Node("test", "http://test")
ACCOUNTS = ("A", "A1", "A2", "B", "a", "a1", "a2", "b")  # that the tests write to


@pytest.fixture(params=["shared_redis", "redis_cluster"])
async def link(request: pytest.FixtureRequest) -> AsyncIterator[RedisLink]:
    """A way to an empty Redis; each test runs with one server and with three."""
    server = request.getfixturevalue(request.param)
    server.cli("FLUSHALL")
    opened = RedisLink(check_redis_url(server.url))
    yield opened
    await opened.close()


async def owning_all(link: RedisLink) -> RedisLeases:
    """Return leases of a node that owns every account of the tests."""
    leases = RedisLeases(link)
    await leases.join(NODE)
    for account_id in ACCOUNTS:
        assert isinstance(await leases.take(account_id, NODE), Lease)
    return leases


class Stores:
    """Opens stores over the same data, one after another, as restarts do."""

    def __init__(self, directory: Path, link: RedisLink | None) -> None:
        self.directory, self._link = directory, link

    async def open(self) -> UserStore:
        if self._link is None:
            return await SqliteStore.open(self.directory)
        return await RedisStore.open(self._link, (await owning_all(self._link)).held, self.directory)


@pytest.fixture(params=["sqlite", "shared_redis", "redis_cluster"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    if request.param == "sqlite":
        yield Stores(tmp_path, None)
        return
    server = request.getfixturevalue(request.param)
    server.cli("FLUSHALL")
    link = RedisLink(check_redis_url(server.url))
    yield Stores(tmp_path, link)
    await link.close()


@pytest.fixture
async def store(stores: Stores) -> AsyncIterator[UserStore]:
    opened = await stores.open()
    yield opened
    await opened.close()
