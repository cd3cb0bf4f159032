"""User state in Redis beyond the contract: fencing, what is lost, what is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.redis_url import check_redis_url
from gateway.store import PushRecord, keys
from gateway.store.api import LeaseLost, Node, StoreError, StoreUnavailable
from gateway.store.redis_leases import RedisLeases
from gateway.store.redis_link import RedisLink
from gateway.store.redis_store import KEYS_FILE, RedisStore
from gateway.store.redis_uploads import RedisUploads
from tests.store.conftest import NODE, owning_all
from tests.upstreams.redis import RedisServer

OTHER = Node("other", "http://other")
RECORD = PushRecord(id="s1", owner="a", device_client_id="d", url="https://p", code="c", expires_at_s=1)


async def pieces(*octets: bytes) -> AsyncIterator[bytes]:
    for piece in octets:
        yield piece


async def test_an_old_owner_writes_nothing(link: RedisLink, tmp_path: Path) -> None:
    """Each kind of write is refused after another node has taken the account, and so is one without a lease."""
    leases = await owning_all(link)
    store, uploads = await RedisStore.open(link, leases.held, tmp_path), RedisUploads(link, leases.held)
    await store.put_subscription(RECORD)
    await store.put_sealed("a", "f", b"1")
    await uploads.put("a", pieces(b"x"))
    before = await store.write_records("a", {"Identity": {"i": b"1"}})

    new = RedisLeases(link)
    await RedisLeases(link).leave(NODE)
    await new.join(OTHER)
    await new.take("a", OTHER)

    async def refused() -> None:
        for late in (
            store.put_subscription(RECORD),
            store.put_position("a", "s1", "late"),
            store.drop_subscriptions("a", ["s1"]),
            store.put_sealed("a", "f", b"2"),
            store.drop_sealed("a", "f"),
            store.put_sort_orders("a", {"p": 1}),
            store.write_records("a", {"Identity": {"i": b"2", "j": b"3"}}),
            uploads.put("a", pieces(b"late")),
        ):
            with pytest.raises(LeaseLost):
                await late

    await refused()
    leases.held.drop("a")
    await refused()
    assert await store.subscriptions() == [RECORD]
    assert await store.sealed("a", "f") == b"1"
    assert await store.sort_orders("a") == {}
    found = await store.records("a", "Identity")
    assert (found.by_id, found.state) == ({"i": b"1"}, before["Identity"])


async def test_what_one_node_writes_another_reads(link: RedisLink, tmp_path: Path) -> None:
    """Uploaded octets too."""
    leases = await owning_all(link)
    store, uploads = await RedisStore.open(link, leases.held, tmp_path / "a"), RedisUploads(link, leases.held)
    await store.put_subscription(RECORD)
    stored = await uploads.put("a", pieces(b"0123", b"456789"))
    elsewhere = await RedisStore.open(link, RedisLeases(link).held, tmp_path / "b")
    assert await elsewhere.subscriptions("a") == [RECORD]
    found = await RedisUploads(link, RedisLeases(link).held).open("a", stored.digest)
    assert found is not None
    assert b"".join([chunk async for chunk in found.chunks(3)]) == b"3456789"


async def test_keys_survive_the_loss_of_redis(link: RedisLink, tmp_path: Path) -> None:
    """The nodes put them back: account ids stay what they were."""
    held = (await owning_all(link)).held
    first, second = await RedisStore.open(link, held, tmp_path / "a"), await RedisStore.open(link, held, tmp_path / "b")
    key = await first.key("account id")
    assert await second.key("account id") == key
    await link.each_server("FLUSHALL")
    await second.put_back_keys()
    assert await (await RedisStore.open(link, held, tmp_path / "c")).key("account id") == key
    assert (tmp_path / "a" / KEYS_FILE).stat().st_mode & 0o077 == 0


async def test_other_keys_are_told_of(link: RedisLink, tmp_path: Path) -> None:
    """A node whose keys are not Redis's serves nobody under wrong ids."""
    held = (await owning_all(link)).held
    store = await RedisStore.open(link, held, tmp_path)
    await store.key("account id")
    await link.call("HSET", keys.RANDOM_KEYS, "account id", b"x" * 32)
    with pytest.raises(StoreError, match="another key"):
        await store.put_back_keys()
    (tmp_path / KEYS_FILE).write_text(json.dumps([1]))
    with pytest.raises(StoreError, match="damaged"):
        await RedisStore.open(link, held, tmp_path)


