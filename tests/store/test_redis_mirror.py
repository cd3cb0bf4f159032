"""The mirror of an index, on a real Redis and a real Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from gateway.config.redis_url import check_redis_url
from gateway.store import keys
from gateway.store.api import Head, Lease, LeaseLost, Mirrored, MirrorLost, Node
from gateway.store.redis_leases import RedisLeases
from gateway.store.redis_link import RedisLink
from gateway.store.redis_mirror import RedisMirror
from tests.upstreams.redis import RedisServer

A, B = Node("a", "http://a:1"), Node("b", "http://b:1")
ID = "u1"


async def parts(octets: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in octets:
        yield part


async def lease_of(link: RedisLink, node: Node) -> Lease:
    leases = RedisLeases(link)
    await leases.join(node)
    lease = await leases.take(ID, node)
    assert isinstance(lease, Lease)
    return lease


async def read(mirrored: Mirrored | None) -> tuple[bool, list[bytes], list[bytes]]:
    assert mirrored is not None
    return mirrored.is_whole, [one async for one in mirrored.parts], [one async for _, one in mirrored.entries]


@pytest.fixture
def mirror(link: RedisLink) -> RedisMirror:
    return RedisMirror(link)


async def test_what_was_appended_is_loaded(mirror: RedisMirror, link: RedisLink) -> None:
    """All of it, or what follows on what the reader has."""
    lease = await lease_of(link, A)
    assert await mirror.load(lease, None) is None
    empty = Head("e", 0, 0)
    await mirror.begin(lease, empty, is_empty=True)
    sizes = await mirror.append(lease, empty, [b"1", b"\x00two"])
    assert sizes.log == 5
    second = Head("e", 2, lease.token)
    await mirror.append(lease, second, [b"3"])
    assert await read(await mirror.load(lease, None)) == (True, [], [b"1", b"\x00two", b"3"])
    assert await read(await mirror.load(lease, second)) == (False, [], [b"3"])
    assert await read(await mirror.load(lease, Head("e", 3, lease.token))) == (False, [], [])


async def test_another_history_is_replaced(mirror: RedisMirror, link: RedisLink) -> None:
    """A reader that is ahead, has another epoch, or wrote a step that another owner wrote too, loads all."""
    lease = await lease_of(link, A)
    await mirror.begin(lease, Head("e", 0, 0), is_empty=True)
    await mirror.append(lease, Head("e", 0, 0), [b"1", b"2"])
    for have in (Head("e", 3, lease.token), Head("f", 1, lease.token), Head("e", 1, 4), Head("e", 2, 4)):
        assert await read(await mirror.load(lease, have)) == (True, [], [b"1", b"2"])


async def test_a_snapshot_takes_the_place_of_entries(mirror: RedisMirror, link: RedisLink) -> None:
    """Those that are in it are dropped, those that came while it was made stay."""
    lease = await lease_of(link, A)
    await mirror.begin(lease, Head("e", 0, 0), is_empty=True)
    await mirror.append(lease, Head("e", 0, 0), [b"1", b"2", b"3"])
    await mirror.put_snapshot(lease, Head("e", 2, lease.token), parts([b"p1", b"p2"]))
    assert await read(await mirror.load(lease, None)) == (True, [b"p1", b"p2"], [b"3"])
    assert await read(await mirror.load(lease, Head("e", 2, lease.token))) == (False, [], [b"3"])
    assert await read(await mirror.load(lease, Head("e", 1, lease.token))) == (True, [b"p1", b"p2"], [b"3"])
    assert int(await link.call("XLEN", keys.mirror_log(ID))) == 1


async def test_what_is_not_complete_is_not_there(mirror: RedisMirror, link: RedisLink) -> None:
    """Begun anew over a filled index it waits for its snapshot; a key that was evicted makes all of it void."""
    lease = await lease_of(link, A)
    old = Head("e", 7, 1)
    await mirror.begin(lease, old, is_empty=False)
    await mirror.append(lease, old, [b"8"])
    assert await mirror.load(lease, None) is None
    await mirror.put_snapshot(lease, old, parts([b"p"]))
    assert await read(await mirror.load(lease, None)) == (True, [b"p"], [b"8"])
    await link.call("DEL", keys.mirror_snapshot(ID))
    assert await mirror.load(lease, None) is None
    await mirror.put_snapshot(lease, old, parts([b"p"]))
    await link.call("DEL", keys.mirror_log(ID))
    assert await mirror.load(lease, None) is None
    await link.call("DEL", keys.mirror_head(ID))
    assert await mirror.load(lease, None) is None


async def test_an_old_owner_writes_nothing(mirror: RedisMirror, link: RedisLink) -> None:
    """After a takeover every write of the node that was the owner is refused, and nothing of it is there."""
    old = await lease_of(link, A)
    await mirror.begin(old, Head("e", 0, 0), is_empty=True)
    await mirror.append(old, Head("e", 0, 0), [b"1"])
    await RedisLeases(link).leave(A)
    new = await lease_of(link, B)
    for late in (
        mirror.append(old, Head("e", 1, old.token), [b"late"]),
        mirror.begin(old, Head("f", 0, 0), is_empty=True),
        mirror.put_snapshot(old, Head("e", 1, old.token), parts([b"late"])),
        mirror.load(old, None),
    ):
        with pytest.raises(LeaseLost):
            await late
    assert await read(await mirror.load(new, None)) == (True, [], [b"1"])


async def test_appending_twice_is_appending_once(mirror: RedisMirror, link: RedisLink) -> None:
    """Whoever does not know whether it was written may write it again; behind another head nothing is added."""
    lease = await lease_of(link, A)
    empty = Head("e", 0, 0)
    await mirror.begin(lease, empty, is_empty=True)
    await mirror.append(lease, empty, [b"1"])
    await mirror.append(lease, empty, [b"1"])
    assert await read(await mirror.load(lease, None)) == (True, [], [b"1"])
    with pytest.raises(MirrorLost):
        await mirror.append(lease, Head("e", 5, lease.token), [b"6"])
    with pytest.raises(MirrorLost):
        await mirror.append(lease, Head("f", 1, lease.token), [b"2"])


async def test_it_expires(mirror: RedisMirror, link: RedisLink) -> None:
    """Every key of it has an end, which a write moves on."""
    lease = await lease_of(link, A)
    await mirror.begin(lease, Head("e", 0, 0), is_empty=True)
    await mirror.append(lease, Head("e", 0, 0), [b"1"])
    await mirror.put_snapshot(lease, Head("e", 1, lease.token), parts([b"p"]))
    await mirror.append(lease, Head("e", 1, lease.token), [b"2"])
    for key in (keys.mirror_head(ID), keys.mirror_log(ID), keys.mirror_snapshot(ID), keys.lease(ID)):
        assert int(await link.call("TTL", key)) > 0


async def test_after_a_restart_the_end_may_be_missing(own_redis: RedisServer) -> None:
    """A new owner does not trust what another run of the server has taken; the owner that is still there knows."""
    link = RedisLink(check_redis_url(own_redis.url))
    mirror, lease = RedisMirror(link), await lease_of(link, A)
    await mirror.begin(lease, Head("e", 0, 0), is_empty=True)
    await mirror.append(lease, Head("e", 0, 0), [b"1"])
    here = Head("e", 1, lease.token)
    await asyncio.to_thread(own_redis.kill)
    await asyncio.to_thread(own_redis.start)
    assert await mirror.load(lease, here) is None
    assert await read(await mirror.load(lease, here, acked=here)) == (False, [], [])
    await mirror.append(lease, here, [b"2"])
    assert await read(await mirror.load(lease, None)) == (True, [], [b"1", b"2"])
    assert await mirror.load(lease, here, acked=Head("e", 3, lease.token)) is None
    await link.close()
