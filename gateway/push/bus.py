"""Who has to hear that an account has changed (RFC 8620 section 7.1), and the demand for watching it.

Rule 1: a listener holds the newest state of each type and nothing else: a slow one misses states in between, and its
        memory has a bound.
Rule 2: a listener is never told a state twice in a row, nor one that was there before it came.
Rule 3: an account is watched upstream while anybody listens to it.
Rule 4: everything runs on the event loop: between a state and its position (`push.position`) there is no gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType

from gateway.account.account import Account
from gateway.account.records import Applied
from gateway.push.position import digest, digests, position

Changed = dict[str, dict[str, str]]  # account id -> type -> state: the `changed` of a StateChange

# Between two tellings of one listener: a first indexing makes a batch every few milliseconds. The first goes at once.
SPACING_S = 0.05


class Ended(Exception):
    """The listener was ended: nothing more will come."""


class Bus:
    """One for the gateway. It hears of an account's index and records by itself; `publish` tells of anything else."""

    def __init__(self) -> None:
        self._feeds: dict[str, _Feed] = {}

    def listen(
        self, accounts: Mapping[str, Account], types: frozenset[str] | None = None, *, since: str = ""
    ) -> Listener:
        """Return a listener, to be entered with `async with`.

        `types` None: all. `since` is a position that the client has: what has changed after it is told first.
        """
        return Listener(self, accounts, types, since)

    def publish(self, account_id: str, states: Mapping[str, str]) -> None:
        """Tell the new states of an account's types."""
        feed = self._feeds.get(account_id)
        if feed is not None:
            feed.tell(states)

    def is_listened(self, account_id: str) -> bool:
        """Tell whether anybody listens to this account: it must stay open then."""
        return account_id in self._feeds

    def regroup(self, account_id: str, accounts: Mapping[str, Account]) -> None:
        """Let whoever listens to this account hear of these from now on, and of no others."""
        feed = self._feeds.get(account_id)
        for listener in list(feed.listeners) if feed is not None else ():
            listener._regroup(accounts)

    def end(self, account_id: str) -> None:
        """End every listener that hears of this account."""
        feed = self._feeds.get(account_id)
        for listener in list(feed.listeners) if feed is not None else ():
            listener.end()

    def listeners(self) -> int:
        """Return how many listeners there are, each counted once for each of its accounts."""
        return sum(len(feed.listeners) for feed in self._feeds.values())

    def _enter(self, account: Account, listener: Listener) -> _Feed:
        feed = self._feeds.get(account.id)
        if feed is None or feed.account is not account:
            told = feed.listeners if feed is not None else set[Listener]()
            if feed is not None:
                feed.stop()
            feed = self._feeds[account.id] = _Feed(account, told)
            for other in told:
                other._feeds[account.id] = feed
        feed.listeners.add(listener)
        return feed

    def _leave(self, feed: _Feed, listener: Listener) -> None:
        feed.listeners.discard(listener)
        if not feed.listeners and self._feeds.get(feed.account.id) is feed:
            del self._feeds[feed.account.id]
            feed.stop()


class _Feed:
    """One account that somebody listens to, and its states as they are."""

    __slots__ = ("_stops", "account", "digests", "listeners", "states")

    def __init__(self, account: Account, listeners: set[Listener]) -> None:
        self.account, self.listeners = account, listeners
        self._stops = (account.subscribe(self._applied), account.backend.watch())
        with account.snapshot() as snapshot:
            states: dict[str, str] = {type: snapshot.state(type) for type in snapshot.journal.seqs}
        self.states = states | dict(account.user_records.states)
        self.digests = {type: digest(account.id, type, state) for type, state in self.states.items()}

    def stop(self) -> None:
        for stop in self._stops:
            stop()

    def tell(self, states: Mapping[str, str]) -> None:
        new = {type: state for type, state in states.items() if self.states.get(type) != state}
        if not new:
            return
        self.states.update(new)
        for type, state in new.items():
            self.digests[type] = digest(self.account.id, type, state)
        for listener in list(self.listeners):
            listener._tell(self.account.id, new)

    def _applied(self, applied: Applied) -> None:
        self.tell(applied.states)


