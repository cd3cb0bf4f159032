"""A proxy before an IMAP server that cuts the connection at a chosen command, once.

Where to cut: "before" the command reaches the server, "within" it, or "after" the server has answered and before the
client hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from tests.upstreams.upstream import Upstream

Place = Literal["before", "within", "after"]


@dataclass(slots=True)
class Cutting:
    """What `open_account` needs of a server, and the cut to come."""

    host: str
    password: str
    ports: Mapping[str, int]
    verb: bytes | None = None
    place: Place = "before"
    seen: list[bytes] = field(default_factory=list)  # verbs that came by

    def cut(self, verb: str, place: Place) -> None:
        """Cut the next command of this verb."""
        self.verb, self.place = verb.encode(), place


@asynccontextmanager
async def cutting(upstream: Upstream) -> AsyncIterator[Cutting]:
    """Run the proxy."""
    here = Cutting(upstream.host, upstream.password, {})
    links: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(upstream.host, upstream.ports["imap"], limit=1 << 24)
        waits_for: list[bytes] = []  # the tag whose answer is not to arrive

        def end() -> None:
            for one in (writer, far_writer):
                one.close()

        async def up() -> None:
            with suppress(OSError, asyncio.IncompleteReadError):
                while line := await reader.readline():
                    tag, _, rest = line.partition(b" ")
                    verb = rest.split(b" ")[0].strip().upper()
                    here.seen.append(verb)
                    if verb == here.verb:
                        here.verb = None
                        if here.place != "after":
                            far_writer.write(line[: len(line) // 2] if here.place == "within" else b"")
                            break
                        waits_for.append(tag)
                    far_writer.write(line)

        async def down() -> None:
            with suppress(OSError, asyncio.IncompleteReadError):
                while line := await far_reader.readline():
                    if waits_for and line.startswith(waits_for[0] + b" "):
                        break
                    writer.write(line)

        async def to_the_end(work: Coroutine[None, None, None]) -> None:
            try:
                await work
            finally:
                end()

        for work in (up(), down()):
            task = asyncio.create_task(to_the_end(work))
            links.add(task)
            task.add_done_callback(links.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24)
    here.host, here.ports = "127.0.0.1", {"imap": server.sockets[0].getsockname()[1]}
    try:
        yield here
    finally:
        server.close()
        for task in list(links):
            task.cancel()
        await asyncio.gather(*links, return_exceptions=True)
