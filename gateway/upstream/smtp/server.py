"""One submission server of an upstream, for all its accounts: what it offers, and messages for it.

Rule 1: what EHLO said last is remembered, for all accounts: the JMAP side validates against it without asking again.
        What it says to somebody who has logged in is worth more than what it says to anybody.
Rule 2: sessions at one time and logins per second are bounded, so that a full outbox does not flood the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.upstream.imap.pool import HostGate
from gateway.upstream.sasl import Credentials
from gateway.upstream.smtp.ehlo import Ehlo
from gateway.upstream.smtp.envelope import Envelope
from gateway.upstream.smtp.reply import Reply
from gateway.upstream.smtp.session import Message, Session, Submitted, connected
from gateway.upstream.smtp.timeouts import Timeouts
from gateway.upstream.tls import Endpoint

MAX_SESSIONS = 20  # at one time: providers allow some tens from one address

__all__ = ["Message", "SmtpServer", "Submitted"]


class SmtpServer:
    """`ehlo` is None until the server was reached once. `on_ehlo` is called when it says something else than before."""

    def __init__(self, endpoint: Endpoint, *, timeouts: Timeouts | None = None, gate: HostGate | None = None) -> None:
        self._endpoint, self._timeouts, self._gate = endpoint, timeouts or Timeouts(), gate
        self._sessions = asyncio.Semaphore(MAX_SESSIONS)
        self.ehlo: Ehlo | None = None
        self.is_of_login = False  # `ehlo` was said to somebody who had logged in
        self.on_ehlo: Callable[[], None] = lambda: None

    async def learn(self) -> None:
        """Ask the server what it offers to anybody, if nothing better is known. Raise `SmtpError`."""
        async with self._sessions, connected(self._endpoint, self._timeouts) as session:
            if not self.is_of_login:
                self._said(session.ehlo)

    async def verify(self, credentials: Credentials) -> Ehlo:
        """Log in and out again; return what the server offers then. Raise `SmtpError`."""
        async with self._sessions, self._logged_in(credentials) as session:
            return session.ehlo

    async def submit(
        self,
        credentials: Credentials,
        envelope: Envelope,
        message: Message,
        before_end: Callable[[dict[str, Reply]], Awaitable[None]],
    ) -> Submitted:
        """Send a message. See `Session.submit`."""
        async with self._sessions, self._logged_in(credentials) as session:
            return await session.submit(envelope, message, before_end)

    @asynccontextmanager
    async def _logged_in(self, credentials: Credentials) -> AsyncIterator[Session]:
        if self._gate is not None:
            await self._gate.enter()
        async with connected(self._endpoint, self._timeouts) as session:
            await session.log_in(credentials)
            self.is_of_login = True
            self._said(session.ehlo)
            yield session

    def _said(self, ehlo: Ehlo) -> None:
        if ehlo != self.ehlo:
            self.ehlo = ehlo
            self.on_ehlo()
