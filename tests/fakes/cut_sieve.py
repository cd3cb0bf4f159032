"""A proxy before a ManageSieve server that cuts the connection at a chosen write, once; or stays away from then on.

Where to cut: "before" the command reaches the server, "within" it, or "after" the server has answered and before the
client hears of it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

Place = Literal["before", "within", "after"]
WRITES = (b"PUTSCRIPT", b"SETACTIVE", b"RENAMESCRIPT", b"DELETESCRIPT")


class CutSieve:
    """`arm` chooses the write to cut at, counted from 0; `writes` counts those that came by since."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._links: set[asyncio.Task[None]] = set()
        self._at: int | None = None
        self._place: Place = "before"
        self._stays_away = False
        self.port = 0
        self.writes = 0
        self.has_cut = False
        self.is_away = False

    def arm(self, at: int | None, place: Place = "before", *, stays_away: bool = False) -> None:
        self._at, self._place, self._stays_away = at, place, stays_away
        self.writes, self.has_cut, self.is_away = 0, False, False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_away:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._to, limit=1 << 22)
        is_mute = asyncio.Event()  # the answer is on its way, and not to arrive

        async def up() -> None:
            with suppress(OSError, EOFError):
                while command := await _command(reader):
                    if command.split()[0].upper() in WRITES:
                        self.writes += 1
                        if self.writes - 1 == self._at:
                            self._cut()
                            if self._place == "after":
                                is_mute.set()
                            else:
                                far_writer.write(command[: len(command) // 2] if self._place == "within" else b"")
                                return
                    far_writer.write(command)

        async def down() -> None:
            with suppress(OSError):
                while octets := await far_reader.read(1 << 16):
                    if is_mute.is_set():
                        return
                    writer.write(octets)

        tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
        self._links.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._links.difference_update(tasks)
        writer.close()
        far_writer.close()

    def _cut(self) -> None:
        self._at, self.has_cut, self.is_away = None, True, self._stays_away


async def _command(reader: asyncio.StreamReader) -> bytes:
    """Return one whole command, literals included; b"" at the end."""
    command = b""
    while line := await reader.readline():
        command += line
        match = re.search(rb"\{(\d+)\+\}\r\n$", line)
        if match is None:
            return command
        command += await reader.readexactly(int(match[1]))
    return b""


@asynccontextmanager
async def cutting_sieve(host: str, port: int) -> AsyncIterator[CutSieve]:
    """Run the proxy."""
    proxy = CutSieve(host, port)
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0, limit=1 << 22)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in list(proxy._links):
            task.cancel()
        await asyncio.gather(*proxy._links, return_exceptions=True)
