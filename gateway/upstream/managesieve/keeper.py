"""The one connection of a login: opened when it is needed, closed when nobody has used it for a while.

Rule 1: it is borrowed alone, and given back whatever happens: by `async with`.
Rule 2: one that was idle may have been closed by the server meanwhile: it is proved before work is put on it.
Rule 3: credentials that were refused are not shown again for a while, for that may lock the account; others are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from gateway.upstream.managesieve.connection import Connection
from gateway.upstream.managesieve.errors import AuthenticationFailed, ManageSieveError, Timeout
from gateway.upstream.managesieve.timeouts import Timeouts
from gateway.upstream.sasl import Credentials
from gateway.upstream.tls import Endpoint

TURN_S = 60.0  # waiting for the connection: others' work takes milliseconds; more is a hanging server
PROVE_S = 5.0  # after so long without use, ask whether the connection is still there
BACKOFF_REFUSED_S = 15.0  # the same wrong password again and again locks accounts


class Keeper:
    """Keeps a login's connection. `enter` waits for the turn to log in at the host."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Callable[[], Credentials],
        *,
        enter: Callable[[], Awaitable[None]] | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._endpoint, self._credentials, self._enter = endpoint, credentials, enter
        self._timeouts = timeouts or Timeouts()
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self._used_at_s = 0.0
        self._closing: asyncio.TimerHandle | None = None
        self._refused: tuple[Credentials, float, AuthenticationFailed] | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow the connection, alone. Raises ManageSieveError."""
        try:
            async with asyncio.timeout(TURN_S):
                await self._turn.acquire()
        except TimeoutError:
            raise Timeout(f"the turn did not come within {TURN_S:g} s") from None
        try:
            if self._closing is not None:
                self._closing.cancel()
                self._closing = None
            yield await self._proven() or await self._open()
        finally:
            loop = asyncio.get_running_loop()
            self._used_at_s = loop.time()
            self._closing = loop.call_later(self._timeouts.idle_s, self._close)
            self._turn.release()

    async def renewed(self) -> Connection:
        """Return an open connection to whoever has borrowed one that ended meanwhile."""
        assert self._turn.locked()
        return await self._proven() or await self._open()

    async def _proven(self) -> Connection | None:
        connection = self._connection
        if connection is None or connection.is_closed:
            return None
        if asyncio.get_running_loop().time() - self._used_at_s > PROVE_S:
            with suppress(ManageSieveError):
                await connection.noop()
        return None if connection.is_closed else connection

    async def _open(self) -> Connection:
        credentials, now = self._credentials(), asyncio.get_running_loop().time()
        if self._refused is not None and self._refused[0] == credentials and now < self._refused[1]:
            raise AuthenticationFailed(self._refused[2].text, self._refused[2].code)
        if self._enter is not None:
            await self._enter()
        try:
            self._connection = await Connection.open(self._endpoint, credentials, timeouts=self._timeouts)
        except AuthenticationFailed as error:
            self._refused = (credentials, now + BACKOFF_REFUSED_S, error)
            raise
        self._refused = None
        return self._connection

    def _close(self) -> None:
        self._closing = None
        if self._connection is not None and not self._turn.locked():
            # The server needs no goodbye: nothing is under way.
            self._connection.close()
            self._connection = None

    async def aclose(self) -> None:
        """Say goodbye."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._connection is not None:
            await self._connection.logout()
            self._connection = None