class Listener:
    """One who is told. `next()` gives what has changed since the last one; iterating ends when the listener does."""

    __slots__ = ("_accounts", "_bus", "_feeds", "_not_before", "_pending", "_since", "_types", "_waiter", "is_ended")

    def __init__(self, bus: Bus, accounts: Mapping[str, Account], types: frozenset[str] | None, since: str) -> None:
        self._bus, self._accounts, self._types, self._since = bus, accounts, types, since
        self._feeds: dict[str, _Feed] = {}
        self._pending: Changed = {}
        self._waiter: asyncio.Future[None] | None = None
        self._not_before = 0.0
        self.is_ended = False

    async def __aenter__(self) -> Listener:
        for account in self._accounts.values():
            self._feeds[account.id] = self._bus._enter(account, self)
        self.catch_up(self._since)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for feed in self._feeds.values():
            self._bus._leave(feed, self)

    def catch_up(self, since: str) -> None:
        """Tell what has changed since a position; an empty one is nobody's."""
        if not since:
            return
        known = digests(since)
        for account_id, feed in self._feeds.items():
            self._tell(account_id, {t: state for t, state in feed.states.items() if feed.digests[t] not in known})

    @property
    def position(self) -> str:
        """How far the client is once it has been told what `next` gave; take it before the next await."""
        types = self._types
        return position(
            digest
            for feed in self._feeds.values()
            for type, digest in feed.digests.items()
            if types is None or type in types
        )

    async def next(self, timeout_s: float | None = None) -> Changed:
        """Return the newest states of what has changed; raise `TimeoutError` or `Ended`."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            while True:
                if self.is_ended:
                    raise Ended
                if self._pending:
                    early_s = self._not_before - loop.time()
                    if early_s <= 0:
                        break
                    await self._wait(early_s)
                else:
                    await self._wait(None)
        self._not_before = loop.time() + SPACING_S
        changed, self._pending = self._pending, {}
        return changed

    async def __aiter__(self) -> AsyncIterator[Changed]:
        try:
            while True:
                yield await self.next()
        except Ended:
            return

    def put_back(self, changed: Changed) -> None:
        """Take back what could not be told; what has become newer since stays."""
        for account_id, states in changed.items():
            newer = self._pending.get(account_id, {})
            self._pending[account_id] = states | newer

    def end(self) -> None:
        """Wake whoever waits with `Ended`, now and from now on."""
        self.is_ended = True
        self._wake()

    def _regroup(self, accounts: Mapping[str, Account]) -> None:
        """Hear of these accounts; one that is new is told whole, so that its client comes to know of it."""
        for id in self._feeds.keys() - accounts.keys():
            self._bus._leave(self._feeds.pop(id), self)
            self._pending.pop(id, None)
        for id, account in accounts.items():
            if id not in self._feeds:
                feed = self._feeds[id] = self._bus._enter(account, self)
                self._tell(id, feed.states)

    async def _wait(self, seconds: float | None) -> None:
        """Wait until told or ended, or only until the time has passed."""
        if seconds is not None:  # something is pending already: only the end is news
            seconds = max(seconds, 0.001)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            if seconds is None:
                await self._waiter
            else:
                await asyncio.wait([self._waiter], timeout=seconds)
        finally:
            self._waiter = None

    def _tell(self, account_id: str, states: Mapping[str, str]) -> None:
        types = self._types
        wanted = {type: state for type, state in states.items() if types is None or type in types}
        if not wanted:
            return
        pending = self._pending.get(account_id)
        if pending is None:
            self._pending[account_id] = wanted
        else:
            pending.update(wanted)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
