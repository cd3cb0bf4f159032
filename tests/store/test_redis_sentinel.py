"""A Redis whose master dies: Sentinel makes its replica the master, and what was acknowledged is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.config.redis_url import check_redis_url
from gateway.store.api import Head, Lease, StoreError
from gateway.store.redis_link import RedisLink
from gateway.store.redis_mirror import RedisMirror
from gateway.store.redis_store import RedisStore
from tests.store.conftest import NODE, owning_all
from tests.upstreams.redis import Watched

FAILOVER_S = 20.0  # Sentinel's own times are 2.5 s; the machine may be busy


async def test_the_replica_goes_on(watched_redis: Watched, tmp_path: Path) -> None:
    """User state goes on where it was. A mirror is not trusted there: a replica may lack the end of it."""
    link = RedisLink(check_redis_url(watched_redis.url))
    leases = await owning_all(link)
    store, mirror = await RedisStore.open(link, leases.held, tmp_path), RedisMirror(link)
    first = await store.write_records("a", {"Identity": {"i": b"1"}})
    lease = Lease("a", NODE, leases.held.token("a"))
    begun = Head("e", 0, lease.token)
    await mirror.begin(lease, begun, is_empty=True)
    await mirror.append(lease, begun, [b"x"])
    assert await mirror.load(lease, None) is not None
    assert await link.call("WAIT", 1, 1000) == 1
    await asyncio.to_thread(watched_redis.master.kill)

    async with asyncio.timeout(FAILOVER_S):
        while True:
            try:
                second = await store.write_records("a", {"Identity": {"i": b"2"}})
                break
            except StoreError:
                await asyncio.sleep(0.1)
    assert second["Identity"].seq == first["Identity"].seq + 1
    assert (await store.records("a", "Identity")).by_id == {"i": b"2"}
    assert "role:master" in watched_redis.replica.cli("INFO", "replication")
    assert await mirror.load(lease, None) is None
    await link.close()
