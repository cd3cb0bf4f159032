"""Nodes that share a Redis, and which of them owns what: without listeners, and with work that is only noted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.config.redis_url import check_redis_url
from gateway.jmap.errors import MethodError
from gateway.metrics import Metrics
from gateway.server import membership, ownership
from gateway.server.ownership import Ownership
from gateway.store import redis_leases
from gateway.store.api import Lease, LeaseLost
from gateway.store.redis_leases import RedisLeases
from gateway.store.redis_link import RedisLink
from gateway.store.redis_signals import RedisSignals
from tests.upstreams.redis import RedisServer

SOON_S = 30.0  # on a busy machine


class Work:
    """Notes what it is told to do."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.closed: list[tuple[str, bool]] = []
        self.ended: list[str] = []
        self.duties: set[str] = set()
        self.needed: set[str] = set()
        self.busy: set[str] = set()
        self.closing = asyncio.Event()
        self.closing.set()

    async def begin(self, account_id: str) -> None:
        self.begun.append(account_id)

    def end_streams(self, account_id: str) -> None:
        self.ended.append(account_id)

    async def close(self, account_id: str, *, is_lost: bool) -> None:
        await self.closing.wait()
        self.closed.append((account_id, is_lost))

    def is_needed(self, account_id: str) -> bool:
        return account_id in self.needed

    def is_busy(self, account_id: str) -> bool:
        return account_id in self.busy

    async def with_duties(self) -> set[str]:
        return self.duties


class OneNode:
    """A node, its store and its work."""

    def __init__(self, redis: RedisServer, name: str) -> None:
        self.link = RedisLink(check_redis_url(redis.url))
        self.leases, self.work, self.gone = RedisLeases(self.link), Work(), list[str]()
        self.signals, self.metrics = RedisSignals(self.link), Metrics()
        url = f"http://{name}"
        self.down: set[str] = set()
        self.owners = Ownership(
            *(self.leases, self.signals, url, self.work, self.metrics),
            gone=self.gone.append,
            is_down=self.is_down,
            moves_per_s=4,
        )

    async def start(self) -> None:
        await self.signals.start()
        await self.owners.start()

    async def aclose(self) -> None:
        await self.owners.aclose()
        await self.signals.aclose()
        await self.link.close()

    async def is_down(self, url: str) -> bool:
        return url in self.down

    def crash(self) -> None:
        """Do nothing any more, as a process that was killed."""
        for chore in self.owners._chores:
            chore.cancel()


MakeNode = Callable[[str], OneNode]


@pytest.fixture
async def make(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeNode]:
    """Make nodes whose life is short."""
    for module in (membership, redis_leases):
        monkeypatch.setattr(module, "NODE_LIFETIME_S", 4.0)
    monkeypatch.setattr(membership, "MARGIN_S", 0.5)
    monkeypatch.setattr(membership, "BEAT_S", 0.3)
    monkeypatch.setattr(membership, "SILENT_S", 1.5)
    nodes: list[OneNode] = []

    def make_node(name: str) -> OneNode:
        nodes.append(OneNode(own_redis, name))
        return nodes[-1]

    yield make_node
    for node in nodes:
        await node.aclose()


async def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def two(make: MakeNode) -> tuple[OneNode, OneNode]:
    nodes = make("a"), make("b")
    for node in nodes:
        await node.start()
    return nodes


async def test_one_of_many_that_ask_owns_it(make: MakeNode) -> None:
    a, b = await two(make)
    await asyncio.gather(*(node.owners.take(f"A{n}") for n in range(40) for node in (a, b)))
    for n in range(40):
        assert a.owners.is_ours(f"A{n}") is not b.owners.is_ours(f"A{n}")
        mine, other = (a, b) if a.owners.is_ours(f"A{n}") else (b, a)
        assert await other.owners.owner(f"A{n}") == mine.owners.node
        assert await mine.owners.owner(f"A{n}") is None
    await until(lambda: len(a.work.begun) + len(b.work.begun) == 40)
    with pytest.raises(MethodError):
        a.owners.lease("nobody's")


