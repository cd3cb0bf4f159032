"""Which accounts have something of a kind (push subscriptions, mail that waits): an index over all accounts, in Redis.

It is in another slot than what it points to, so no script can change both.

Rule 1: a name is written before what it stands for, and taken away after it: there may be too many, never too few.
Rule 2: each writing of a name leaves a new mark on it, and only a name with the mark that was seen before the account
        was found empty, under its lease, is taken away. What another owner, or another call, has written meanwhile
        stays.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple
from weakref import WeakValueDictionary

from gateway.store import keys
from gateway.store.api import Fences, LeaseLost
from gateway.store.redis_link import FENCE, RedisLink, Script

_REMOVE = Script.of("if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end")
_HAS = Script.of(
    FENCE + "return #ARGV > 1 and redis.call('HEXISTS', KEYS[2], ARGV[2]) or redis.call('EXISTS', KEYS[2])"
)


class Kind(NamedTuple):
    """Something that an account may have."""

    name: str
    key: str  # of the account: where it is
    field: str | None = None  # of the hash there; None: the whole of it


class RedisNames:
    """The index. Who writes something of a kind does it within `adding`; who finds or leaves nothing calls `look`."""

    def __init__(self, link: RedisLink, fences: Fences) -> None:
        self._link, self._fences = link, fences
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def accounts(self, kind: str) -> list[str]:
        """Return the accounts that may have something of a kind."""
        return sorted([name.decode() for name in await self._link.call("HKEYS", keys.names(kind))])

    @asynccontextmanager
    async def adding(self, account_id: str, kind: Kind) -> AsyncIterator[None]:
        """Write the name of an account that gets something within."""
        async with self._lock(account_id, kind):
            await self._link.call("HSET", keys.names(kind.name), account_id, secrets.token_hex(8))
            yield

    async def look(self, account_id: str, kind: Kind) -> None:
        """Take the name of an account away if it has nothing (any more), and is this node's."""
        with suppress(LeaseLost):
            token = self._fences.token(account_id)
            async with self._lock(account_id, kind):
                mark = await self._link.call("HGET", keys.names(kind.name), account_id)
                if mark is None:
                    return
                asked = () if kind.field is None else (kind.field,)
                if not await self._link.run(_HAS, [keys.lease(account_id), kind.key], token, *asked):
                    await self._link.run(_REMOVE, [keys.names(kind.name)], account_id, mark)

    def _lock(self, account_id: str, kind: Kind) -> asyncio.Lock:
        return self._locks.setdefault((account_id, kind.name), asyncio.Lock())
