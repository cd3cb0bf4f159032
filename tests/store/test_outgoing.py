"""Messages that wait to be sent: as files, in one Redis, and in a Redis Cluster."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.redis_url import check_redis_url
from gateway.store import keys
from gateway.store.api import LeaseLost, Node, OutgoingStore
from gateway.store.outgoing import OutgoingFiles
from gateway.store.redis_leases import RedisLeases
from gateway.store.redis_link import RedisLink
from gateway.store.redis_outgoing import LIFETIME_S, RedisOutgoing
from tests.store.conftest import NODE, owning_all
from tests.upstreams.redis import RedisServer

LARGE = os.urandom(1_700_000)  # more than goes to Redis at once


@pytest.fixture(params=["files", "shared_redis", "redis_cluster"])
async def outgoing(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OutgoingStore]:
    if request.param == "files":
        yield OutgoingFiles(tmp_path / "outbox")
        return
    server = request.getfixturevalue(request.param)
    server.cli("FLUSHALL")
    link = RedisLink(check_redis_url(server.url))
    yield RedisOutgoing(link, (await owning_all(link)).held)
    await link.close()


async def put(store: OutgoingStore, id: str, *pieces: bytes) -> None:
    async with store.writing("a1", id) as write:
        for piece in pieces:
            await write(piece)


async def read(store: OutgoingStore, id: str) -> bytes:
    return b"".join([chunk async for chunk in store.octets("a1", id)])


async def test_what_was_put_aside_comes_back(outgoing: OutgoingStore) -> None:
    """A piece after the other, large and small; put again it is replaced; dropped, it is gone."""
    await put(outgoing, "E1", b"Subject: x\r\n\r\n", LARGE, b"", b"end")
    await put(outgoing, "E2", b"y")
    assert await read(outgoing, "E1") == b"Subject: x\r\n\r\n" + LARGE + b"end"
    assert await read(outgoing, "E2") == b"y"
    await put(outgoing, "E2", b"again")
    assert await read(outgoing, "E2") == b"again"
    await outgoing.drop("a1", "E1")
    await outgoing.drop("a1", "E1")
    assert not await outgoing.has("a1", "E1")
    assert await outgoing.has("a1", "E2")
    with pytest.raises(FileNotFoundError):
        await read(outgoing, "E1")


async def test_a_failure_leaves_nothing(outgoing: OutgoingStore) -> None:
    """What was there before stays as it was."""
    await put(outgoing, "E2", b"before")

    async def fail(id: str) -> None:
        async with outgoing.writing("a1", id) as write:
            await write(LARGE)
            raise ConnectionError

    for id in ("E1", "E2"):
        with pytest.raises(ConnectionError):
            await fail(id)
    assert not await outgoing.has("a1", "E1")
    assert await read(outgoing, "E2") == b"before"


async def test_what_redis_keeps_is_fenced_and_expires(shared_redis: RedisServer) -> None:
    """A message is written by the owner of the account alone; nothing of one that failed stays; one that was forgotten
    goes when no message can wait any more."""
    shared_redis.cli("FLUSHALL")
    link = RedisLink(check_redis_url(shared_redis.url))
    leases = await owning_all(link)
    store = RedisOutgoing(link, leases.held)
    await put(store, "E1", b"x")
    assert LIFETIME_S - 100 < int(shared_redis.cli("TTL", keys.outgoing("a1", "E1"))) <= LIFETIME_S
    other, new = Node("other", "http://other"), RedisLeases(link)
    await RedisLeases(link).leave(NODE)
    await new.join(other)
    await new.take("a1", other)
    for id in ("E1", "E2"):
        with pytest.raises(LeaseLost):
            await put(store, id, LARGE)
    assert await read(RedisOutgoing(link, new.held), "E1") == b"x"
    assert [key for key in shared_redis.cli("KEYS", "*").split() if "incoming" in key] == []
    await link.close()


async def test_files_are_for_nobody_else(tmp_path: Path) -> None:
    await put(OutgoingFiles(tmp_path / "outbox"), "E1", b"x")
    path = tmp_path / "outbox" / "a1" / "E1.eml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_what_a_crash_has_left_is_found(tmp_path: Path) -> None:
    """What is whole, and what was never complete; the directory of an account goes with its last message."""
    store = OutgoingFiles(tmp_path)
    await put(store, "E1", b"x")
    (tmp_path / "a1" / "E3.part").write_bytes(b"half")
    assert await store.litter() == {"a1": {"E1", "E3"}}
    for id in ("E1", "E3"):
        await store.drop("a1", id)
    assert not (tmp_path / "a1").exists()


@pytest.mark.parametrize("id", ["../E1", "", "a/b", "E1.eml", "E\0"])
async def test_an_id_is_no_path(tmp_path: Path, id: str) -> None:
    with pytest.raises(FileNotFoundError):
        await put(OutgoingFiles(tmp_path), id, b"")