async def test_a_node_that_vanished_is_replaced(make: MakeNode) -> None:
    """Its accounts can be taken; those with something to do are, without anybody asking. It never gets them back."""
    a, b = await two(make)
    for id in ("A", "with duties"):
        await a.owners.take(id)
    stale = a.owners.lease("A")
    b.work.duties = {"with duties"}
    began = time.monotonic()
    a.crash()
    await until(lambda: b.owners.is_ours("with duties"))
    assert time.monotonic() - began > 1.0  # not before its time
    assert b.gone == [a.owners.node.id]
    assert await b.owners.owner("A") is None
    assert await b.owners.take("A") is None
    assert b.owners.lease("A").token > stale.token
    assert not a.owners.is_ours("A")
    assert await a.leases.renew([stale]) == {"A"}


async def test_a_node_that_has_ended_is_not_waited_for(make: MakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is silent and nothing listens where it did: its life need not be over. One that beats is never given up so."""
    for module in (membership, redis_leases):
        monkeypatch.setattr(module, "NODE_LIFETIME_S", 3600.0)
    a, b = await two(make)
    c = make("c")
    await c.start()
    await a.owners.take("A")
    b.work.duties = {"A"}
    b.down = {"http://a", "http://c"}
    a.crash()
    await until(lambda: b.owners.is_ours("A"))
    assert b.gone == [a.owners.node.id]
    assert {node.url for node in await c.leases.nodes()} == {"http://b", "http://c"}


async def test_a_node_that_was_late_begins_anew(make: MakeNode) -> None:
    """What it owned is closed at once, as lost; under another id it goes on."""
    a, b = await two(make)
    await a.owners.take("A")
    first = a.owners.node
    await a.leases.leave(first)  # as if it had been silent for too long
    await until(lambda: a.owners.node != first)
    await until(lambda: a.work.closed == [("A", True)])
    assert a.work.ended == ["A"]
    end = time.monotonic() + SOON_S
    while not a.owners.is_ours("A"):  # it joins under the new id first
        assert time.monotonic() < end
        assert await a.owners.take("A") is None
    assert await b.owners.owner("A") == a.owners.node


async def test_without_redis_a_node_owns_nothing(make: MakeNode, own_redis: RedisServer) -> None:
    """Before the others may think it gone; when Redis is back it goes on."""
    (a, _b) = await two(make)
    await a.owners.take("A")
    own_redis.freeze()
    began = time.monotonic()
    await until(lambda: not a.owners.is_ours("A"))
    assert time.monotonic() - began < 5.0
    await until(lambda: a.work.closed == [("A", True)])
    own_redis.thaw()

    async def again() -> None:
        while not a.owners.is_ours("A"):
            with contextlib.suppress(OSError):
                await a.owners.take("A")
            await asyncio.sleep(0.1)

    async with asyncio.timeout(SOON_S):
        await again()


async def test_what_is_given_up_finishes_first(make: MakeNode) -> None:
    """Nothing new is begun, what is under way is waited for, then it is closed, and only then another may take it."""
    a, b = await two(make)
    await a.owners.take("A")
    a.work.closing.clear()
    with a.owners.working("A"):
        giving = asyncio.create_task(a.owners.give_up("A", within_s=20))
        await asyncio.sleep(0.1)
        assert not a.owners.is_ours("A")
        assert a.work.ended == ["A"]
        assert await b.owners.take("A") == a.owners.node
    await asyncio.sleep(0.1)
    assert await b.owners.take("A") == a.owners.node
    assert a.work.closed == []
    a.work.closing.set()
    await giving
    assert await b.owners.take("A") is None
    assert a.work.closed == [("A", False)]
    assert b.owners.is_ours("A")


async def test_a_drain_hands_everything_over(make: MakeNode) -> None:
    """And takes nothing more: whoever asks is sent to another node."""
    a, b = await two(make)
    for n in range(40):
        await a.owners.take(f"A{n}")
    await until(lambda: len(a.owners._members.others) == 1)
    assert a.owners.another() is None
    await a.owners.drain(5)
    assert sorted(a.work.closed) == sorted((f"A{n}", False) for n in range(40))
    assert await a.owners.take("A1") is None
    assert not a.owners.is_ours("A1")
    assert a.owners.another() == b.owners.node
    assert await b.owners.take("A1") is None
    assert b.owners.is_ours("A1")


async def test_a_drain_leaves_each_its_share(make: MakeNode) -> None:
    """The others get what they need to have the same; they begin with it at once, whoever asks for it or not."""
    a, b = await two(make)
    c = make("c")
    await c.start()
    for n in range(20):
        await b.owners.take(f"B{n}")
    for n in range(30):
        await a.owners.take(f"A{n}")
    accounts = {f"B{n}" for n in range(20)} | {f"A{n}" for n in range(30)}
    await until(lambda: {one.accounts for one in a.owners._members.others} == {20, 0})
    await a.owners.drain(5)
    await until(lambda: all(b.owners.is_ours(id) is not c.owners.is_ours(id) for id in accounts))
    assert set(b.work.begun + c.work.begun) == accounts
    assert 21 <= sum(map(b.owners.is_ours, accounts)) <= 29


async def test_a_node_that_comes_gets_its_share(make: MakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few at a time, each closed here before it is another's; what is at work stays."""
    monkeypatch.setattr(ownership, "BALANCE_S", 0.1)
    a, b = make("a"), make("b")
    await a.start()
    for n in range(40):
        await a.owners.take(f"A{n}")
    a.work.busy = {"A1", "A2", "A3"}
    with a.owners.working("A0"):
        await b.start()
        await until(lambda: len(b.work.begun) >= 16)
    assert not {f"A{n}" for n in range(4)} & set(b.work.begun)
    assert all(a.owners.is_ours(f"A{n}") is not b.owners.is_ours(f"A{n}") for n in range(40))
    assert set(b.work.begun) == {id for id, is_lost in a.work.closed if not is_lost}
    assert set(a.work.ended) == set(b.work.begun)
    await asyncio.sleep(1.0)
    assert 16 <= len(b.work.begun) <= 24


async def test_what_is_given_to_a_node_that_stops(make: MakeNode) -> None:
    """It lets go of it at once: whoever is asked next takes it."""
    a, b = await two(make)
    await a.owners.take("A")
    listening = asyncio.Event()
    b.signals.subscribe("A", lambda _octets: listening.set())
    await listening.wait()
    await b.owners.drain(1)
    await a.owners.give_up("A", within_s=1, to=b.owners.node)

    async with asyncio.timeout(SOON_S):
        while not a.owners.is_ours("A"):
            await a.owners.take("A")
            await asyncio.sleep(0.05)
    assert b.work.begun == []


async def test_a_node_that_nobody_saw_is_missed(make: MakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came and went between two beats of the other, and leaves an account that has something to do."""
    monkeypatch.setattr(membership, "BEAT_S", 3600.0)
    monkeypatch.setattr(redis_leases, "NODE_LIFETIME_S", 3600.0)
    monkeypatch.setattr(membership, "NODE_LIFETIME_S", 3600.0)
    a, b = await two(make)
    listening = asyncio.Event()
    a.signals.subscribe("A", lambda _octets: listening.set())
    await listening.wait()
    await b.owners.take("with duties")
    a.work.duties = {"with duties"}
    await b.owners.drain(1.0)
    await b.owners.aclose()
    await until(lambda: a.owners.is_ours("with duties"))
    assert not a.gone


async def test_what_nobody_needs_is_given_up(make: MakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SWEEP_S", "UNUSED_S"):
        monkeypatch.setattr(ownership, name, 0.2)
    a, _b = await two(make)
    a.work.needed = {"A"}
    for id in ("A", "B"):
        await a.owners.take(id)
    await until(lambda: a.work.closed == [("B", False)])
    assert a.owners.is_ours("A")


async def test_a_lease_that_another_has_is_noticed(make: MakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what the old owner would write is refused before that."""
    monkeypatch.setattr(ownership, "RENEW_S", 0.3)
    a, b = await two(make)
    await a.owners.take("A")
    await a.leases.release(a.owners.lease("A"))
    taken = await b.leases.take("A", b.owners.node)
    assert isinstance(taken, Lease)
    with pytest.raises(LeaseLost):
        a.leases.held.token("A")
    await until(lambda: a.work.closed == [("A", True)])
