"""An account and its mirror on a real Redis: takeovers, and everything that Redis may do to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.account.account import Account
from gateway.account.records import Applied, Batch, Changes, FlagChange, MailboxDelta, MailboxFacts, Mark, NewMessage
from gateway.config.redis_url import check_redis_url
from gateway.jmap.errors import MethodError
from gateway.store import keys
from gateway.store.api import Lease, Node
from gateway.store.redis_leases import RedisLeases
from gateway.store.redis_link import RedisLink
from gateway.store.redis_mirror import RedisMirror
from tests.fakes.backend import make_account
from tests.upstreams.redis import RedisServer

ID = "A1"
TREE = [
    MailboxFacts("Binbox", "INBOX", "INBOX", None, "inbox"),
    MailboxFacts("Btrash", "Trash", "Trash", None, "trash"),
]
UNAVAILABLE = pytest.raises(MethodError, match="serverUnavailable")


def message(uid: int, *, flags: tuple[str, ...] = ("\\Seen",)) -> NewMessage:
    header = f"Message-ID: <{uid}@x>\r\nFrom: Ann <ann{uid}@example.org>\r\nSubject: plan {uid}\r\n\r\n"
    return NewMessage(uid, flags, 1, 1000 + uid, 100 * uid, f"M{uid}", None, header.encode())


def arriving(*uids: int, is_bulk: bool = False) -> Batch:
    mark = None if is_bulk else Mark(1, is_indexed=True)
    return Batch(
        None if is_bulk else TREE,
        [MailboxDelta("Binbox", arrived=[message(uid) for uid in uids], mark=mark)],
        is_bulk=is_bulk,
    )


def flagging(uid: int, *flags: str) -> Batch:
    return Batch(deltas=[MailboxDelta("Binbox", flagged=[FlagChange(uid, flags, 2)])])


def vanishing(uid: int) -> Batch:
    return Batch(deltas=[MailboxDelta("Binbox", vanished=[(uid, uid)])])


def states(account: Account) -> dict[str, str]:
    with account.snapshot() as snapshot:
        return {type: snapshot.state(type) for type in snapshot.journal.seqs}


def emails(account: Account) -> set[str]:
    with account.snapshot() as snapshot:
        return set(snapshot.emails([f"M{uid}" for uid in range(1, 400)]))


def changes(account: Account, since: str) -> Changes:
    with account.snapshot() as snapshot:
        return snapshot.changes("Email", since)


class Nodes:
    """Several nodes on one Redis, each with a directory of its own."""

    def __init__(self, server: RedisServer, directory: Path, url: str | None = None) -> None:
        """`url`: of a Redis Cluster that the server is one of."""
        self.server, self.directory = server, directory
        self.link = RedisLink(check_redis_url(url or server.url))
        self.mirror = RedisMirror(self.link)
        self.lost: list[str] = []
        self._open: list[Account] = []

    async def open(self, name: str) -> Account:
        """Open the account at a node, whoever had it before: that one is given up as if it had vanished."""
        leases = RedisLeases(self.link)
        for node in await leases.nodes():
            await leases.leave(node)
        node = Node(f"{name}-{len(self._open)}", f"http://{name}")
        await leases.join(node)
        lease = await leases.take(ID, node)
        assert isinstance(lease, Lease)
        path = self.directory / name / "a.db"
        path.parent.mkdir(exist_ok=True)
        account = make_account(path, id=ID, mirror=self.mirror, lease=lease, lost=lambda: self.lost.append(node.id))
        await account.open()
        self._open.append(account)
        return account

    async def vanish(self, account: Account) -> None:
        """Close an account's files as the end of a process does: no goodbye to Redis."""
        await account.aclose()
        self._open.remove(account)

    async def close(self) -> None:
        for account in self._open:
            await account.aclose()
        await self.link.close()


