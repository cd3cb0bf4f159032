"""The connections of one login, within a budget.

Rule 1: a borrowed connection is borrowed alone, and given back whatever happens: by `async with`, never by hand.
Rule 2: work goes where its mailbox is selected already; else to a connection with nothing selected, to a new one
    within the budget, or to the one that was idle for longest.
Rule 3: after a failed login the pool backs off, longer each time, with jitter; only a connection that has lived for a
    while makes it forget. Wrong credentials wait longest; other credentials need not wait.
Rule 4: one login's trouble stays its own; the `HostGate` alone is shared. There, logins to listen come after those
    that requests wait for: a node that takes over hundreds of accounts has all their clients before it at once.
Rule 5: a connection that listens counts like any other. One on which nothing is ever selected may serve, meanwhile,
    those who select nothing either.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.upstream.imap.connection import Connection
from gateway.upstream.imap.errors import AuthenticationFailed, Disconnected, ImapError, Timeout
from gateway.upstream.imap.events import Event
from gateway.upstream.imap.mailbox import Selected
from gateway.upstream.imap.timeouts import Observer, Timeouts
from gateway.upstream.sasl import Credentials
from gateway.upstream.tls import Endpoint

BACKOFF_FIRST_S = 1.0
BACKOFF_REFUSED_S = 15.0  # the same wrong password again and again locks accounts
BACKOFF_LIMIT_S = 300.0  # a server that was down for an hour is found again within five minutes
PROVEN_S = 30.0  # a connection that lives for so long proves that the server is well
GENTLE_S = 30.0  # then who listens takes a turn to log in like any other
STALE_S = 60.0  # after so long without use, ask whether the connection is still there before work is put on it


class HostGate:
    """Limits how fast logins are tried on one host, over all accounts. One per upstream."""

    def __init__(self, *, logins_per_s: float = 10.0, burst: int = 20) -> None:
        self._interval_s = 1.0 / logins_per_s
        self._burst_s = burst * self._interval_s
        self._left_s = max(0.0, self._burst_s / 2 - self._interval_s)  # of the burst, by who enters gently
        self._next_s = 0.0  # on the loop's clock: when the budget would be used up exactly

    async def enter(self, *, gently: bool = False) -> None:
        """Wait for the turn to log in; `gently`: behind all others, and leave half of the burst to who comes next."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        patient_until = now + GENTLE_S
        while gently and now < patient_until and (wait_s := self._turn(now) + self._left_s - now) > 0:
            await asyncio.sleep(min(wait_s, patient_until - now))
            now = loop.time()
        self._next_s = self._turn(now)
        if self._next_s > now:
            await asyncio.sleep(self._next_s - now)

    def _turn(self, now: float) -> float:
        """Return when the next turn is or, where the budget was not used up, would have been."""
        return max(self._next_s, now - self._burst_s) + self._interval_s


@dataclass(eq=False, slots=True)
class _Slot:
    """A place for one connection."""

    connection: Connection | None = None
    opened_at_s: float = 0.0
    used_at_s: float = 0.0
    is_doomed: bool = False  # to be closed when it is given back

    @property
    def selected(self) -> Selected | None:
        connection = self.connection
        return connection.selected if connection is not None and not connection.is_closed else None

    @property
    def is_open(self) -> bool:
        return self.connection is not None and not self.connection.is_closed


@dataclass(slots=True)
class _Backoff:
    failures: int = 0
    until_s: float = 0.0
    error: ImapError | None = None
    refused: Credentials | None = field(default=None, repr=False)


