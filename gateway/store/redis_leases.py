"""Nodes and their leases in Redis.

Rule 1: a node is there as long as it beats; one that was late once is gone for good, and comes back under another id.
        So what was seen to be gone stays gone, and its leases can be taken without asking twice. A node that joins
        listens at its URL: another one of this URL has gone, and need not be waited for.
        One that is silent, and of which somebody knows that it does not run, need not be either.
Rule 2: a token is Redis's time in microseconds, or one more than the last: it grows even after all was lost.
Rule 3: what an owner writes is fenced by `Held`: only under a lease that this node holds, and Redis checks its token
        with the write itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

from gateway.store import keys
from gateway.store.api import LEASE_LIFETIME_S, NODE_LIFETIME_S, Lease, LeaseLost, Node
from gateway.store.redis_link import RedisLink, Script

_NOW = "local t = redis.call('TIME')\nlocal now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

_FORGET = """
local function forget(id)
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
end
"""

_JOIN = Script.of(
    _NOW
    + _FORGET
    + """
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - 10 * ARGV[3])) do
  forget(id)
end
local urls = redis.call('HGETALL', KEYS[2])
for at = 1, #urls, 2 do
  if urls[at + 1] == ARGV[2] then forget(urls[at]) end
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
"""
)

# Arguments: the id, lifetime in ms, how many accounts it owns (or '').
_BEAT = Script.of(
    _NOW
    + """
local till = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not till or tonumber(till) <= now or redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
if ARGV[3] == '' then redis.call('HDEL', KEYS[3], ARGV[1]) else redis.call('HSET', KEYS[3], ARGV[1], ARGV[3]) end
return 1
"""
)

_LEAVE = Script.of(_FORGET + "forget(ARGV[1])")

# Arguments: the id, and how much of its life it has left at most, in ms.
_GIVE_UP = Script.of(
    _NOW
    + _FORGET
    + """
local till = redis.call('ZSCORE', KEYS[1], ARGV[1])
if till and tonumber(till) <= now + ARGV[2] then forget(ARGV[1]) end
"""
)

_IS_THERE = Script.of(
    _NOW
    + """
