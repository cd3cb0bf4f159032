"""The connections of one account, within a budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from gateway.upstream.imap.connection import Connection
from gateway.upstream.imap.events import Event
from gateway.upstream.imap.timeouts import Observer, Timeouts
from gateway.upstream.sasl import Credentials
from gateway.upstream.tls import Endpoint


class HostGate:
    """Limits how fast logins are tried on one host, over all accounts. One per upstream."""

    def __init__(self, *, logins_per_s: float = 10.0, burst: int = 20) -> None:
        raise NotImplementedError

    async def enter(self) -> None:
        """Wait for the turn to log in."""
        raise NotImplementedError


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
        on_unsolicited: Callable[[Connection, Event], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def connection(
        self, mailbox: str | None = None, *, read_only: bool = True
    ) -> AbstractAsyncContextManager[Connection]:
        """Borrow a connection, alone; with `mailbox` given it is selected (a read-write one serves read_only too).

        Raises ImapError: what opening or selecting raised, or `Timeout` when no slot came free. While the pool backs
        off after a failure it raises that failure again at once.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """Log out of everything; borrowed connections are closed under their borrowers."""
        raise NotImplementedError
