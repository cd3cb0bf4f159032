"""User state in Redis: the store of several nodes.

Rule 1: what is written of an account is written by its owner: each write is fenced by the lease's token.
Rule 2: which accounts have a push subscription, mail that waits, … stands in an index (`redis_names`), which may name
        too many and never too few.
Rule 3: the random keys are also in a file of each node. The accounts' ids hang on them: when Redis has lost everything,
        the nodes put them back, and where others were drawn meanwhile that is told and nothing goes on.
Rule 4: how durable a write is, Redis's settings decide (`redis_settings` looks at them).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import msgpack

from gateway.store import keys, redis_records
from gateway.store.api import Fences, PushRecord, Records, RecordState, StoreError
from gateway.store.redis_link import FENCE, RedisLink, Script, Value
from gateway.store.redis_names import Kind, RedisNames
from gateway.store.sqlite import KEY_OCTETS
from gateway.store.sqlite_records import MARK_OCTETS

KEYS_FILE = "cluster-keys.json"

_PUT = Script.of(FENCE + "redis.call('HSET', KEYS[2], unpack(ARGV, 2))")
_PUT_PUSH = Script.of(
    FENCE
    + """
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
"""
)
_DROP = Script.of(FENCE + "for i = 2, #KEYS do redis.call('HDEL', KEYS[i], unpack(ARGV, 2)) end")
_PUT_WHERE = Script.of(
    FENCE + "if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then redis.call('HSET', KEYS[3], ARGV[2], ARGV[3]) end"
)
# Pairs of field and value; no value: it goes.
_CHANGE = Script.of(
    FENCE
    + """
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[i])
  else
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
"""
)


class RedisStore:
    """A `UserStore`. Made by `open()`; the link is the caller's."""

    def __init__(self, link: RedisLink, fences: Fences, directory: Path, own_keys: dict[str, bytes]) -> None:
        self._link, self._fences, self._directory = link, fences, directory
        self._keys, self._writing = own_keys, asyncio.Lock()
        self._names = RedisNames(link, fences)

    @classmethod
    async def open(cls, link: RedisLink, fences: Fences, directory: Path) -> RedisStore:
        """Open the store; `directory` holds this node's copy of the random keys. Raise `StoreError`."""
        await link.call("PING")
        store = cls(link, fences, directory, await asyncio.to_thread(_read_keys, directory / KEYS_FILE))
        await store.put_back_keys()
        return store

    async def close(self) -> None:
        """There is nothing to let go of."""

    # ------------------------------------------------------------ keys

    async def key(self, name: str) -> bytes:
        async with self._writing:
            if name not in self._keys:
                self._keys[name] = await self._drawn(name, os.urandom(KEY_OCTETS))
                await asyncio.to_thread(_write_keys, self._directory / KEYS_FILE, self._keys)
            return self._keys[name]

    async def put_back_keys(self) -> None:
        """Give Redis the keys that it has lost. Raise `StoreError` where it has others."""
        for name, octets in list(self._keys.items()):
            if await self._drawn(name, octets) != octets:
                raise StoreError(
                    f"Redis has another key {name!r} than this node: it lost its data and a new node drew one, or "
                    f"{self._directory / KEYS_FILE} is of another cluster. Stop the nodes, delete that file where it "
                    "is wrong, and delete the key in Redis if another node has the right one"
                )

    async def _drawn(self, name: str, candidate: bytes) -> bytes:
        await self._link.call("HSETNX", keys.RANDOM_KEYS, name, candidate)
        octets: bytes = await self._link.call("HGET", keys.RANDOM_KEYS, name)
        return octets

    # ------------------------------------------------------------ facts

    async def put_fact(self, name: str, octets: bytes) -> None:
        await self._link.call("HSET", keys.FACTS, name, octets)

    async def fact(self, name: str) -> bytes | None:
        octets: bytes | None = await self._link.call("HGET", keys.FACTS, name)
        return octets

    # ------------------------------------------------------------ push subscriptions

    async def put_subscription(self, record: PushRecord) -> None:
        values = asdict(record)
        del values["position"]
        touched = [keys.push(record.owner), keys.push_positions(record.owner)]
        async with self._names.adding(record.owner, _subscriptions(record.owner)):
            await self._fenced(_PUT_PUSH, record.owner, touched, record.id, msgpack.packb(values), record.position)

    async def subscriptions(self, owner: str | None = None) -> Sequence[PushRecord]:
        owners = [owner] if owner is not None else await self.subscription_owners()
        found = [record for one in owners for record in await self._subscriptions_of(one)]
        return sorted(found, key=lambda record: (record.expires_at_s, record.id))

    async def subscription_owners(self) -> Sequence[str]:
        return await self._names.accounts(_subscriptions("").name)

    async def _subscriptions_of(self, owner: str) -> list[PushRecord]:
        records = await self._hash(keys.push(owner))
        if not records:
            await self._names.look(owner, _subscriptions(owner))
            return []
        positions = await self._hash(keys.push_positions(owner))
        return [_push_record(octets, positions.get(id, b"").decode()) for id, octets in records.items()]

    async def put_position(self, owner: str, id: str, position: str) -> None:
        await self._fenced(_PUT_WHERE, owner, [keys.push(owner), keys.push_positions(owner)], id, position)

    async def drop_subscriptions(self, owner: str, ids: Collection[str]) -> None:
        if ids:
            await self._fenced(_DROP, owner, [keys.push(owner), keys.push_positions(owner)], *ids)
            await self._names.look(owner, _subscriptions(owner))

    # ------------------------------------------------------------ secrets, sort orders

    async def put_sealed(self, account_id: str, field: str, sealed: bytes) -> None:
        async with self._names.adding(account_id, _sealed(account_id, field)):
            await self._fenced(_PUT, account_id, [keys.sealed(account_id)], field, sealed)

    async def sealed(self, account_id: str, field: str) -> bytes | None:
        octets: bytes | None = await self._link.call("HGET", keys.sealed(account_id), field)
        if octets is None:
            await self._names.look(account_id, _sealed(account_id, field))
        return octets

    async def sealed_accounts(self, field: str) -> Sequence[str]:
        return await self._names.accounts(_sealed("", field).name)

    async def drop_sealed(self, account_id: str, field: str) -> None:
        await self._fenced(_DROP, account_id, [keys.sealed(account_id)], field)
        await self._names.look(account_id, _sealed(account_id, field))

    async def sort_orders(self, account_id: str) -> Mapping[str, int]:
        return {path: int(order) for path, order in (await self._hash(keys.sort_orders(account_id))).items()}

    async def put_sort_orders(self, account_id: str, orders: Mapping[str, int | None]) -> None:
        changes: list[Value] = []
        for path, order in orders.items():
            changes += [path.encode("utf-8", "surrogatepass"), "" if order is None else order]
        await self._fenced(_CHANGE, account_id, [keys.sort_orders(account_id)], *changes)

    # ------------------------------------------------------------ records

    async def records(
        self, account_id: str, type: str, ids: Collection[str] | None = None, *, with_history: bool = False
    ) -> Records:
        zero = await self._mark_of_nothing()
        found = await redis_records.read(self._link, zero, account_id, type, ids, with_history=with_history)
        if ids is None and not found.by_id:
            await self._names.look(account_id, _records(account_id, type))
        return found

    async def record_states(self, account_id: str) -> Mapping[str, RecordState]:
        return await redis_records.states(self._link, account_id)

    async def write_records(
        self, account_id: str, writes: Mapping[str, Mapping[str, bytes | None]]
    ) -> Mapping[str, RecordState]:
        token, zero = self._fences.token(account_id), await self._mark_of_nothing()
        added = [type for type, some in writes.items() if any(octets is not None for octets in some.values())]
        async with AsyncExitStack() as stack:
            for type in sorted(added):
                await stack.enter_async_context(self._names.adding(account_id, _records(account_id, type)))
            new = await redis_records.write(self._link, zero, token, account_id, writes, int(time.time()))
        for type in new.keys() - added:
            await self._names.look(account_id, _records(account_id, type))
        return new

    async def record_accounts(self, type: str) -> Sequence[str]:
        return await self._names.accounts(_records("", type).name)

    async def _mark_of_nothing(self) -> str:
        return (await self.key("record history"))[:MARK_OCTETS].hex()

    # ------------------------------------------------------------

    async def _fenced(self, script: Script, account_id: str, touched: Sequence[str], *arguments: Value) -> None:
        token = self._fences.token(account_id)
        await self._link.run(script, [keys.lease(account_id), *touched], token, *arguments)

    async def _hash(self, key: str) -> dict[str, bytes]:
        found = await self._link.call("HGETALL", key)
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        return {name.decode("utf-8", "surrogatepass"): value for name, value in pairs}


def _subscriptions(account_id: str) -> Kind:
    return Kind("push", keys.push(account_id))


def _sealed(account_id: str, field: str) -> Kind:
    return Kind(f"sealed:{field}", keys.sealed(account_id), field)


def _records(account_id: str, type: str) -> Kind:
    return Kind(f"records:{type}", keys.records(account_id, type))


def _push_record(octets: bytes, position: str) -> PushRecord:
    values = msgpack.unpackb(octets)
    types = values["types"]
    return PushRecord(**{**values, "types": None if types is None else tuple(types), "position": position})


def _read_keys(path: Path) -> dict[str, bytes]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); check its owner and permissions") from None
    try:
        return {name: base64.b64decode(value, validate=True) for name, value in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        raise StoreError(f"{path} is damaged; delete it if another node has a good one") from None


def _write_keys(path: Path, values: Mapping[str, bytes]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump({name: base64.b64encode(octets).decode() for name, octets in values.items()}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
