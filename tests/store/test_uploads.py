"""Uploaded blobs (RFC 8620 section 6)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.redis_url import check_redis_url
from gateway.store import SqliteStore, Uploads
from gateway.store.redis_link import RedisLink
from gateway.store.redis_uploads import RedisUploads
from gateway.store.uploads import LOCK
from tests.store.conftest import owning_all
from tests.upstreams.redis import RedisServer


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def pieces(*octets: bytes) -> AsyncIterator[bytes]:
    for piece in octets:
        yield piece


async def content(uploads: Uploads | RedisUploads, account: str, digest: str) -> bytes | None:
    found = await uploads.open(account, digest)
    return None if found is None else b"".join([chunk async for chunk in found.chunks()])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def on_disk(store: SqliteStore, tmp_path: Path, clock: Clock) -> Uploads:
    return Uploads(store, tmp_path / "uploads", quota_octets=100, clock=clock)


@pytest.fixture
async def in_redis(shared_redis: RedisServer, clock: Clock) -> AsyncIterator[RedisUploads]:
    shared_redis.cli("FLUSHALL")
    link = RedisLink(check_redis_url(shared_redis.url))
    yield RedisUploads(link, (await owning_all(link)).held, quota_octets=100, clock=clock)
    await link.close()


@pytest.fixture(params=["on_disk", "in_redis"])
def uploads(request: pytest.FixtureRequest) -> Uploads | RedisUploads:
    found: Uploads | RedisUploads = request.getfixturevalue(request.param)
    return found


def files(tmp_path: Path) -> list[str]:
    found = (path.name for path in (tmp_path / "uploads").rglob("*") if path.is_file())
    return sorted(name for name in found if name != LOCK)


async def test_what_goes_in_comes_out(uploads: Uploads | RedisUploads) -> None:
    stored = await uploads.put("a", pieces(b"one ", b"two"), "text/plain")
    assert stored == (hashlib.sha256(b"one two").hexdigest(), 7, "text/plain")
    found = await uploads.open("a", stored.digest)
    assert found is not None
    assert (found.size_octets, found.type) == (7, "text/plain")
    assert await content(uploads, "a", stored.digest) == b"one two"


async def test_read_from_an_offset(uploads: Uploads | RedisUploads) -> None:
    """Octets before the offset are skipped; past the end there are none."""
    stored = await uploads.put("a", pieces(b"0123456789"))
    for offset_octets, rest in ((0, b"0123456789"), (4, b"456789"), (10, b""), (1000, b"")):
        found = await uploads.open("a", stored.digest)
        assert found is not None
        assert b"".join([chunk async for chunk in found.chunks(offset_octets)]) == rest


async def test_empty_and_large(uploads: Uploads | RedisUploads) -> None:
    """A blob may be empty, or larger than what is held in memory."""
    empty = await uploads.put("a", pieces())
    assert await content(uploads, "a", empty.digest) == b""
    large = await uploads.put("b", pieces(*[b"x" * 300_000] * 10))
    assert await content(uploads, "b", large.digest) == b"x" * 3_000_000


async def test_another_account_does_not_see_it(uploads: Uploads | RedisUploads) -> None:
    """Knowing the digest is not having uploaded it."""
    stored = await uploads.put("a", pieces(b"secret"))
    assert await uploads.open("b", stored.digest) is None


async def test_a_failed_upload_leaves_nothing(on_disk: Uploads, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await on_disk.put("a", broken())
    assert files(tmp_path) == []


async def test_expiry(on_disk: Uploads, clock: Clock, tmp_path: Path) -> None:
    """An upload is there for its lifetime, then not; the sweep frees the disk."""
    stored = await on_disk.put("a", pieces(b"x"))
    clock.now += 24 * 3600 - 1
    assert await content(on_disk, "a", stored.digest) == b"x"
    assert await on_disk.sweep() == 0
    clock.now += 1
    assert await on_disk.open("a", stored.digest) is None
    assert await on_disk.sweep() == 1
    assert files(tmp_path) == []


async def test_uploading_anew_resets_the_expiry(uploads: Uploads | RedisUploads, clock: Clock) -> None:
    await uploads.put("a", pieces(b"x"))
    clock.now += 20 * 3600
    stored = await uploads.put("a", pieces(b"x"))
    clock.now += 20 * 3600
    await uploads.sweep()
    assert await content(uploads, "a", stored.digest) == b"x"


async def test_shared_octets_outlive_one_owner(on_disk: Uploads, clock: Clock) -> None:
    await on_disk.put("a", pieces(b"x"))
    clock.now += 3600
    stored = await on_disk.put("b", pieces(b"x"))
    clock.now += 23 * 3600
    assert await on_disk.sweep() == 1
    assert await content(on_disk, "b", stored.digest) == b"x"


async def test_over_quota_the_oldest_go(uploads: Uploads | RedisUploads, clock: Clock) -> None:
    """RFC 8620 section 6: oldest first, until there is room for the new one."""
    digests = []
    for letter in b"abc":
        digests.append((await uploads.put("a", pieces(bytes([letter]) * 40))).digest)
        clock.now += 1
    assert [await content(uploads, "a", d) is not None for d in digests] == [False, True, True]


async def test_quota_is_per_account(uploads: Uploads | RedisUploads) -> None:
    one = await uploads.put("a", pieces(b"1" * 90))
    await uploads.put("b", pieces(b"2" * 90))
    assert await content(uploads, "a", one.digest) is not None


async def test_many_at_once(uploads: Uploads | RedisUploads) -> None:
    """The same octets uploaded many times at the same time are one blob."""
    stored = await asyncio.gather(*(uploads.put("a", pieces(b"same")) for _ in range(20)))
    assert len(set(stored)) == 1
    assert await content(uploads, "a", stored[0].digest) == b"same"


def test_a_lifetime_below_an_hour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an hour"):
        Uploads(None, tmp_path, lifetime_s=60)  # type: ignore[arg-type]  # never reached


async def test_leftovers_of_a_killed_process_go(store: SqliteStore, tmp_path: Path) -> None:
    (tmp_path / "uploads" / "incoming").mkdir(parents=True)
    (tmp_path / "uploads" / "incoming" / "tmp1").write_bytes(b"half")
    Uploads(store, tmp_path / "uploads")
    assert files(tmp_path) == []
