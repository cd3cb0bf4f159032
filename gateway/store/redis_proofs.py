"""Which logins the upstream has taken lately, told by one node to all: the `auth.login.Proofs` of several nodes.

Rule 1: what is kept of a login is the keyed hash that it is given, under a key that is not in Redis.
Rule 2: it is derived: whoever cannot see it asks the upstream.
"""

from __future__ import annotations

from gateway.store import keys
from gateway.store.redis_link import RedisLink, Script

MAX_OF_AN_ACCOUNT = 16  # devices with passwords or tokens of their own; the oldest go first

_NOW = "local t = redis.call('TIME')\nlocal now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
_LOOK = Script.of(
    _NOW
    + """
local expires = redis.call('ZSCORE', KEYS[1], ARGV[1])
return expires and math.max(0, tonumber(expires) - now) or 0
"""
)
_ADD = Script.of(
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], last[2])
"""
)


class RedisProofs:
    """Every call may raise `StoreError`."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def lasts_s(self, account_id: str, proof: bytes) -> float:
        left_ms: int = await self._link.run(_LOOK, [keys.proofs(account_id)], proof)
        return left_ms / 1000

    async def add(self, account_id: str, proof: bytes, lasts_s: float) -> None:
        key = keys.proofs(account_id)
        await self._link.run(_ADD, [key], proof, int(lasts_s * 1000), MAX_OF_AN_ACCOUNT)

    async def drop(self, account_id: str) -> None:
        await self._link.call("DEL", keys.proofs(account_id))