local till = redis.call('ZSCORE', KEYS[1], ARGV[1])
return (till and tonumber(till) > now) and 1 or 0
"""
)

# Argument, if not all are wanted: how much of its life a node has left at most, in ms.
_NODES = Script.of(
    _NOW
    + """
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, ARGV[1] and now + ARGV[1] or '+inf')) do
  local url = redis.call('HGET', KEYS[2], id)
  if url then
    for _, text in ipairs({id, url, redis.call('HGET', KEYS[3], id) or ''}) do found[#found + 1] = text end
  end
end
return found
"""
)

# Arguments: id and URL of the node, the id of the node that is known to be gone (or ''), lifetime in ms.
_TAKE = Script.of(
    """
local held = redis.call('HMGET', KEYS[1], 'node', 'url', 'token')
if held[1] and held[1] ~= ARGV[1] and held[1] ~= ARGV[3] then return held end
if held[1] ~= ARGV[1] then
  local t = redis.call('TIME')
  local token = t[1] * 1000000 + t[2]
  if held[3] and token <= tonumber(held[3]) then token = tonumber(held[3]) + 1 end
  held = {ARGV[1], ARGV[2], string.format('%.0f', token)}
  redis.call('HSET', KEYS[1], 'node', held[1], 'url', held[2], 'token', held[3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return held
"""
)

# Tokens grow from owner to owner, so that of an older one is the smaller.
_ADOPT = Script.of(
    """
local token = redis.call('HGET', KEYS[1], 'token')
if token and tonumber(token) > tonumber(ARGV[1]) then return redis.error_reply('LEASE lost') end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
)

_RENEW = Script.of(
    """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)

# Arguments: the token of the owner, id and URL of the next.
_HAND_OVER = Script.of(
    """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return end
local t = redis.call('TIME')
local token = math.max(t[1] * 1000000 + t[2], ARGV[1] + 1)
redis.call('HSET', KEYS[1], 'node', ARGV[2], 'url', ARGV[3], 'token', string.format('%.0f', token))
"""
)

_RELEASE = Script.of("if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then redis.call('DEL', KEYS[1]) end")

_NODE_KEYS = (keys.NODES, keys.NODE_URLS, keys.NODE_ACCOUNTS)


class Held:
    """The leases that this node holds; whoever writes as an owner asks for the token here."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}
        self._adopted: dict[str, dict[str, Lease]] = {}  # by the account that they go with

    def __iter__(self) -> Iterator[Lease]:
        return iter(tuple(self._leases.values()))

    def put(self, lease: Lease) -> None:
        self._leases[lease.account_id] = lease

    def adopt(self, adopted: Lease, lease: Lease) -> None:
        self._adopted.setdefault(lease.account_id, {})[adopted.account_id] = adopted
        self.put(adopted)

    def adopted(self, account_id: str) -> Collection[Lease]:
        """Return what goes with an account."""
        return tuple(self._adopted.get(account_id, {}).values())

    def drop(self, account_id: str) -> None:
        for id in (account_id, *self._adopted.pop(account_id, ())):
            self._leases.pop(id, None)

    def token(self, account_id: str) -> int:
        """Return the token to write with. Raise `LeaseLost`."""
        lease = self._leases.get(account_id)
        if lease is None:
            raise LeaseLost("this node does not own the account")
        return lease.token


class RedisLeases:
    """A `LeaseStore`. What it takes and gives up stands in `held`."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self.held = Held()
        self.on_join: Callable[[], Awaitable[None]] = _nothing  # before: Redis may have lost everything since

    async def join(self, node: Node) -> None:
        await self.on_join()
        await self._link.run(_JOIN, _NODE_KEYS, node.id, node.url, int(NODE_LIFETIME_S * 1000))

    async def beat(self, node: Node, accounts: int | None) -> bool:
        told = "" if accounts is None else accounts
        is_there: bool = await self._link.run(_BEAT, _NODE_KEYS, node.id, int(NODE_LIFETIME_S * 1000), told) == 1
        if not is_there:
            self._drop(node)
        return is_there

    async def leave(self, node: Node) -> None:
        self._drop(node)
        await self._link.run(_LEAVE, _NODE_KEYS, node.id)

    async def nodes(self) -> Sequence[Node]:
        return _nodes(await self._link.run(_NODES, _NODE_KEYS))

    async def silent(self, for_s: float) -> Sequence[Node]:
        return _nodes(await self._link.run(_NODES, _NODE_KEYS, _left_ms(for_s)))

    async def give_up(self, node: Node, silent_s: float) -> None:
        await self._link.run(_GIVE_UP, _NODE_KEYS, node.id, _left_ms(silent_s))

    async def take(self, account_id: str, node: Node) -> Lease | Node:
        gone = ""
        while True:
            lifetime_ms = int(LEASE_LIFETIME_S * 1000)
            answer = await self._link.run(_TAKE, [keys.lease(account_id)], node.id, node.url, gone, lifetime_ms)
            holder = Node(answer[0].decode(), answer[1].decode())
            if holder.id == node.id:
                lease = Lease(account_id, node, int(answer[2]))
                self.held.put(lease)
                return lease
            if await self._is_there(holder):
                self.held.drop(account_id)
                return holder
            gone = holder.id

    async def adopt(self, account_id: str, lease: Lease) -> Lease:
        adopted = Lease(account_id, lease.node, lease.token)
        await self._link.run(_ADOPT, [keys.lease(account_id)], lease.token, int(LEASE_LIFETIME_S * 1000))
        if self.held.token(lease.account_id) != lease.token:
            raise LeaseLost("another node owns the account")
        self.held.adopt(adopted, lease)
        return adopted

    async def renew(self, leases: Collection[Lease]) -> frozenset[str]:
        lifetime_ms = int(LEASE_LIFETIME_S * 1000)
        all_of = [(lease.account_id, one) for lease in leases for one in (lease, *self.held.adopted(lease.account_id))]
        calls = [([keys.lease(one.account_id)], (one.token, lifetime_ms)) for _id, one in all_of]
        answers = await self._link.run_all(_RENEW, calls)
        lost = {id for (id, _lease), answer in zip(all_of, answers, strict=True) if answer == 0}
        for account_id in lost:
            self.held.drop(account_id)
        return frozenset(lost)

    async def release(self, lease: Lease) -> None:
        self.held.drop(lease.account_id)
        await self._link.run(_RELEASE, [keys.lease(lease.account_id)], lease.token)

    async def hand_over(self, lease: Lease, node: Node) -> None:
        self.held.drop(lease.account_id)
        await self._link.run(_HAND_OVER, [keys.lease(lease.account_id)], lease.token, node.id, node.url)

    async def owner(self, account_id: str) -> Node | None:
        found = await self._link.call("HMGET", keys.lease(account_id), "node", "url")
        if found[0] is None:
            return None
        node = Node(found[0].decode(), found[1].decode())
        return node if await self._is_there(node) else None

    async def _is_there(self, node: Node) -> bool:
        is_there: bool = await self._link.run(_IS_THERE, _NODE_KEYS, node.id) == 1
        return is_there

    def _drop(self, node: Node) -> None:
        for lease in self.held:
            if lease.node == node:
                self.held.drop(lease.account_id)


def _nodes(found: Sequence[bytes]) -> Sequence[Node]:
    """Return the nodes of an answer: id, URL, how many accounts; and so on."""
    texts = [text.decode() for text in found]
    told = zip(texts[::3], texts[1::3], texts[2::3], strict=True)
    nodes = (Node(id, url, int(accounts) if accounts else None) for id, url, accounts in told)
    return sorted(nodes, key=lambda node: node.id)


def _left_ms(silent_s: float) -> int:
    """Return how much of its life a node has left that has not beaten for so long."""
    return int((NODE_LIFETIME_S - silent_s) * 1000)


async def _nothing() -> None:
    return