@pytest.fixture
async def nodes(shared_redis: RedisServer, tmp_path: Path) -> AsyncIterator[Nodes]:
    shared_redis.cli("FLUSHALL")
    made = Nodes(shared_redis, tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def own_nodes(own_redis: RedisServer, tmp_path: Path) -> AsyncIterator[Nodes]:
    made = Nodes(own_redis, tmp_path)
    yield made
    own_redis.thaw()
    await made.close()


async def eventually(check: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110  # Redis and threads have no event to wait for
            await asyncio.sleep(0.02)


async def test_a_new_owner_goes_on(nodes: Nodes) -> None:
    """Ids, states and tombstones are the same on a node that never saw the account, and /changes is exact across."""
    first = await nodes.open("a")
    await first.apply(arriving(1, 2, 3))
    since = states(first)["Email"]
    await first.apply(flagging(2, "\\Seen", "\\Flagged"))
    await first.apply(vanishing(3))
    before = states(first)
    second = await nodes.open("b")
    assert states(second) == before
    assert emails(second) == {"M1", "M2"}
    await second.apply(arriving(4))
    told = changes(second, since)
    assert (told.created, told.updated, told.destroyed) == (["M4"], ["M2"], ["M3"])
    assert not changes(second, states(second)["Email"]).created


async def test_the_old_owner_writes_nothing_more(nodes: Nodes) -> None:
    """After a takeover its next batch is refused, leaves nothing behind, and the account is given up there."""
    first = await nodes.open("a")
    await first.apply(arriving(1))
    second = await nodes.open("b")
    before = states(first)
    with UNAVAILABLE:
        await first.apply(arriving(2))
    assert states(first) == before
    assert emails(first) == {"M1"}
    assert nodes.lost == ["a-0"]
    with UNAVAILABLE:
        await first.apply(arriving(3))
    with UNAVAILABLE:
        await first.ready()
    assert emails(second) == {"M1"}


async def test_a_node_that_comes_back_catches_up(nodes: Nodes) -> None:
    """Its file is behind: only what it lacks is replayed, and its states are those of now."""
    first = await nodes.open("a")
    await first.apply(arriving(1))
    await nodes.vanish(first)
    second = await nodes.open("b")
    await second.apply(arriving(2))
    before = states(second)
    nodes.server.cli("DEL", keys.mirror_snapshot(ID))
    again = await nodes.open("a")
    assert states(again) == before
    assert emails(again) == {"M1", "M2"}


async def test_a_file_of_another_history_is_dropped(nodes: Nodes) -> None:
    """A node that committed what Redis never took has the right number of steps, and yet another history."""
    first = await nodes.open("a")
    await first.apply(arriving(1))
    token = first._index._token
    await nodes.vanish(first)
    stray = make_account(nodes.directory / "a" / "a.db", id=ID)
    stray._index._token = token
    await stray.open()
    stray._index.stage(arriving(9))
    stray._index.commit()
    await stray.aclose()
    second = await nodes.open("b")
    await second.apply(arriving(2))
    before = states(second)
    again = await nodes.open("a")
    assert emails(again) == {"M1", "M2"}
    assert states(again) == before


async def test_a_snapshot_replaces_a_long_log(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log stays bounded, and a new owner loads the snapshot and what came after."""
    monkeypatch.setattr("gateway.account.mirroring.MIN_LOG_OCTETS", 1_000)
    monkeypatch.setattr("gateway.account.mirroring.SNAPSHOT_SPACING_S", 0.0)
    first = await nodes.open("a")
    for uid in range(1, 61):
        await first.apply(arriving(uid))
        if uid % 10 == 0:
            await asyncio.sleep(0.05)
    await eventually(lambda: int(nodes.server.cli("LLEN", keys.mirror_snapshot(ID))) > 0)
    await first.apply(vanishing(5))
    assert int(nodes.server.cli("XLEN", keys.mirror_log(ID))) < 61
    before = states(first)
    second = await nodes.open("b")
    assert states(second) == before
    assert emails(second) == emails(first)


async def test_windows_of_a_first_indexing_are_mirrored_one_by_one(nodes: Nodes) -> None:
    """An indexing that ends with its node goes on at the next: what was acknowledged is there."""
    first = await nodes.open("a")
    await first.apply(Batch(TREE))
    for start in (1, 21, 41):
        await first.apply(arriving(*range(start, start + 20), is_bulk=True))
    assert emails(first) == set()  # nobody has seen them yet
    second = await nodes.open("b")
    assert len(emails(second)) == 60
    await second.apply(Batch(deltas=[MailboxDelta("Binbox", mark=Mark(1, is_indexed=True))]))
    with second.snapshot() as snapshot:
        assert {row.facts.id: row.total_emails for row in snapshot.mailboxes()}["Binbox"] == 60


async def test_all_lost_is_a_new_epoch(nodes: Nodes) -> None:
    """After FLUSHALL the owner is given up; reopened, what it knows is there under a new epoch, and mirrored anew."""
    first = await nodes.open("a")
    await first.apply(arriving(1, 2))
    old = states(first)["Email"]
    nodes.server.cli("FLUSHALL")
    with UNAVAILABLE:
        await first.apply(arriving(3))
    assert len(nodes.lost) == 1
    await nodes.vanish(first)
    again = await nodes.open("a")
    assert emails(again) == {"M1", "M2"}
    with pytest.raises(MethodError, match="cannotCalculateChanges"):
        changes(again, old)
    await again.apply(arriving(3))
    await eventually(lambda: int(nodes.server.cli("LLEN", keys.mirror_snapshot(ID))) > 0)
    before = states(again)
    second = await nodes.open("b")
    assert states(second) == before
    assert emails(second) == {"M1", "M2", "M3"}


@pytest.mark.parametrize("key", [keys.mirror_head, keys.mirror_log])
async def test_an_evicted_key_is_noticed(nodes: Nodes, key: Callable[[str], str]) -> None:
    """Whatever is missing, nobody goes on under the old epoch from an incomplete mirror."""
    first = await nodes.open("a")
    await first.apply(arriving(1))
    old = states(first)["Email"]
    nodes.server.cli("DEL", key(ID))
    second = await nodes.open("b")
    with pytest.raises(MethodError, match="cannotCalculateChanges"):
        changes(second, old)


@pytest.mark.parametrize("is_asked_first", [False, True], ids=["by a batch", "asked first"])
async def test_the_owner_mends_a_mirror_that_was_lost(
    nodes: Nodes, is_asked_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it holds the lease: the batch that finds out fails, and the next goes on under a new epoch, told to all."""
    first = await nodes.open("a")
    await first.apply(arriving(1))
    heard: list[Applied] = []
    first.subscribe(heard.append)
    old = states(first)["Email"]
    nodes.server.cli("DEL", keys.mirror_head(ID))
    monkeypatch.setattr("gateway.account.mirroring.READY_S", 0.0)
    if is_asked_first:
        await first.ready()
    else:
        with UNAVAILABLE:
            await first.apply(arriving(2))
    await first.apply(arriving(2))
    assert set(heard[0].states) >= {"Email", "Thread", "Mailbox"}
    with pytest.raises(MethodError, match="cannotCalculateChanges"):
        changes(first, old)
    before = states(first)
    await eventually(lambda: int(nodes.server.cli("LLEN", keys.mirror_snapshot(ID))) > 0)
    second = await nodes.open("b")
    assert (states(second), emails(second)) == (before, {"M1", "M2"})
    assert nodes.lost == []


async def test_redis_restarts_under_the_owner(own_nodes: Nodes) -> None:
    """With appendonly nothing is lost: the owner goes on under the same epoch, as soon as Redis answers."""
    first = await own_nodes.open("a")
    await first.apply(arriving(1))
    old = states(first)["Email"]
    await asyncio.to_thread(own_nodes.server.kill)
    with UNAVAILABLE:
        await first.apply(arriving(2))
    await asyncio.to_thread(own_nodes.server.start)
    await retried(first, arriving(2))
    assert changes(first, old).created == ["M2"]
    assert own_nodes.lost == []


async def test_redis_restarts_and_forgets(own_nodes: Nodes) -> None:
    """Without appendonly all is gone: the account is given up, and its next life has a new epoch."""
    own_nodes.server.kill()
    own_nodes.server.start("--appendonly", "no")
    first = await own_nodes.open("a")
    await first.apply(arriving(1))
    old = states(first)["Email"]
    await asyncio.to_thread(own_nodes.server.kill)
    await asyncio.to_thread(own_nodes.server.start, "--appendonly", "no")
    with UNAVAILABLE:
        await retried(first, arriving(2))
    assert len(own_nodes.lost) == 1
    await own_nodes.vanish(first)
    again = await own_nodes.open("a")
    assert emails(again) == {"M1"}
    with pytest.raises(MethodError, match="cannotCalculateChanges"):
        changes(again, old)


async def test_a_redis_that_does_not_answer(own_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen server costs a batch its time-out, no more; what became of that batch is found out before the next."""
    monkeypatch.setattr("gateway.store.redis_link.CALL_TIMEOUT_S", 0.5)
    first = await own_nodes.open("a")
    await first.apply(arriving(1))
    old = states(first)["Email"]
    own_nodes.server.freeze()
    async with asyncio.timeout(2):
        with UNAVAILABLE:
            await first.apply(arriving(2))
    assert emails(first) == {"M1"}
    own_nodes.server.thaw()
    await retried(first, flagging(1, "\\Flagged"))
    assert emails(first) == {"M1", "M2"}  # Redis had taken the batch after all
    told = changes(first, old)
    assert (told.created, told.updated) == (["M2"], ["M1"])
    before = states(first)
    second = await own_nodes.open("b")
    assert states(second) == before


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    ],
    ids=["read-only", "full", "without replicas"],
)
async def test_a_redis_that_takes_no_writes(
    own_nodes: Nodes, break_it: tuple[str, ...], mend_it: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are refused and change nothing; once it takes writes again, all goes on where it was."""
    first = await own_nodes.open("a")
    await first.apply(arriving(1))
    old = states(first)["Email"]
    own_nodes.server.cli(*break_it)
    monkeypatch.setattr("gateway.account.mirroring.READY_S", 0.0)
    with UNAVAILABLE:
        await first.ready()
    for _ in range(2):
        with UNAVAILABLE:
            await first.apply(arriving(2))
    with UNAVAILABLE:
        await first.ready()
    assert states(first)["Email"] == old
    own_nodes.server.cli(*mend_it)
    await first.ready()
    await retried(first, arriving(2))
    assert changes(first, old).created == ["M2"]
    assert own_nodes.lost == []


async def retried(account: Account, batch: Batch) -> None:
    """Apply a batch as soon as it can be."""
    for _ in range(50):
        with suppress(MethodError):
            await account.apply(batch)
            return
        await asyncio.sleep(0.1)
    await account.apply(batch)
