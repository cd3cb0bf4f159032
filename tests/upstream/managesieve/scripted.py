"""A ManageSieve server that says what a test tells it to say."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.secret import Secret
from gateway.upstream.managesieve import Connection, Timeouts
from gateway.upstream.sasl import Credentials, PasswordCredentials
from gateway.upstream.tls import Endpoint

CREDENTIALS = PasswordCredentials("alice", Secret("sesame"))
QUICK = Timeouts(connect_s=2, greeting_s=0.5, starttls_s=2, login_s=2, answer_s=0.5, logout_s=0.3, idle_s=0.2)
GREETING = b'"IMPLEMENTATION" "test"\r\n"SIEVE" "fileinto"\r\n"SASL" "PLAIN"\r\n"VERSION" "1.0"\r\nOK\r\n'


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.commands: list[bytes] = []

    async def command(self) -> bytes:
        """Return the next command, its literals in place; EOFError at the end."""
        whole = b""
        while True:
            line = await self.reader.readline()
            if not line:
                raise EOFError
            whole += line
            match = re.search(rb"\{(\d+)\+\}\r\n$", line)
            if match is None:
                self.commands.append(whole[:-2])
                return whole[:-2]
            whole += await self.reader.readexactly(int(match[1]))

    def send(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def answer(self, start: bytes, octets: bytes = b"OK\r\n") -> bytes:
        """Expect a command and answer it."""
        command = await self.command()
        assert command.startswith(start), command
        self.send(octets)
        return command

    async def greet(self, greeting: bytes = GREETING) -> None:
        """Greet, accept the login, tell the capabilities again."""
        self.send(greeting)
        await self.answer(b"AUTHENTICATE")
        await self.answer(b"CAPABILITY", greeting)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context)


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def serve(script: Script) -> AsyncIterator[Endpoint]:
    """Serve each connection by the script, whose end closes it. What goes wrong in it fails the test."""
    failures: list[BaseException] = []
    running: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await script(Peer(reader, writer))
            await writer.drain()
        except (EOFError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass  # the client went, or the test is over
        except BaseException as error:
            failures.append(error)
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], "none")
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert not failures, failures


async def connect(endpoint: Endpoint, credentials: Credentials | None = CREDENTIALS) -> Connection:
    return await Connection.open(endpoint, credentials, timeouts=QUICK)
