"""One submission server of an upstream, for all its accounts: what it offers, and messages for it.

Rule 1: what EHLO said last is remembered, for all accounts: the JMAP side validates against it without asking again.
Rule 2: sessions at one time and logins per second are bounded, so that a full outbox does not flood the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.upstream.imap.pool import HostGate
from gateway.upstream.sasl import Credentials
from gateway.upstream.smtp.ehlo import Ehlo
from gateway.upstream.smtp.envelope import Envelope
from gateway.upstream.smtp.reply import Reply
from gateway.upstream.smtp.session import Message, Submitted, connected
from gateway.upstream.smtp.timeouts import Timeouts
from gateway.upstream.tls import Endpoint

MAX_SESSIONS = 20  # at one time: providers allow some tens from one address

__all__ = ["Message", "SmtpServer", "Submitted"]


class SmtpServer:
    """`ehlo` is None until the server was reached once."""

    def __init__(self, endpoint: Endpoint, *, timeouts: Timeouts | None = None, gate: HostGate | None = None) -> None:
        self._endpoint, self._timeouts, self._gate = endpoint, timeouts or Timeouts(), gate
        self._sessions = asyncio.Semaphore(MAX_SESSIONS)
        self.ehlo: Ehlo | None = None

    async def learn(self) -> Ehlo:
        """Ask the server what it offers. Raise `SmtpError`."""
        async with self._sessions, connected(self._endpoint, self._timeouts) as session:
            self.ehlo = session.ehlo
            return session.ehlo

    async def submit(
        self,
        credentials: Credentials,
        envelope: Envelope,
        message: Message,
        before_end: Callable[[dict[str, Reply]], Awaitable[None]],
    ) -> Submitted:
        """Send a message. See `Session.submit`."""
        async with self._sessions:
            if self._gate is not None:
                await self._gate.enter()
            async with connected(self._endpoint, self._timeouts) as session:
                await session.log_in(credentials)
                self.ehlo = session.ehlo
                return await session.submit(envelope, message, before_end)

    async def verify(self, credentials: Credentials) -> Ehlo:
        """Log in and out again: what `probe` does. Raise `SmtpError`."""
        async with self._sessions, connected(self._endpoint, self._timeouts) as session:
            await session.log_in(credentials)
            return session.ehlo
