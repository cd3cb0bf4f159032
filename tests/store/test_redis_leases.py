"""Who owns an account, on a real Redis and a real Redis Cluster."""

from __future__ import annotations

import asyncio

import pytest

from gateway.store import keys, redis_leases
from gateway.store.api import Lease, LeaseLost, Node
from gateway.store.redis_leases import RedisLeases
from gateway.store.redis_link import RedisLink

A, B = Node("a", "http://a:1"), Node("b", "http://b:1")


@pytest.fixture
def leases(link: RedisLink) -> RedisLeases:
    return RedisLeases(link)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes are given up after two seconds."""
    monkeypatch.setattr(redis_leases, "NODE_LIFETIME_S", 2.0)


async def taken(leases: RedisLeases, account_id: str, node: Node) -> Lease:
    lease = await leases.take(account_id, node)
    assert isinstance(lease, Lease)
    return lease


async def test_one_owner(leases: RedisLeases, link: RedisLink) -> None:
    """Who takes an account has it, and everybody else learns where it is; taking again gives the same lease."""
    other = RedisLeases(link)
    await leases.join(A)
    await other.join(B)
    lease = await taken(leases, "u1", A)
    assert await other.take("u1", B) == A
    assert await leases.take("u1", A) == lease
    assert await other.owner("u1") == A
    assert await other.owner("u2") is None
    assert await other.nodes() == [A, B]


async def test_tokens_grow(leases: RedisLeases, link: RedisLink) -> None:
    """Each owner's token is greater than the one before, even when Redis has lost everything meanwhile."""
    await leases.join(A)
    first = await taken(leases, "u1", A)
    await leases.release(first)
    second = await taken(leases, "u1", A)
    await link.each_server("FLUSHALL")
    third = await taken(leases, "u1", A)
    assert first.token < second.token < third.token


async def test_a_node_that_falls_silent_is_given_up(quick: None, leases: RedisLeases, link: RedisLink) -> None:
    """Its accounts are free, its id is used up, and it learns of it by its next beat."""
    other = RedisLeases(link)
    await leases.join(A)
    old = await taken(leases, "u1", A)
    await asyncio.sleep(2.1)
    await other.join(B)
    assert await other.nodes() == [B]
    assert await other.owner("u1") is None
    new = await taken(other, "u1", B)
    assert new.token > old.token
    assert not await leases.beat(A, 0)
    with pytest.raises(LeaseLost):
        leases.held.token("u1")
    assert await leases.renew([old]) == {"u1"}
    await leases.release(old)  # has no effect on what is another's
    assert await other.owner("u1") == B


async def test_a_node_that_beats_stays(quick: None, leases: RedisLeases) -> None:
    await leases.join(A)
    lease = await taken(leases, "u1", A)
    for _ in range(3):
        await asyncio.sleep(0.8)
        assert await leases.beat(A, 0)
    assert await leases.renew([lease]) == frozenset()
    assert leases.held.token("u1") == lease.token


async def test_a_silent_node_that_is_known_to_have_ended(leases: RedisLeases) -> None:
    """It is given up before its time; one that has beaten meanwhile is not."""
    await leases.join(A)
    await leases.join(B)
    lease = await taken(leases, "u1", A)
    assert await leases.silent(3600) == []
    await asyncio.sleep(1.1)
    assert await leases.silent(1.0) == [A, B]
    await leases.beat(B, 0)
    for node in (A, B):
        await leases.give_up(node, 1.0)
    assert await leases.nodes() == [B]
    assert await leases.take("u1", B) != lease
    assert not await leases.beat(A, 0)


async def test_what_is_handed_over(leases: RedisLeases, link: RedisLink) -> None:
    """The next owner has it from then on, under a greater token; what the old one knows of it counts no more."""
    other, third = RedisLeases(link), RedisLeases(link)
    await leases.join(A)
    await other.join(B)
    old = await taken(leases, "u1", A)
    await leases.hand_over(old, B)
    with pytest.raises(LeaseLost):
        leases.held.token("u1")
    assert await third.owner("u1") == B
    assert await leases.take("u1", A) == B
    new = await taken(other, "u1", B)
    assert new.token > old.token
    await leases.hand_over(old, A)  # has no effect on what is another's
    await leases.release(old)
    assert await third.owner("u1") == B


