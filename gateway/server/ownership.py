"""Which accounts this node owns, when several nodes share a store: taken, kept, handed over, lost.

Rule 1: nothing is done for an account that this node does not own; it owns nothing when its life is over
        (`membership`).
Rule 2: an account that is given up is closed first and released then; one that is lost is closed at once.
Rule 3: a node that has more than its share gives some up to those that have less (`balance`), one that stops all.
Rule 4: accounts that have something to do without a client are owned by some node at all times: whoever sees one
        without an owner takes it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.jmap.errors import MethodError
from gateway.metrics import Metrics
from gateway.server.balance import Balance, spread
from gateway.server.membership import Membership
from gateway.store.api import RENEW_S, Lease, LeaseStore, Node, Signals, StoreError

CHORE_AGAIN_S = 1.0  # after a fault of our own
KNOWN_S = 1.0  # how long an owner is believed without asking; a wrong one answers 421
MAX_KNOWN = 50_000
SWEEP_S = 20.0  # between two looks at what is owned and not needed
UNUSED_S = 60.0  # then it is given up
DUTIES_S = 60.0  # between two looks for accounts without an owner; and at once when a node has gone
BALANCE_S = 1.0  # between two looks whether another node lacks accounts
LEFT, GIVEN = "left", "given"  # as a signal's account: no account is called so
AT_ONCE = 32  # accounts that are taken or handed over side by side

log = logging.getLogger(__name__)


class Work(Protocol):
    """What is done for accounts on this node."""

    async def begin(self, account_id: str) -> None:
        """Go on with what the account does without a client: push subscriptions, mail that waits."""

    def end_streams(self, account_id: str) -> None:
        """Have its clients connect again."""

    async def close(self, account_id: str, *, is_lost: bool) -> None:
        """Stop everything, and close it; at once where another node may do the same work already."""

    def is_needed(self, account_id: str) -> bool:
        """Tell whether it is open, or has something to do without a client."""

    def is_busy(self, account_id: str) -> bool:
        """Tell whether it does what had better be finished here."""

    async def with_duties(self) -> Collection[str]:
        """Return all accounts, anywhere, that have something to do without a client."""


@dataclass(slots=True)
class _Owned:
    lease: Lease
    since: float
    is_leaving: bool = False
    under_way: int = 0
    is_idle: asyncio.Event = field(default_factory=asyncio.Event)


class Ownership:
    """The `web.owners.Owners` of a node of several. `start()` before the first request, then `drain()`, `aclose()`.

    `gone` is called with the id of a node that was given up; `is_down` tells whether it is certain that nothing listens
    at a URL. `moves_per_s` is how many accounts another node is given in a second.
    """

    def __init__(
        self,
        store: LeaseStore,
        signals: Signals,
        url: str,
        work: Work,
        metrics: Metrics,
        *,
        gone: Callable[[str], None],
        is_down: Callable[[str], Awaitable[bool]],
        moves_per_s: int,
    ) -> None:
        self._store, self._signals, self._work = store, signals, work
        self._metrics, self._gone, self._balance = metrics, gone, Balance(moves_per_s)
        self._members = Membership(
            store,
            url,
            accounts=lambda: None if self._is_draining else len(self._owned),
            gone=self._lost_node,
            over=self._lose_all,
            anew=lambda: self._look.set(),
            is_down=is_down,
        )
        self._owned: dict[str, _Owned] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, tuple[Node, float]] = {}
        self._is_draining = False
        self._look = asyncio.Event()
        self._end_hearing: Sequence[Callable[[], None]] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        self._chores: list[asyncio.Task[None]] = []
        metrics.gauge("accounts_owned", "Accounts that this node owns", lambda: len(self._owned))
        metrics.gauge("nodes", "Nodes that this one sees, itself among them", lambda: len(self._members.others) + 1)

    async def start(self) -> None:
        """Join the others. Raise `StoreError`."""
        await self._members.join()
        self._end_hearing = (
            self._signals.subscribe(LEFT, lambda _id: self._look.set()),
            self._signals.subscribe(GIVEN, self._hear_given),
        )
        chores = (self._members.beat, self._renew, self._sweep, self._level, self._find_duties)
        self._chores = [asyncio.create_task(self._keep_at(chore)) for chore in chores]

    async def drain(self, seconds: float) -> None:
        """Take nothing more; hand over what is owned, each account when its requests are done.

        They go one after another: who gets many at once keeps all their clients waiting.
        """
        self._is_draining = True
        with suppress(StoreError):  # then each account goes to whom it is asked of
            await self._members.tell()
        going = spread(len(self._owned), self._members.others)
        pause_s = self._balance.pause_s(going, seconds)
        limit, tasks = asyncio.Semaphore(AT_ONCE), []

        async def hand_over(account_id: str, to: Node | None) -> None:
            async with limit:
                await self.give_up(account_id, within_s=seconds, to=to)

        for account_id, to in itertools.zip_longest(list(self._owned), going):
            tasks.append(asyncio.create_task(hand_over(account_id, to)))
            await asyncio.sleep(pause_s)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def aclose(self) -> None:
        """Leave the others."""
        for end in self._end_hearing:
            end()
        for task in (*self._chores, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._chores, *self._tasks, return_exceptions=True)
        await asyncio.gather(*self._closing.values(), return_exceptions=True)
        try:
            await self._members.leave()
            await self._signals.publish(LEFT, self.node.id.encode())  # some may never have seen that it was there
        except StoreError as error:
            log.warning("left without saying so", extra={"reason": str(error)})

    # ------------------------------------------------------------ what the endpoints ask

    @property
    def node(self) -> Node:
        return self._members.node

    def is_ours(self, account_id: str) -> bool:
        owned = self._owned.get(account_id)
        return owned is not None and not owned.is_leaving and self._members.is_alive

    async def owner(self, account_id: str) -> Node | None:
        known = self._known.get(account_id)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        node = await self._store.owner(account_id)
        return self._know(account_id, node) if node is not None and node != self.node else None

    async def take(self, account_id: str) -> Node | None:
        while (closing := self._closing.get(account_id)) is not None:
            await asyncio.wait([closing])
        if self._is_draining or not self._members.is_alive:
            return None
        node = self.node
        taken = await self._store.take(account_id, node)
        if isinstance(taken, Node):
            return self._know(account_id, taken)
        if node != self.node or account_id in self._closing or not self._members.is_alive:
            return None  # it is void already; whoever asks looks again
        if account_id not in self._owned:
            self._known.pop(account_id, None)
            self._owned[account_id] = _Owned(taken, time.monotonic())
            self._run(self._work.begin(account_id))
        return None

    def forget(self, account_id: str) -> None:
        self._known.pop(account_id, None)

    def another(self) -> Node | None:
        others = self._members.others
        return random.choice(others) if self._is_draining and others else None

    @contextmanager
    def working(self, account_id: str) -> Iterator[None]:
        owned = self._owned[account_id]
        owned.under_way += 1
        owned.is_idle.clear()
        try:
            yield
        finally:
            owned.under_way -= 1
            if not owned.under_way:
                owned.is_idle.set()

    # ------------------------------------------------------------ giving up and losing

    async def give_up(self, account_id: str, *, within_s: float, to: Node | None = None) -> None:
        """Give an account to another node, or whoever wants it: no new requests, finish those under way, close."""
        owned = self._owned.get(account_id)
        if owned is None or owned.is_leaving:
            return
        owned.is_leaving = True
        self._work.end_streams(account_id)
        if owned.under_way:
            try:
                async with asyncio.timeout(within_s):
                    await owned.is_idle.wait()
            except TimeoutError:
                log.warning("requests are cut off", extra={"account": account_id, "count": owned.under_way})
        if self._owned.get(account_id) is owned:  # else it was lost meanwhile
            await asyncio.shield(self._close(account_id, owned, to))  # what is begun is finished, whoever waits

    def lease(self, account_id: str) -> Lease:
        """Return by what an account is owned. Raise `MethodError`."""
        owned = self._owned.get(account_id)
        if owned is None:
            raise MethodError("serverUnavailable", "another node serves the account")
        return owned.lease

    def lose(self, account_id: str) -> None:
        """Close at once an account that another node may own, or that cannot go on as it is."""
        if account_id in self._owned:
            self._metrics.leases_lost.inc()
            log.warning("an account is not ours any more", extra={"account": account_id})
            self._close(account_id, None, None)

    def _lose_all(self, reason: str) -> None:
        if self._owned:
            log.warning("the accounts are given up", extra={"reason": reason})
        for account_id in list(self._owned):
            self.lose(account_id)

    def _lost_node(self, id: str) -> None:
        self._balance.node_gone()
        self._known = {account_id: known for account_id, known in self._known.items() if known[0].id != id}
        self._gone(id)
        self._look.set()

    def _close(self, account_id: str, owned: _Owned | None, to: Node | None) -> asyncio.Task[None]:
        """Close an account and, if `owned` is given, hand it over or release it."""
        del self._owned[account_id]
        task = self._closing[account_id] = asyncio.create_task(self._closed(account_id, owned, to))
        task.add_done_callback(lambda _done: self._closing.pop(account_id, None))
        return task

    async def _closed(self, account_id: str, owned: _Owned | None, to: Node | None) -> None:
        try:
            self._work.end_streams(account_id)
            await self._work.close(account_id, is_lost=owned is None)
        except Exception:
            log.exception("an account was not closed as it should be", extra={"account": account_id})
        if owned is None:
            return
        try:
            if to is None:
                await self._store.release(owned.lease)
            else:
                await self._store.hand_over(owned.lease, to)
                await self._signals.publish(GIVEN, f"{to.id} {account_id}".encode())
        except StoreError as error:  # it is free once this node has gone
            log.warning("an account was not handed over", extra={"account": account_id, "reason": str(error)})

    # ------------------------------------------------------------ being given

    def _hear_given(self, octets: bytes | None) -> None:
        if octets is None:
            self._look.set()  # something may have been missed
            return
        node_id, _, account_id = octets.decode().partition(" ")
        self._known.pop(account_id, None)
        if node_id == self.node.id:
            self._run(self._accept(account_id))

    async def _accept(self, account_id: str) -> None:
        if not self._is_draining:
            await self.take(account_id)
        elif isinstance(lease := await self._store.take(account_id, self.node), Lease):
            await self._store.release(lease)

    # ------------------------------------------------------------ chores

    async def _keep_at(self, chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await chore()
            except Exception:
                log.exception("a chore failed; it begins again")
                await asyncio.sleep(CHORE_AGAIN_S)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S * random.uniform(0.7, 1.0))
            try:
                lost = await self._store.renew([owned.lease for owned in self._owned.values()])
            except StoreError as error:
                log.warning("leases are not renewed", extra={"reason": str(error)})
                continue
            for account_id in lost:
                self.lose(account_id)

    async def _sweep(self) -> None:
        """Give up what is not needed here."""
        while True:
            await asyncio.sleep(SWEEP_S)
            old = time.monotonic() - UNUSED_S
            for account_id, owned in list(self._owned.items()):
                if owned.since < old and not owned.under_way and not self._work.is_needed(account_id):
                    await self.give_up(account_id, within_s=0)

    async def _level(self) -> None:
        """Give up, a few at a time, what this node has above its share."""
        while True:
            await asyncio.sleep(BALANCE_S)
            if self._is_draining or not self._members.is_alive:
                continue
            going = self._balance.going(len(self._owned), self._members.others)
            idle = [id for id, owned in self._owned.items() if not (owned.under_way or owned.is_leaving)]
            random.shuffle(idle)
            moving = [id for id in idle[: 2 * len(going)] if not self._work.is_busy(id)]
            pairs = list(zip(moving, going, strict=False))
            self._balance.sent([node for _id, node in pairs])
            self._metrics.accounts_moved.inc(len(pairs))
            await asyncio.gather(*(self.give_up(id, within_s=0, to=node) for id, node in pairs))

    async def _find_duties(self) -> None:
        """Take the accounts that have something to do and no owner."""
        while True:
            self._look.clear()
            try:
                wanted = [id for id in await self._work.with_duties() if id not in self._owned]
                random.shuffle(wanted)  # the others do the same: each gets its part
                for at in range(0, len(wanted), AT_ONCE):
                    await asyncio.gather(*map(self.take, wanted[at : at + AT_ONCE]))
            except StoreError as error:
                log.warning("accounts without an owner are not looked for", extra={"reason": str(error)})
            try:
                async with asyncio.timeout(DUTIES_S * random.uniform(0.8, 1.2)):
                    await self._look.wait()
            except TimeoutError:
                continue

    # ------------------------------------------------------------

    def _know(self, account_id: str, node: Node) -> Node:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[account_id] = (node, time.monotonic() + KNOWN_S)
        return node

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an account's duties were not begun", exc_info=error)
