"""Random batches, takeovers and faults of Redis: a copy equals its original, and no client is ever told a wrong delta.

A client remembers each state that it was told with what it saw then. Whatever happened since, /changes from that state
either leads to what is there now, or is cannotCalculateChanges.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.account.account import Account
from gateway.account.records import Batch
from gateway.jmap.errors import MethodError
from gateway.store import keys
from gateway.store.api import StoreError
from tests.account.test_mirroring import ID, Nodes, arriving, flagging, vanishing
from tests.account.test_replay import contents
from tests.upstreams.redis import Cluster, RedisServer

STEPS = 50
NAMES = ("a", "b", "c")  # of nodes, each with a file of its own that grows old while another owns the account
FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Deleted", "$label")
MAX_UID = 400
View = dict[str, tuple[Any, Any]]


class Client:
    """Remembers what it was told."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._told: dict[str, View] = {}
        self.calculated = 0

    def look(self, account: Account) -> None:
        with account.snapshot() as snapshot:
            state = snapshot.state("Email")
            marks = snapshot.email_marks([f"M{uid}" for uid in range(1, MAX_UID)])
            now: View = {id: (one.keywords, one.mailbox_ids) for id, one in marks.items()}
            assert self._told.setdefault(state, now) == now, "one state, two views"
            for since in self._dice.sample(list(self._told), min(6, len(self._told))):
                try:
                    told = snapshot.changes("Email", since)
                except MethodError as error:
                    if error.kind != "cannotCalculateChanges":
                        raise
                    continue
                then = self._told[since]
                assert set(told.created) == now.keys() - then.keys()
                assert set(told.destroyed) == then.keys() - now.keys()
                assert {id for id in then.keys() & now.keys() if then[id] != now[id]} <= set(told.updated)
                self.calculated += 1


