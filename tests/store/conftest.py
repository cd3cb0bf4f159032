"""Redis as the stores' tests ask for it: one server and a Redis Cluster in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.config.redis_url import check_redis_url
from gateway.store.redis_link import RedisLink


@pytest.fixture(params=["shared_redis", "redis_cluster"])
async def link(request: pytest.FixtureRequest) -> AsyncIterator[RedisLink]:
    """A way to an empty Redis; each test runs with one server and with three."""
    server = request.getfixturevalue(request.param)
    server.cli("FLUSHALL")
    opened = RedisLink(check_redis_url(server.url))
    yield opened
    await opened.close()
