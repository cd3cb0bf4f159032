"""Uploaded blobs (RFC 8620 section 6) in Redis, octets and all, so that whichever node owns the account has them.

Rule 1: a blob is of one account; another that uploads the same octets has its own.
Rule 2: a blob is acknowledged when octets and record are in Redis under the owner's lease. Octets without a record
        expire by themselves.
Rule 3: a blob lives `lifetime_s` after its last upload. Only when its account is over quota the oldest go earlier, and
        the one just uploaded never does.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress

import msgpack

from gateway.store import keys
from gateway.store.api import Fences, StoreError, StoreUnavailable, UploadRecord
from gateway.store.redis_link import FENCE, RedisLink, Script
from gateway.store.uploads import DEFAULT_TYPE, MIN_LIFETIME_S, READ_OCTETS, Upload

WRITE_OCTETS = 1 << 19  # of one APPEND
INCOMING_S = 600  # between two pieces of an upload: longer than any request may be silent

_ADD = Script.of("redis.call('APPEND', KEYS[1], ARGV[1]) redis.call('EXPIRE', KEYS[1], ARGV[2])")

# KEYS: lease, records, the octets as they came in, the octets' key; then the octets of those that go.
# ARGV: token, digest, record, lifetime, size; then the digests of those that go.
_CLAIM = Script.of(
    FENCE
    + """
if redis.call('STRLEN', KEYS[3]) == tonumber(ARGV[5]) and redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('RENAME', KEYS[3], KEYS[4])
elseif redis.call('EXISTS', KEYS[4]) == 0 then
  return 0
end
redis.call('EXPIRE', KEYS[4], ARGV[4])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
for i = 6, #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i])
  redis.call('DEL', KEYS[i - 1])
end
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
"""
)


class RedisUpload:
    """One upload, for reading."""

    def __init__(self, link: RedisLink, key: str, size_octets: int, type: str) -> None:
        self._link, self._key, self.size_octets, self.type = link, key, size_octets, type

    async def chunks(self, offset_octets: int = 0) -> AsyncIterator[bytes]:
        """Yield the octets in order, from an offset on. Raise `FileNotFoundError` when the blob has expired."""
        at = offset_octets
        while at < self.size_octets:
            chunk: bytes = await self._link.call("GETRANGE", self._key, at, at + READ_OCTETS - 1)
            if not chunk:
                raise FileNotFoundError("the upload has expired")
            yield chunk
            at += len(chunk)


class RedisUploads:
    """All uploads. `clock` is seconds since 1970."""

    def __init__(
        self,
        link: RedisLink,
        fences: Fences,
        *,
        quota_octets: int = 1_000_000_000,
        lifetime_s: int = 24 * 3600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if lifetime_s < MIN_LIFETIME_S:
            raise ValueError("an upload must be kept for an hour at least (RFC 8620 section 6)")
        self._link, self._fences = link, fences
        self._quota_octets, self._lifetime_s, self._clock = quota_octets, lifetime_s, clock

    async def put(self, account_id: str, chunks: AsyncIterable[bytes], type: str = DEFAULT_TYPE) -> Upload:
        """Store the octets. An exception of `chunks` ends it and leaves nothing behind."""
        token = self._fences.token(account_id)
        incoming = keys.incoming(account_id, secrets.token_hex(8))
        try:
            digest, size_octets = await self._receive(incoming, chunks)
            await self._claim(account_id, token, incoming, Upload(digest, size_octets, type))
        except BaseException:
            with suppress(StoreError):  # it expires by itself
                await self._link.call("DEL", incoming)
            raise
        return Upload(digest, size_octets, type)

    async def open(self, account_id: str, digest: str) -> RedisUpload | None:
        """Return this account's upload; None when it has none or it has expired."""
        octets = await self._link.call("HGET", keys.uploads(account_id), digest)
        if octets is None:
            return None
        record = UploadRecord(account_id, digest, *msgpack.unpackb(octets))
        key = keys.upload(account_id, digest)
        if record.expires_at_s <= self._clock() or not await self._link.call("EXISTS", key):
            return None
        return RedisUpload(self._link, key, record.size_octets, record.type)

    async def sweep(self) -> int:
        """There is nothing to do: what expires goes by itself, its records with the next upload."""
        return 0

    async def _receive(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
        digest, size_octets = hashlib.sha256(), 0
        pending = bytearray()
        await self._link.call("SET", key, b"", "EX", INCOMING_S)

        async for chunk in chunks:
            digest.update(chunk)
            size_octets += len(chunk)
            pending += chunk
            while len(pending) >= WRITE_OCTETS:
                await self._add(key, bytes(pending[:WRITE_OCTETS]))
                del pending[:WRITE_OCTETS]
        if pending:
            await self._add(key, bytes(pending))
        return digest.hexdigest(), size_octets

    async def _add(self, key: str, octets: bytes) -> None:
        await self._link.run(_ADD, [key], octets, INCOMING_S)

    async def _claim(self, account_id: str, token: int, incoming: str, upload: Upload) -> None:
        now_s = int(self._clock())
        going = [digest for digest in await self._going(account_id, upload, now_s) if digest != upload.digest]
        touched = [keys.lease(account_id), keys.uploads(account_id), incoming, keys.upload(account_id, upload.digest)]
        touched += [keys.upload(account_id, digest) for digest in going]
        record = msgpack.packb([upload.size_octets, upload.type, now_s, now_s + self._lifetime_s])
        is_there = await self._link.run(
            _CLAIM, touched, token, upload.digest, record, self._lifetime_s, upload.size_octets, *going
        )
        if not is_there:  # Redis has lost some of it meanwhile, or got some of it twice
            raise StoreUnavailable("the upload was interrupted")

    async def _going(self, account_id: str, upload: Upload, now_s: int) -> list[str]:
        """Return what is to go: what has expired, and the oldest of what is too much."""
        found = await self._link.call("HGETALL", keys.uploads(account_id))
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        records = [UploadRecord(account_id, digest.decode(), *msgpack.unpackb(octets)) for digest, octets in pairs]
        records = [record for record in records if record.digest != upload.digest]
        going = [record.digest for record in records if record.expires_at_s <= now_s]
        over = upload.size_octets - self._quota_octets
        over += sum(record.size_octets for record in records if record.expires_at_s > now_s)
        for record in sorted(records, key=lambda record: (record.uploaded_at_s, record.digest)):
            if over <= 0:
                break
            if record.expires_at_s > now_s:
                going.append(record.digest)
                over -= record.size_octets
        return going