async def test_uploads_expire_by_themselves(link: RedisLink) -> None:
    """The octets, the record, and what was never finished: no key of an upload is without its end."""
    uploads = RedisUploads(link, (await owning_all(link)).held)
    stored = await uploads.put("a", pieces(b"x" * 700_000, b"y" * 700_000))
    found = await uploads.open("a", stored.digest)
    assert found is not None
    assert sum([len(chunk) async for chunk in found.chunks()]) == 1_400_000
    for key in (keys.upload("a", stored.digest), keys.uploads("a")):
        assert 0 < int(await link.call("TTL", key)) <= 24 * 3600

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await uploads.put("b", broken())
    assert await uploads.open("b", stored.digest) is None
    await link.call("DEL", keys.upload("a", stored.digest))
    assert await uploads.open("a", stored.digest) is None
    with pytest.raises(FileNotFoundError):
        assert [chunk async for chunk in found.chunks()]


@pytest.mark.parametrize(
    "break_it",
    [("REPLICAOF", "127.0.0.1", "1"), ("CONFIG", "SET", "maxmemory", "1")],
    ids=["read-only", "full"],
)
async def test_what_cannot_be_kept_is_refused(
    own_redis: RedisServer, tmp_path: Path, break_it: tuple[str, ...]
) -> None:
    """A Redis that takes no writes gives `StoreUnavailable`, and nothing of the write is there later."""
    link = RedisLink(check_redis_url(own_redis.url))
    held = (await owning_all(link)).held
    store, uploads = await RedisStore.open(link, held, tmp_path), RedisUploads(link, held)
    await store.key("record history")
    own_redis.cli(*break_it)
    for late in (
        store.put_subscription(RECORD),
        store.put_sealed("a", "f", b"1"),
        store.put_sort_orders("a", {"p": 1}),
        store.write_records("a", {"Identity": {"i": b"1"}}),
        uploads.put("a", pieces(b"x")),
    ):
        with pytest.raises(StoreUnavailable):
            await late
    own_redis.cli("REPLICAOF", "NO", "ONE")
    own_redis.cli("CONFIG", "SET", "maxmemory", "0")
    assert await store.subscriptions() == []
    assert await store.sealed("a", "f") is None
    assert (await store.records("a", "Identity")).by_id == {}
    await link.close()


async def test_a_redis_that_is_away_costs_an_answer_and_no_wait(own_redis: RedisServer, tmp_path: Path) -> None:
    """Calls fail at once, and work again soon after it is back; acknowledged writes are there (appendonly)."""
    link = RedisLink(check_redis_url(own_redis.url))
    store = await RedisStore.open(link, (await owning_all(link)).held, tmp_path)
    await store.write_records("a", {"Identity": {"i": b"1"}})
    await asyncio.to_thread(own_redis.kill)
    async with asyncio.timeout(2):
        for _ in range(200):
            with pytest.raises(StoreUnavailable):
                await store.records("a", "Identity")
    await asyncio.to_thread(own_redis.start)
    async with asyncio.timeout(5):
        while True:
            try:
                found = await store.records("a", "Identity")
                break
            except StoreUnavailable:
                await asyncio.sleep(0.05)
    assert found.by_id == {"i": b"1"}
    await link.close()


async def test_a_task_that_is_cancelled_in_a_call_ends(shared_redis: RedisServer) -> None:
    """Wherever in a call it is, and while the connection is being made too: a chore that calls in a loop, and goes on
    when a call fails, ends."""

    async def chore(link: RedisLink) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await link.call("PING")

    for n in range(40):
        link = RedisLink(check_redis_url(shared_redis.url))
        tasks = [asyncio.create_task(chore(link)) for _ in range(4)]
        await asyncio.sleep(n / 4000)
        for task in tasks:
            task.cancel()
        _done, left = await asyncio.wait(tasks, timeout=5)
        assert not left
        await link.close()


async def test_a_slow_call_fails_alone(own_redis: RedisServer) -> None:
    """While Redis answers others, a call that takes too long makes no other fail."""
    link = RedisLink(check_redis_url(own_redis.url))
    slow = asyncio.create_task(link.call("BLPOP", "nothing", 0, timeout_s=0.3))
    while not slow.done():
        assert await link.call("PING")
        await asyncio.sleep(0.02)
    with pytest.raises(StoreUnavailable):
        await slow
    assert await link.call("PING")
    await link.close()


async def test_a_frozen_redis_costs_one_wait(own_redis: RedisServer) -> None:
    """Where nothing is answered, the next calls fail at once."""
    link = RedisLink(check_redis_url(own_redis.url))
    assert await link.call("PING")
    own_redis.freeze()
    try:
        with pytest.raises(StoreUnavailable):
            await link.call("PING", timeout_s=0.3)
        async with asyncio.timeout(0.02):
            with pytest.raises(StoreUnavailable):
                await link.call("PING")
    finally:
        own_redis.thaw()
    await link.close()