class Walk:
    def __init__(self, nodes: Nodes, servers: list[RedisServer], seed: int) -> None:
        self.nodes, self.servers, self.dice = nodes, servers, random.Random(seed)
        self.client = Client(self.dice)
        self.is_whole = True  # the mirror has all that a new owner needs
        self.uid = 0

    async def run(self) -> None:
        self.name, self.account = "a", await self.nodes.open("a")
        await self.account.apply(self._arriving())
        for _ in range(STEPS):
            step = self.dice.choices(
                [self.work, self.take_over, self.break_connections, self.freeze, self.refuse_writes, self.lose],
                [60, 15, 8, 3, 6, 8],
            )[0]
            await step()
            self.client.look(self.account)
        await self.mend()
        await self.take_over()
        self.client.look(self.account)

    # ------------------------------------------------------------ what happens

    async def work(self) -> None:
        try:
            await self.account.apply(self._batch())
        except MethodError as error:
            if error.kind != "serverUnavailable":
                raise
            await self._open_again_if_lost()

    async def take_over(self) -> None:
        """By a node that may have an old file, or none; the old owner has vanished, or does not know yet."""
        before, old, knows = contents(self.account._index), self.account, self.dice.random() < 0.5
        if knows:
            await self.nodes.vanish(old)
        self.name = self.dice.choice([name for name in NAMES if name != self.name])
        self.account = await self._open()
        if self.is_whole:
            assert contents(self.account._index) == before
        if not knows:
            with pytest.raises(MethodError, match="serverUnavailable"):
                await old.apply(self._arriving())
            await self.nodes.vanish(old)
        await self.mend()

    async def break_connections(self) -> None:
        for server in self.servers:
            server.cli("CLIENT", "KILL", "TYPE", "normal")
        await self.work()

    async def freeze(self) -> None:
        """A batch is sent, and what becomes of it is not heard."""
        for server in self.servers:
            server.freeze()
        with suppress(MethodError):
            await self.account.apply(self._batch())
        for server in self.servers:
            server.thaw()
        await self._settle()

    async def refuse_writes(self) -> None:
        for server in self.servers:
            server.cli("CONFIG", "SET", "maxmemory", "1")
        before = contents(self.account._index)
        with pytest.raises(MethodError, match="serverUnavailable"):
            await self.account.apply(self._arriving())
        assert contents(self.account._index) == before
        for server in self.servers:
            server.cli("CONFIG", "SET", "maxmemory", "0")
        await self._settle()

    async def lose(self) -> None:
        """Some or all of what is derived is evicted, or flushed."""
        self.is_whole = False
        gone = self.dice.choice([[keys.mirror_head], [keys.mirror_log], [keys.mirror_snapshot], None])
        for server in self.servers:
            if gone is None:
                server.cli("FLUSHALL")
            else:
                server.cli("-c", "DEL", *(key(ID) for key in gone))
        if self.dice.random() < 0.7:
            await self.mend()

    async def mend(self) -> None:
        """Go on until the mirror is whole."""
        await self._settle()
        if not self.is_whole:
            for server in self.servers:  # what is not missed yet is missed now: the owner begins the mirror anew
                server.cli("-c", "DEL", keys.mirror_head(ID))
            await self._settle()
        async with asyncio.timeout(10):
            while not await self._can_be_loaded():  # noqa: ASYNC110  # Redis has no event to wait for
                await asyncio.sleep(0.02)
        self.is_whole = True

    # ------------------------------------------------------------

    async def _settle(self) -> None:
        """Have a batch applied, by this node or by its next life."""
        async with asyncio.timeout(10):
            while True:
                with suppress(MethodError):
                    await self.account.apply(self._batch())
                    return
                await self._open_again_if_lost()
                await asyncio.sleep(0.02)

    async def _open_again_if_lost(self) -> None:
        if self.nodes.lost:
            self.nodes.lost.clear()
            await self.nodes.vanish(self.account)
            self.account = await self._open()

    async def _open(self) -> Account:
        async with asyncio.timeout(10):
            while True:
                with suppress(MethodError, StoreError):  # the connection has been away: it is left alone for a moment
                    return await self.nodes.open(self.name)
                await asyncio.sleep(0.05)

    async def _can_be_loaded(self) -> bool:
        mirroring = self.account._mirroring
        assert mirroring is not None
        return await self.nodes.mirror.load(mirroring.lease, None) is not None

    def _batch(self) -> Batch:
        with self.account.snapshot() as snapshot:
            there = [int(id[1:]) for id in snapshot.email_marks([f"M{uid}" for uid in range(1, MAX_UID)])]
        if not there or self.dice.random() < 0.4:
            return self._arriving()
        uid = self.dice.choice(there)
        if self.dice.random() < 0.3:
            return vanishing(uid)
        return flagging(uid, *self.dice.sample(FLAGS, self.dice.randrange(4)))

    def _arriving(self) -> Batch:
        first, self.uid = self.uid + 1, self.uid + self.dice.randrange(1, 4)
        return arriving(*range(first, self.uid + 1))


@pytest.fixture(params=["own_redis", "redis_cluster"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Nodes, list[RedisServer]]]:
    monkeypatch.setattr("gateway.store.redis_link.CALL_TIMEOUT_S", 0.4)
    monkeypatch.setattr("gateway.account.mirroring.MIN_LOG_OCTETS", 2_000)  # snapshots come and go meanwhile
    monkeypatch.setattr("gateway.account.mirroring.SNAPSHOT_SPACING_S", 0.0)
    monkeypatch.setattr("gateway.account.mirroring.SNAPSHOT_AGAIN_S", 0.02)
    server: RedisServer | Cluster = request.getfixturevalue(request.param)
    server.cli("FLUSHALL")
    servers = server.servers if isinstance(server, Cluster) else [server]
    made = Nodes(servers[0], tmp_path, server.url)
    yield made, servers
    for one in servers:
        one.thaw()
        one.cli("CONFIG", "SET", "maxmemory", "0")
    await made.close()


@pytest.mark.parametrize("seed", range(2))
async def test_walk(world: tuple[Nodes, list[RedisServer]], seed: int) -> None:
    """Every row of a copy is that of its original; every delta is right or refused."""
    walk = Walk(*world, seed)
    await walk.run()
    assert walk.client.calculated > STEPS
