"""Messages that wait to be sent, in Redis: whichever node owns the account can send them, with no disk of another.

Rule 1: a message is there whole, under the owner's lease, or not at all.
Rule 2: one that nobody needs, for a crash came before it was taken over, expires when no message can wait any more.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.store import keys
from gateway.store.api import Fences, StoreError, StoreUnavailable, Write
from gateway.store.redis_link import FENCE, RedisLink, Script
from gateway.store.redis_uploads import INCOMING_S, WRITE_OCTETS
from gateway.store.uploads import READ_OCTETS

LIFETIME_S = 40 * 86_400  # it is held for 30 days at most, and tried for two

_ADD = Script.of("redis.call('APPEND', KEYS[1], ARGV[1]) redis.call('EXPIRE', KEYS[1], ARGV[2])")

# KEYS: lease, the octets as they came in, their key. ARGV: token, size, lifetime. Made twice it does nothing.
_KEEP = Script.of(
    FENCE
    + """
local size = tonumber(ARGV[2])
if redis.call('STRLEN', KEYS[2]) == size and redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('RENAME', KEYS[2], KEYS[3])
elseif redis.call('STRLEN', KEYS[3]) ~= size then
  return 0
end
redis.call('EXPIRE', KEYS[3], ARGV[3])
return 1
"""
)


class RedisOutgoing:
    """An `OutgoingStore`."""

    def __init__(self, link: RedisLink, fences: Fences) -> None:
        self._link, self._fences = link, fences

    @asynccontextmanager
    async def writing(self, account_id: str, id: str) -> AsyncIterator[Write]:
        token, incoming = self._fences.token(account_id), keys.incoming(account_id, secrets.token_hex(8))
        pending, size_octets = bytearray(), 0

        async def write(octets: bytes) -> None:
            nonlocal size_octets
            size_octets += len(octets)
            pending.extend(octets)
            while len(pending) >= WRITE_OCTETS:
                await self._link.run(_ADD, [incoming], bytes(pending[:WRITE_OCTETS]), INCOMING_S)
                del pending[:WRITE_OCTETS]

        try:
            yield write
            await self._link.run(_ADD, [incoming], bytes(pending), INCOMING_S)
            touched = [keys.lease(account_id), incoming, keys.outgoing(account_id, id)]
            if not await self._link.run(_KEEP, touched, token, size_octets, LIFETIME_S):
                raise StoreUnavailable("the message was lost half-way")  # or Redis got some of it twice
        except BaseException:
            with suppress(StoreError):  # it expires by itself
                await self._link.call("DEL", incoming)
            raise

    async def octets(self, account_id: str, id: str) -> AsyncIterator[bytes]:
        key, at = keys.outgoing(account_id, id), 0
        size_octets = await self._link.call("STRLEN", key)
        while True:
            chunk: bytes = await self._link.call("GETRANGE", key, at, at + READ_OCTETS - 1)
            if not chunk:
                raise FileNotFoundError("the message is not there any more")
            yield chunk
            at += len(chunk)
            if at >= size_octets:
                return

    async def has(self, account_id: str, id: str) -> bool:
        return bool(await self._link.call("EXISTS", keys.outgoing(account_id, id)))

    async def drop(self, account_id: str, id: str) -> None:
        with suppress(StoreError):  # it expires by itself
            await self._link.call("DEL", keys.outgoing(account_id, id))

    async def litter(self) -> dict[str, set[str]]:
        return {}
