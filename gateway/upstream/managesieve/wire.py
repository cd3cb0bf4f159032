"""The asyncio coat of `protocol`: octets in and out, and TLS put under them.

Rule 1: after STARTTLS not an octet in clear is believed: one that comes before TLS has begun ends the connection.
Rule 2: whatever ends the connection fails everything in flight, once, with the reason.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from gateway.upstream.managesieve.errors import Disconnected, ManageSieveError, ProtocolViolation, ServerBye
from gateway.upstream.managesieve.protocol import Done, Protocol
from gateway.upstream.managesieve.scanner import Scanner


class Wire(asyncio.Protocol):
    """Connects one transport with one Protocol."""

    def __init__(self, protocol: Protocol, on_lost: Callable[[ManageSieveError], None]) -> None:
        self._protocol, self._on_lost = protocol, on_lost
        self._scanner = Scanner()
        self._transport: asyncio.Transport | None = None
        self._is_turning = False  # STARTTLS was sent: whatever follows its answer must be TLS
        self._ended: ManageSieveError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for line in self._scanner.feed(data):
                if self._ended is not None:
                    return
                if self._is_turning and not self._protocol.is_busy:
                    raise ProtocolViolation("octets in clear after STARTTLS was accepted")
                self._protocol.receive(line)
            if self._is_turning and not self._protocol.is_busy and not self._scanner.is_idle:
                raise ProtocolViolation("octets in clear after STARTTLS was accepted")
        except ManageSieveError as error:
            self.fail(error)
            return
        if self._protocol.bye is not None and self._protocol.is_busy:
            self.fail(Disconnected("the server said BYE"))
            return
        self.flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(Disconnected("the server closed the connection" if exc is None else str(exc)))

    def flush(self) -> None:
        """Send what is queued."""
        output = self._protocol.output
        if output and self._transport is not None and self._ended is None:
            self._transport.write(bytes(output))
            output.clear()

    def await_tls(self) -> None:
        """From the next answer on, believe nothing in clear."""
        self._is_turning = True

    def refuse_tls(self) -> None:
        """The server refused STARTTLS: go on in clear."""
        self._is_turning = False

    async def start_tls(self, context: ssl.SSLContext, host: str, greeted: Done, *, timeout_s: float) -> None:
        """Put TLS under the connection, right after STARTTLS was accepted. Raises OSError, ManageSieveError.

        `greeted` is called with the greeting that follows (section 2.2).
        """
        if self._ended is not None:
            raise self._ended
        assert self._transport is not None
        # From here on what arrives in clear goes to the TLS handshake, which fails of it.
        self._is_turning = False
        self._protocol.await_greeting(greeted)
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=timeout_s
        )
        if transport is None or self._ended is not None:
            raise self._ended or Disconnected("the connection ended during the TLS handshake")
        self._transport = transport

    def fail(self, error: ManageSieveError) -> None:
        """End the connection, for this reason, unless it ended already."""
        if self._ended is not None:
            return
        bye = self._protocol.bye
        if bye is not None and type(error) is Disconnected:
            error = ServerBye(bye.text, bye.code)
        self._ended = error
        if self._transport is not None:
            self._transport.abort()
        self._protocol.fail_all(error)
        self._on_lost(error)