async def test_nodes_tell_how_much_they_own(leases: RedisLeases) -> None:
    await leases.join(A)
    await leases.join(B)
    assert [node.accounts for node in await leases.nodes()] == [None, None]
    await leases.beat(A, 17)
    await leases.beat(B, 0)
    assert [node.accounts for node in await leases.nodes()] == [17, 0]
    await leases.beat(A, None)
    await leases.leave(B)
    await leases.join(B)
    assert [node.accounts for node in await leases.nodes()] == [None, None]


async def test_a_node_that_leaves_is_gone_at_once(leases: RedisLeases, link: RedisLink) -> None:
    other = RedisLeases(link)
    await leases.join(A)
    await taken(leases, "u1", A)
    await leases.leave(A)
    await other.join(B)
    assert (await taken(other, "u1", B)).node == B
    assert not await leases.beat(A, 0)


async def test_a_node_that_begins_anew_is_not_waited_for(leases: RedisLeases, link: RedisLink) -> None:
    """After a crash a node comes back at its URL under another id: what it had is free at once, the others' is not."""
    other, again = RedisLeases(link), RedisLeases(link)
    await leases.join(A)
    await other.join(B)
    await taken(leases, "u1", A)
    await taken(other, "u2", B)
    anew = Node("a2", A.url)
    await again.join(anew)
    assert await other.nodes() == [anew, B]
    assert await other.owner("u1") is None
    assert (await taken(other, "u1", B)).node == B
    assert await again.take("u2", anew) == B
    assert not await leases.beat(A, 0)
    assert await again.beat(anew, 0)


async def test_what_goes_with_an_account(leases: RedisLeases, link: RedisLink) -> None:
    """An account that was adopted is written by the owner of the other one, is kept with it, and is lost with it."""
    other = RedisLeases(link)
    await leases.join(A)
    lease = await taken(leases, "u1", A)
    adopted = await leases.adopt("shared", lease)
    assert (adopted.token, leases.held.token("shared")) == (lease.token, lease.token)
    await link.call("PEXPIRE", keys.lease("shared"), 1000)
    assert await leases.renew([lease]) == frozenset()
    assert int(await link.call("PTTL", keys.lease("shared"))) > 1000
    await leases.leave(A)
    with pytest.raises(LeaseLost):
        leases.held.token("shared")
    await other.join(B)
    newer = await taken(other, "u1", B)
    await other.adopt("shared", newer)
    leases.held.put(lease)  # a node that does not know yet
    with pytest.raises(LeaseLost):
        await leases.adopt("shared", lease)
    await link.call("DEL", keys.lease("shared"))
    assert await other.renew([newer]) == {"u1"}


async def test_one_of_many_gets_it(leases: RedisLeases, link: RedisLink) -> None:
    """Twenty nodes ask for the same account at once: one has it, the others name that one."""
    nodes = [Node(f"n{number}", f"http://n{number}") for number in range(20)]
    for node in nodes:
        await leases.join(node)
    found = await asyncio.gather(*(RedisLeases(link).take("u1", node) for node in nodes))
    owners = {one.node if isinstance(one, Lease) else one for one in found}
    assert len(owners) == 1
    assert sum(isinstance(one, Lease) for one in found) == 1


async def test_all_lost_means_given_up(leases: RedisLeases, link: RedisLink) -> None:
    """After a FLUSHALL no beat is believed: the node has to come back, and to take its accounts anew."""
    await leases.join(A)
    lease = await taken(leases, "u1", A)
    await link.each_server("FLUSHALL")
    assert not await leases.beat(A, 0)
    assert await leases.renew([lease]) == {"u1"}
