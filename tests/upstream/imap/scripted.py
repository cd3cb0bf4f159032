"""An IMAP server that says what a test tells it to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.secret import Secret
from gateway.upstream.imap import Connection, Endpoint, PasswordCredentials, Timeouts

CREDENTIALS = PasswordCredentials("alice", Secret("sesame"))
QUICK = Timeouts(connect_s=2, greeting_s=2, starttls_s=2, login_s=2, silence_s=2, abandoned_s=0.3, logout_s=0.3)
CAPABILITIES = b"IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN IDLE"
SELECTED = b"* 3 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 4] x\r\n"


@dataclass(slots=True)
class Peer:
    """The server's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    lines: list[bytes] = field(default_factory=list)

    async def line(self) -> bytes:
        """Return the next line without CRLF; EOFError at the end."""
        line = await self.reader.readline()
        if not line:
            raise EOFError
        self.lines.append(line)
        return line.rstrip(b"\r\n")

    async def expect(self, start: bytes) -> bytes:
        """Return the tag of the next command, which begins with `start`."""
        tag, _, command = (await self.line()).partition(b" ")
        assert command.startswith(start), command
        return tag

    def send(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def answer(self, start: bytes, untagged: bytes = b"", tagged: bytes = b"OK done") -> None:
        """Expect a command and answer it."""
        tag = await self.expect(start)
        self.send(untagged + tag + b" " + tagged + b"\r\n")

    async def greet(self, capabilities: bytes = CAPABILITIES) -> None:
        """Greet, and accept the login."""
        self.send(b"* OK [CAPABILITY " + capabilities + b"] ready\r\n")
        await self.answer(b"", tagged=b"OK [CAPABILITY " + capabilities + b" X-LOGGED-IN] in")

    async def greet_and_select(self, capabilities: bytes = CAPABILITIES) -> None:
        await self.greet(capabilities)
        await self.answer(b"EXAMINE", SELECTED, b"OK [READ-ONLY] done")


async def connect(endpoint: Endpoint, timeouts: Timeouts = QUICK) -> Connection:
    """Open a connection as the scripts expect it."""
    return await Connection.open(endpoint, CREDENTIALS, timeouts=timeouts)


async def hang(peer: Peer) -> None:
    """Say nothing more until the client goes."""
    await peer.reader.read()


Script = Callable[[Peer], Awaitable[None]]


@dataclass(slots=True)
class Scripted:
    """A running server, and what went wrong in its scripts."""

    endpoint: Endpoint
    peers: list[Peer] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def serve(*scripts: Script) -> AsyncIterator[Scripted]:
    """Serve one script a connection, the last one again and again; a script's end closes the connection."""
    running: set[asyncio.Task[None]] = set()
    scripted: Scripted

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        peer = Peer(reader, writer)
        scripted.peers.append(peer)
        try:
            await scripts[min(len(scripted.peers), len(scripts)) - 1](peer)
            await writer.drain()
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass  # the client went, or the test is over
        except BaseException as error:
            scripted.failures.append(error)
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, limit=1 << 22)
    scripted = Scripted(Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], "none"))
    try:
        yield scripted
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert not scripted.failures, scripted.failures
