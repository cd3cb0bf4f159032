"""A TCP proxy that cuts connections at a chosen octet, for tests of what a break leaves behind.

Rule 1: a cut passes exactly so many octets in its direction, counted over all connections from `arm` on, then closes
both sides of the connection where it was reached. It happens once; what comes later passes.
Rule 2: what passed since `arm` is kept, so that a run without a cut tells where the lines end.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

Direction = Literal["up", "down"]  # to the server, to the client
HOST = "127.0.0.1"
READ_OCTETS = 1 << 16


class CuttingProxy:
    """`await start(host, port)`, then connect to `port`; `await close()` after."""

    def __init__(self) -> None:
        self.port = 0
        self.passed: dict[Direction, bytearray] = {"up": bytearray(), "down": bytearray()}
        self.cuts = 0
        self._cut: tuple[Direction, int] | None = None
        self._server: asyncio.Server | None = None
        self._to = (HOST, 0)
        self._ways: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> CuttingProxy:
        self._to = (host, port)
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def arm(self, direction: Direction | None = None, after: int = 0) -> None:
        """Cut when `after` more octets have passed; without a direction only begin to count."""
        self.passed = {"up": bytearray(), "down": bytearray()}
        self.cuts = 0
        self._cut = None if direction is None else (direction, after)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._to)
        except OSError:
            writer.close()
            return
        ways = [
            asyncio.create_task(self._pass("up", reader, server_writer)),
            asyncio.create_task(self._pass("down", server_reader, writer)),
        ]
        self._ways.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._ways.difference_update(ways)
        for end in (writer, server_writer):
            end.close()

    async def _pass(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(READ_OCTETS):
                if self._cut is not None and self._cut[0] == direction:
                    room = self._cut[1] - len(self.passed[direction])
                    if len(data) >= room:
                        self._cut = None
                        self.cuts += 1
                        writer.write(data[:room])
                        self.passed[direction] += data[:room]
                        await writer.drain()
                        return
                self.passed[direction] += data
                writer.write(data)
                await writer.drain()


def positions(passed: bytes) -> list[int]:
    """Where to cut a stream: between its lines, and in the middle of each."""
    found = {0}
    start = 0
    for line in bytes(passed).splitlines(keepends=True):
        found |= {start + len(line) // 2, start + len(line)}
        start += len(line)
    return sorted(found)
