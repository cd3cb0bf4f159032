"""The asyncio coat of `protocol`: octets in and out, in slices, and the watch over silence.

Rule 1: the event loop is never held for longer than a slice: responses are handed on for SLICE_S, then others get
    their turn, and nothing more is read meanwhile.
Rule 2: whoever cannot keep up with the server stops the reading (`pause`), not the loop.
Rule 3: whatever ends the connection fails everything in flight, once, with the reason.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from time import perf_counter

from gateway.upstream.imap.encode import Stream
from gateway.upstream.imap.errors import Disconnected, ImapError, ProtocolViolation, ServerBye, Timeout
from gateway.upstream.imap.flight import Flight
from gateway.upstream.imap.protocol import Protocol
from gateway.upstream.imap.scanner import Scanner
from gateway.upstream.imap.timeouts import Timeouts

READ_OCTETS = 64 << 10  # one read: some hundred FETCH responses, a millisecond or two of work
SLICE_S = 0.005  # then others on the loop get their turn
RESPONSES_BETWEEN_CLOCKS = 8  # looking at the clock costs as much as a tenth of a response


class _Room(threading.local):
    """What all connections of a thread's loop read into, one after another: thousands of them are mostly idle."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(READ_OCTETS))


_room = _Room()


class Wire(asyncio.BufferedProtocol):
    """Connects one transport with one Protocol."""

    def __init__(self, protocol: Protocol, timeouts: Timeouts, on_lost: Callable[[ImapError], None]) -> None:
        self._protocol = protocol
        self._timeouts = timeouts
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._scanner = Scanner(protocol.open_literal)
        self._buffer = _room.buffer
        self._transport: asyncio.Transport | None = None
        self._responses: deque[bytes] = deque()
        self._works_later = False
        self._flushes_soon = False
        self._pauses: set[object] = set()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._streaming: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()
        self._ended: ImapError | None = None
        self.greeted: asyncio.Future[None] = self._loop.create_future()
        self.octets_in = 0
        self.octets_out = 0

    # ------------------------------------------------------------ the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.octets_in += nbytes
        self._heard_at = self._loop.time()
        try:
            self._responses.extend(self._scanner.feed(bytes(self._buffer[:nbytes])))
        except ImapError as error:
            self._responses_then_fail(error)
            return
        if not self._works_later:
            self._work()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._responses_then_fail(Disconnected("the server closed the connection" if exc is None else str(exc)))

    # ------------------------------------------------------------ in

    def _work(self) -> None:
        """Hand on responses for one slice of time."""
        self._works_later = False
        responses, receive = self._responses, self._protocol.receive
        deadline = perf_counter() + SLICE_S
        try:
            while responses and self._ended is None:
                for _ in range(min(RESPONSES_BETWEEN_CLOCKS, len(responses))):
                    receive(responses.popleft())
                if responses and perf_counter() > deadline:
                    self._works_later = True
                    self.pause(self)
                    self._loop.call_soon(self._work)
                    break
            else:
                self.resume(self)
        except ImapError as error:
            self.fail(error)
            return
        if not self.greeted.done() and self._protocol.greeting is not None:
            self.greeted.set_result(None)
        self.flush()

    def _responses_then_fail(self, error: ImapError) -> None:
        """What came before the end still counts."""
        try:
            while self._responses and self._ended is None:
                self._protocol.receive(self._responses.popleft())
        except ImapError as violation:
            error = violation
        self.fail(error)

    def pause(self, reason: object) -> None:
        """Stop reading until `resume` is called with the same reason."""
        if not self._pauses and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._pauses.add(reason)

    def resume(self, reason: object) -> None:
        """Take back a pause; does nothing when there is none."""
        if reason in self._pauses:
            self._pauses.discard(reason)
            self._heard_at = self._loop.time()
            if not self._pauses and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    # ------------------------------------------------------------ out

    def flush_soon(self) -> None:
        """Send what this turn of the event loop submits, in one packet."""
        if not self._flushes_soon:
            self._flushes_soon = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send whatever may be sent now."""
        self._flushes_soon = False
        if self._streaming is not None or self._transport is None or self._ended is not None:
            return
        ready: list[bytes] = []
        while (output := self._protocol.next_output()) is not None:
            if isinstance(output, Stream):
                self._write(b"".join(ready))
                ready.clear()
                self._streaming = self._loop.create_task(self._send_stream(output))
                break
            ready.append(output)
        if ready:
            self._write(b"".join(ready))
        if self._watch is None and self._protocol.is_busy:
            self._heard_at = self._loop.time()
            self._schedule_watch()

    def _write(self, octets: bytes) -> None:
        self.octets_out += len(octets)
        if self._transport is not None and self._ended is None:
            self._transport.write(octets)

    async def _send_stream(self, stream: Stream) -> None:
        sent = 0
        try:
            async for chunk in stream.source:
                sent += len(chunk)
                if sent > stream.octets:
                    break
                self._write(chunk)
                await self._may_write.wait()
                self._heard_at = self._loop.time()
        except Exception as error:  # the source failed; the server waits for octets that will never come
            self.fail(Disconnected(f"a literal's source failed: {type(error).__name__}"))
            return
        if sent != stream.octets:
            self.fail(Disconnected("a literal's source gave another number of octets than announced"))
            return
        self._streaming = None
        self.flush()

    @property
    def is_streaming(self) -> bool:
        """Tell whether a literal is on its way out."""
        return self._streaming is not None

    # ------------------------------------------------------------ TLS

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Put TLS under the connection, right after STARTTLS was accepted. Raises OSError, ProtocolViolation."""
        if self._ended is not None:
            raise self._ended
        assert self._transport is not None
        if self._responses or not self._scanner.is_idle:
            raise ProtocolViolation("octets in clear after STARTTLS was accepted")
        transport = await self._loop.start_tls(
            self._transport,
            self,
            context,
            server_hostname=host,
            ssl_handshake_timeout=self._timeouts.starttls_s,
        )
        if transport is None or self._ended is not None:
            raise Disconnected("the connection ended during the TLS handshake")
        self._transport = transport
        self._protocol.forget_capabilities()

    # ------------------------------------------------------------ the watch and the end

    def _schedule_watch(self) -> None:
        self._watch = self._loop.call_later(self._timeouts.silence_s / 4, self._look)

    def _look(self) -> None:
        self._watch = None
        if self._ended is not None or not self._protocol.is_busy:
            return
        limit = self._timeouts.search_silence_s if self._protocol.is_patient else self._timeouts.silence_s
        if self._pauses or self._protocol.is_listening:
            self._heard_at = self._loop.time()  # silence is ours, or agreed
        elif self._loop.time() - self._heard_at >= limit:
            self.fail(Timeout(f"the server was silent for {limit:g} s"))
            return
        self._schedule_watch()

    def watch_abandoned(self, flight: Flight) -> None:
        """Give the server a little time to finish a command nobody waits for, then give up the connection."""
        if self._protocol.is_pending(flight):
            self._loop.call_later(self._timeouts.abandoned_s, self._end_abandoned, flight)

    def _end_abandoned(self, flight: Flight) -> None:
        if self._protocol.is_pending(flight):
            self.fail(Disconnected("closed to be rid of a cancelled command"))

    def fail(self, error: ImapError) -> None:
        """End the connection, for this reason, unless it ended already."""
        if self._ended is not None:
            return
        bye = self._protocol.bye
        if bye is not None and type(error) is Disconnected:
            error = ServerBye(bye.text, bye.code)
        self._ended = error
        if self._watch is not None:
            self._watch.cancel()
        if self._streaming is not None and self._streaming is not asyncio.current_task(self._loop):
            self._streaming.cancel()
        if self._transport is not None:
            self._transport.abort()
        if not self.greeted.done():
            self.greeted.set_exception(error)
            self.greeted.exception()  # looked at: nobody may be waiting any more
        self._protocol.fail_all(error)
        self._on_lost(error)
