"""The index of accounts that have something: what a crash or another owner comes between."""

from __future__ import annotations

import asyncio

import pytest

from gateway.store import keys
from gateway.store.api import Node
from gateway.store.redis_leases import RedisLeases
from gateway.store.redis_link import RedisLink
from gateway.store.redis_names import Kind, RedisNames
from tests.store.conftest import NODE, owning_all

KIND = Kind("things", keys.records("a", "things"))


async def test_a_name_without_its_thing_goes_when_looked_at(link: RedisLink) -> None:
    """A crash came between. What is there keeps its name."""
    names = RedisNames(link, (await owning_all(link)).held)
    async with names.adding("a", KIND):
        pass
    async with names.adding("b", KIND):
        await link.call("HSET", keys.records("b", "things"), "id", b"1")
    assert await names.accounts("things") == ["a", "b"]
    for account_id in ("a", "b"):
        await names.look(account_id, Kind("things", keys.records(account_id, "things")))
    assert await names.accounts("things") == ["b"]


async def test_a_field_of_a_hash_counts(link: RedisLink) -> None:
    names = RedisNames(link, (await owning_all(link)).held)
    kind = Kind("sealed:one", keys.sealed("a"), "one")
    async with names.adding("a", kind):
        await link.call("HSET", keys.sealed("a"), "one", b"1", "other", b"1")
    await names.look("a", kind)
    assert await names.accounts("sealed:one") == ["a"]
    await link.call("HDEL", keys.sealed("a"), "one")
    await names.look("a", kind)
    assert await names.accounts("sealed:one") == []


async def test_what_is_being_added_keeps_its_name(link: RedisLink) -> None:
    """Another call of the same owner looks between the name and the thing: it waits, and finds the thing."""
    names = RedisNames(link, (await owning_all(link)).held)
    async with names.adding("a", KIND):
        looking = asyncio.create_task(names.look("a", KIND))
        await asyncio.sleep(0.05)
        assert not looking.done()
        await link.call("HSET", KIND.key, "id", b"1")
    await looking
    assert await names.accounts("things") == ["a"]


@pytest.mark.parametrize("knows", [True, False], ids=["knows it", "does not know it yet"])
async def test_an_old_owner_takes_no_name_away(link: RedisLink, knows: bool) -> None:
    """The new owner has written the name, and is about to write the thing."""
    old = await owning_all(link)
    names = RedisNames(link, old.held)
    new, node = RedisLeases(link), Node("other", "http://other")
    await RedisLeases(link).leave(NODE)
    await new.join(node)
    await new.take("a", node)
    if knows:
        old.held.drop("a")
    async with RedisNames(link, new.held).adding("a", KIND):
        await names.look("a", KIND)
        await link.call("HSET", KIND.key, "id", b"1")
    assert await names.accounts("things") == ["a"]