class Pool:
    """Up to `size` connections of one login; work goes to a connection that has its mailbox selected already."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials_source: Callable[[], Awaitable[Credentials]],
        *,
        size: int = 4,
        gate: HostGate | None = None,
        observer: Observer | None = None,
        timeouts: Timeouts | None = None,
        idle_s: float = 300.0,
        wait_s: float = 60.0,
        on_unsolicited: Callable[[Connection, Event], None] | None = None,
    ) -> None:
        self._endpoint, self._credentials_source = endpoint, credentials_source
        self._gate = gate
        self._observer, self._timeouts = observer, timeouts
        self._idle_s, self._wait_s = idle_s, wait_s
        self._on_unsolicited = on_unsolicited
        self._free: list[_Slot] = [_Slot() for _ in range(size)]
        self._borrowed: set[_Slot] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._backoff = _Backoff()
        self._is_closed = False
        self._sweep: asyncio.TimerHandle | None = None
        self._odd_names: dict[str, bytes] = {}
        self.size = size
        self.shared: Connection | None = None  # listens, has nothing selected, and serves LIST and STATUS too

    @asynccontextmanager
    async def connection(
        self, mailbox: str | None = None, *, read_only: bool = True, select: bool = True, shares: bool = False
    ) -> AsyncIterator[Connection]:
        """Borrow a connection, alone; with `mailbox` given it is selected (a read-write one serves read_only too).

        Without `select` the borrower selects, together with what it asks next. Without `mailbox` nothing is selected:
        STATUS and LIST tell of a selected mailbox what the session has seen of it, not what it holds. With `shares`
        it need not be borrowed alone: for commands that select nothing.
        Raises ImapError: what opening or selecting raised, or `Timeout` when no slot came free. While the pool backs
        off after a failure it raises that failure again at once.
        """
        if shares and mailbox is None and self.shared is not None and not self.shared.is_closed:
            yield self.shared
            return
        slot = await self._borrow(mailbox, read_only=read_only)
        try:
            connection = await self._ready(slot)
            selected = connection.selected
            if mailbox is None:
                if selected is not None:
                    await connection.unselect()
            elif select and not _serves(selected, mailbox, read_only=read_only):
                await connection.select(mailbox, read_only=read_only, condstore="CONDSTORE" not in connection.enabled)
            yield connection
        finally:
            self._give_back(slot)

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[Connection]:
        """Borrow a connection that is opened now, with nothing selected: it has not learnt anything too early."""
        slot = await self._borrow(None, read_only=True)
        try:
            if slot.connection is not None:
                slot.connection.close()
                slot.connection = None
            yield await self._ready(slot)
        finally:
            self._give_back(slot)

    def forget(self, is_gone: Callable[[str], bool]) -> None:
        """Close what has a mailbox selected that was renamed or deleted: its path may soon be that of another one.

        A borrowed connection is closed when it is given back.
        """
        for slot in (*self._free, *self._borrowed):
            if slot.selected is not None and is_gone(slot.selected.name):
                slot.is_doomed = True
        for slot in self._free:
            self._end_doomed(slot)

    def _end_doomed(self, slot: _Slot) -> None:
        if slot.is_doomed and slot.connection is not None:
            slot.connection.close()
        slot.is_doomed = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Connection]:
        """Borrow a connection for as long as somebody listens on it, with nothing selected; it is closed at the end.

        Whoever listens with the only connection there is keeps all others from working: see `size`.
        """
        slot = await self._borrow(None, read_only=True)
        try:
            connection = await self._ready(slot, gently=True)
            if connection.selected is not None:
                await connection.unselect()
            yield connection
        finally:
            self.shared = None
            if slot.connection is not None:  # what it was told to tell would go on, to nobody
                slot.connection.on_closed = slot.connection.on_unsolicited = None
                if asyncio.get_running_loop().time() - slot.opened_at_s >= PROVEN_S:
                    self._backoff = _Backoff()
                slot.connection.close()
            self._give_back(slot)

    async def aclose(self) -> None:
        """Log out of everything; borrowed connections are closed under their borrowers."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Disconnected("the pool is closed"))
        for slot in self._borrowed:
            if slot.connection is not None:
                slot.connection.close()
        async with asyncio.TaskGroup() as tasks:
            for slot in self._free:
                if slot.connection is not None and not slot.connection.is_closed:
                    tasks.create_task(slot.connection.logout())

    # ------------------------------------------------------------ slots

    async def _borrow(self, mailbox: str | None, *, read_only: bool) -> _Slot:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._wait_s):
                while not self._free or self._waiters:
                    if self._is_closed:
                        break
                    waiter = loop.create_future()
                    self._waiters.append(waiter)
                    try:
                        await waiter
                    except BaseException:
                        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                            self._wake_next()  # the turn was ours and is not taken
                        raise
                    finally:
                        if waiter in self._waiters:
                            self._waiters.remove(waiter)
                    if self._free:
                        break
        except TimeoutError as error:
            if isinstance(error, ImapError):
                raise
            raise Timeout(f"no connection came free within {self._wait_s:g} s") from None
        if self._is_closed:
            raise Disconnected("the pool is closed")
        slot = min(self._free, key=lambda slot: _cost(slot, mailbox, read_only=read_only))
        self._free.remove(slot)
        self._borrowed.add(slot)
        if self._free:
            self._wake_next()
        return slot

    def _give_back(self, slot: _Slot) -> None:
        now = asyncio.get_running_loop().time()
        slot.used_at_s = now
        self._end_doomed(slot)
        if slot.connection is not None:
            if now - slot.opened_at_s >= PROVEN_S and not slot.connection.is_closed:
                self._backoff = _Backoff()
            if slot.connection.is_closed:
                slot.connection = None
        self._borrowed.discard(slot)
        self._free.append(slot)
        self._wake_next()
        if self._sweep is None and not self._is_closed:
            self._sweep = asyncio.get_running_loop().call_later(self._idle_s, self._close_idle)

    def _wake_next(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
                return

    def _close_idle(self) -> None:
        """Close what nobody used for a while. No LOGOUT: nobody would wait for its answer."""
        self._sweep = None
        now = asyncio.get_running_loop().time()
        for slot in self._free:
            if slot.connection is not None and now - slot.used_at_s >= self._idle_s:
                slot.connection.close()
                slot.connection = None
        if not self._is_closed and (self._borrowed or any(slot.is_open for slot in self._free)):
            self._sweep = asyncio.get_running_loop().call_later(self._idle_s / 2, self._close_idle)

    # ------------------------------------------------------------ connections

    async def _ready(self, slot: _Slot, *, gently: bool = False) -> Connection:
        """Return the slot's connection, proven to be alive, or a new one."""
        connection = slot.connection
        now = asyncio.get_running_loop().time()
        if connection is not None and not connection.is_closed:
            if now - slot.used_at_s < STALE_S:
                return connection
            try:
                await connection.noop()
            except ImapError:
                connection.close()
            else:
                return connection
        slot.connection = None
        slot.connection = connection = await self._open(gently=gently)
        slot.opened_at_s = asyncio.get_running_loop().time()
        return connection

    async def _open(self, *, gently: bool) -> Connection:
        loop = asyncio.get_running_loop()
        backoff = self._backoff
        credentials = await self._credentials_source()
        are_new = backoff.refused is not None and credentials != backoff.refused
        if backoff.error is not None and loop.time() < backoff.until_s and not are_new:
            raise _again(backoff.error)
        if self._gate is not None:
            await self._gate.enter(gently=gently)
        try:
            connection = await Connection.open(
                self._endpoint,
                credentials,
                observer=self._observer,
                timeouts=self._timeouts,
                odd_names=self._odd_names,
            )
        except ImapError as error:
            self._back_off(error, credentials)
            raise
        listener = self._on_unsolicited
        if listener is not None:
            connection.on_unsolicited = lambda event: listener(connection, event)
        return connection

    def _back_off(self, error: ImapError, credentials: Credentials) -> None:
        is_refusal = isinstance(error, AuthenticationFailed)
        failures = self._backoff.failures + 1
        first_s = BACKOFF_REFUSED_S if is_refusal else BACKOFF_FIRST_S
        wait_s = min(BACKOFF_LIMIT_S, first_s * 2 ** min(failures - 1, 20)) * random.uniform(0.5, 1.0)
        until_s = asyncio.get_running_loop().time() + wait_s
        self._backoff = _Backoff(failures, until_s, error, credentials if is_refusal else None)


def _again(error: ImapError) -> ImapError:
    """Return the same failure as a new exception: one raised twice would grow its traceback without end."""
    return type(error)(error.text, error.code)


def _serves(selected: Selected | None, mailbox: str, *, read_only: bool) -> bool:
    return selected is not None and selected.name == mailbox and (read_only or not selected.read_only)


def _cost(slot: _Slot, mailbox: str | None, *, read_only: bool) -> tuple[int, float]:
    """Order free slots by what using them costs; then the one used longest ago.

    One connection comes to be kept without a mailbox: it is the last to be given one, and the first for LIST.
    """
    if mailbox is None:
        if slot.is_open:
            return (0 if slot.selected is None else 1), -slot.used_at_s
        return 2, slot.used_at_s
    if _serves(slot.selected, mailbox, read_only=read_only):
        return 0, slot.used_at_s
    if slot.is_open:
        return (1 if slot.selected is not None else 3), slot.used_at_s
    return 2, slot.used_at_s
