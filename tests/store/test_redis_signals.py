"""Signals between nodes, on a real Redis and a real Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.config.redis_url import check_redis_url
from gateway.store.redis_link import RedisLink
from gateway.store.redis_signals import RedisSignals
from tests.upstreams.redis import RedisServer


@pytest.fixture
async def signals(link: RedisLink) -> AsyncIterator[RedisSignals]:
    opened = RedisSignals(link)
    await opened.start()
    yield opened
    await opened.aclose()


async def test_everybody_who_listens_is_told(signals: RedisSignals, link: RedisLink) -> None:
    """On this node and on others, of the account asked for and no other; first that listening has begun."""
    other = RedisSignals(link)
    await other.start()
    heard: asyncio.Queue[tuple[str, bytes | None]] = asyncio.Queue()
    ends = [
        signals.subscribe("u1", lambda octets: heard.put_nowait(("here", octets))),
        other.subscribe("u1", lambda octets: heard.put_nowait(("there", octets))),
        other.subscribe("u2", lambda octets: heard.put_nowait(("u2", octets))),
    ]
    begun = {await asyncio.wait_for(heard.get(), 5) for _ in range(3)}
    assert begun == {("here", None), ("there", None), ("u2", None)}
    await signals.publish("u1", b"\x00news")
    assert {await asyncio.wait_for(heard.get(), 5) for _ in range(2)} == {("here", b"\x00news"), ("there", b"\x00news")}
    for end in ends:
        end()
    await asyncio.sleep(0.1)
    await signals.publish("u1", b"more")
    await asyncio.sleep(0.1)
    assert heard.empty()
    await other.aclose()


async def test_a_gap_is_told(own_redis: RedisServer) -> None:
    """After Redis was away, each listener hears that it may have missed something, and then what follows."""
    link = RedisLink(check_redis_url(own_redis.url))
    signals = RedisSignals(link)
    await signals.start()
    heard: asyncio.Queue[bytes | None] = asyncio.Queue()
    signals.subscribe("u1", heard.put_nowait)
    assert await asyncio.wait_for(heard.get(), 5) is None
    own_redis.kill()
    await asyncio.to_thread(own_redis.start)
    assert await asyncio.wait_for(heard.get(), 10) is None
    await signals.publish("u1", b"after")
    assert await asyncio.wait_for(heard.get(), 5) == b"after"
    await signals.aclose()
    await link.close()
