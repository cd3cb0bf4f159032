"""One account's two sides: its index and its upstream, and what is known of the upstream.

Rule 1: within sync an upstream fault is an `ImapError`; it becomes a `MethodError` at the border (`translated`).
Rule 2: sweeps and writes take turns (`Link.turn`): what a sweep read before a write is never applied after it. The
first indexing of a mailbox takes none, for it may last minutes; see `writes` for why that is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from gateway.account.account import Account
from gateway.account.records import MailboxRow
from gateway.jmap.errors import MethodError
from gateway.sync import tree
from gateway.sync.identity import Identity
from gateway.sync.plan import Tier
from gateway.sync.scope import PERSONAL, Scope, foreign_patterns, scopes_of
from gateway.upstream.imap import (
    AuthenticationFailed,
    CommandFailed,
    Connection,
    ImapError,
    ListEntry,
    Namespaces,
    Pool,
    Timeout,
)

TURN_S = 120.0  # a sweep that reads thousands of new messages holds the turn for that long; more is a hanging server


class Meter(Protocol):
    """Who counts what sync does. Calls are made on the event loop and must be cheap."""

    def swept(self, seconds: float, changed_mailboxes: int) -> None:
        """One look at all mailboxes is over, its changes in the index."""

    def failed(self) -> None:
        """A sweep could not be made."""

    def answered(self, age_s: float) -> None:
        """A request is answered from an index that was equal to the upstream so long ago."""

    def indexed(self, mailbox: str, done: int, total: int) -> None:
        """Of a mailbox's `total` messages new to the index, `done` have been read."""

    def audited(self, found: int) -> None:
        """A full comparison of one mailbox found so many differences that no resync had told of."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the upstream offers this account; learned from the first connection."""

    capabilities: frozenset[str]
    tier: Tier
    identity: Identity

    @classmethod
    def of(cls, connection: Connection) -> Facts:
        # What ENABLE refused is not there, whatever CAPABILITY says (RFC 5161 section 3.1).
        usable = connection.capabilities
        if "QRESYNC" in usable and "QRESYNC" not in connection.enabled:
            usable = usable - {"QRESYNC"}
        return cls(usable, Tier.of(usable), Identity.of(connection.capabilities, connection.server_id))


class Turn:
    """`async with link.turn`: be the only sweep or write of this account meanwhile. Not to be taken twice."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()  # first come, first served

    async def __aenter__(self) -> None:
        """Raises `Timeout`."""
        try:
            async with asyncio.timeout(TURN_S):
                await self._lock.acquire()
        except TimeoutError:
            raise Timeout(f"the turn did not come within {TURN_S:g} s") from None

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


class Link:
    """What every part of sync needs of one account."""

    def __init__(
        self,
        account: Account,
        pool: Pool,
        meter: Meter | None = None,
        on_refused: Callable[[], None] = lambda: None,
        *,
        scope: Scope = PERSONAL,
    ) -> None:
        self.account, self.meter, self.scope = account, meter, scope
        self._pool, self._on_refused = pool, on_refused
        self._facts: Facts | None = None
        self.turn = Turn()
        self.has_work = True  # something may be there to index, or to load the details of
        self.rebuilding: set[str] = set()  # mailboxes whose UIDVALIDITY changed, until they are indexed again

    @asynccontextmanager
    async def connection(
        self, mailbox: str | None = None, *, read_only: bool = True, select: bool = True, shares: bool = False
    ) -> AsyncIterator[Connection]:
        """Borrow a connection, as `Pool.connection` says; `mailbox` is a path. Raises ImapError."""
        borrowed = self._pool.connection(mailbox, read_only=read_only, select=select, shares=shares)
        async with self._known(borrowed) as connection:
            yield connection

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Connection]:
        """Borrow a connection to listen on, as `Pool.listening` says. Raises ImapError."""
        async with self._known(self._pool.listening()) as connection:
            yield connection

    @property
    def may_listen(self) -> bool:
        """Tell whether the budget has room for a connection that listens; it is for the login's own account."""
        return self._pool.size > 1 and self.scope.is_personal

    def share(self, connection: Connection) -> None:
        """Let those who select nothing use the connection that listens."""
        self._pool.shared = connection

    @asynccontextmanager
    async def _known(self, borrowed: AbstractAsyncContextManager[Connection]) -> AsyncIterator[Connection]:
        """Learn the facts from a connection, and tell whoever wants to know that a login was refused."""
        try:
            async with borrowed as connection:
                if self._facts is None:
                    self._facts = Facts.of(connection)
                yield connection
        except AuthenticationFailed:
            self._on_refused()
            raise

    async def facts(self) -> Facts:
        """Return what the upstream offers, connecting if nothing is known yet."""
        if self._facts is None:
            async with self.connection():
                pass
        assert self._facts is not None  # a connection was made, or the line above raised
        return self._facts

    async def told_namespaces(self, connection: Connection) -> Namespaces:
        """Return all that NAMESPACE tells. Raises ImapError."""
        try:
            return await connection.namespaces()
        except CommandFailed:
            return Namespaces()  # advertised and refused: then there is one namespace, the whole

    async def namespaces(self, connection: Connection) -> tree.Namespaces:
        """Return how the paths of this account are to be read. Raises ImapError."""
        return self.scope.namespaces(await self.told_namespaces(connection))

    async def listed(
        self, connection: Connection, *, returns: Sequence[str], status: Sequence[str] = ()
    ) -> list[ListEntry]:
        """List the mailboxes of this account, and of a personal one's login maybe others. Raises ImapError."""
        asked = [
            await connection.list_mailboxes(pattern=pattern, returns=returns, status=status)
            for pattern in self.scope.patterns
        ]
        entries = {entry.name: entry for some in asked for entry in some}
        if self.scope.is_personal:
            return list(entries.values())
        told = await self.told_namespaces(connection)
        return [entry for entry in entries.values() if self.scope.holds(entry.name, told)]

    async def shared_scopes(self, *, fresh: bool) -> list[Scope]:
        """Return what others let this login see; with `fresh` to a connection of its own. Raises ImapError."""
        borrowed = self._known(self._pool.fresh()) if fresh else self.connection(shares=True)
        async with borrowed as connection:
            told = await self.told_namespaces(connection)
            entries = [
                entry
                for pattern in foreign_patterns(told)
                for entry in await connection.list_mailboxes(pattern=pattern)
            ]
        return scopes_of(entries, told)

    def mailboxes(self) -> dict[str, MailboxRow]:
        """Return the mailboxes that the index holds, by id."""
        with self.account.snapshot() as snapshot:
            return {row.facts.id: row for row in snapshot.mailboxes()}

    def forget(self, is_gone: Callable[[str], bool]) -> None:
        """Leave the selected mailboxes whose paths these are: they were renamed or deleted."""
        self._pool.forget(is_gone)

    async def aclose(self) -> None:
        """Close the connections, if they are this account's: a shared one uses those of the login's own."""
        if self.scope.is_personal:
            await self._pool.aclose()


@contextmanager
def translated() -> Iterator[None]:
    """Raise an upstream fault of the body as a `MethodError` that a client may read."""
    try:
        yield
    except ImapError as error:
        raise as_method_error(error) from error


def as_method_error(error: ImapError) -> MethodError:
    """Translate an upstream fault; the description holds neither the server's text nor a credential."""
    if isinstance(error, AuthenticationFailed):
        return MethodError("serverUnavailable", "the mail server does not accept this login at present")
    if isinstance(error, CommandFailed):
        return MethodError("serverFail", f"the mail server refused a command{_code(error)}")
    return MethodError("serverUnavailable", f"the mail server cannot be reached at present{_code(error)}")


def _code(error: ImapError) -> str:
    return f" ({error.code})" if error.code else ""
