"""Sections that are streamed."""

from __future__ import annotations

import asyncio

import pytest

from gateway.upstream.imap import (
    SectionMissing,
)
from tests.upstream.imap.scripted import Peer, connect, hang, serve


async def test_section_is_streamed_and_holds_the_server_back() -> None:
    """20 MB pass through a slow sink with little of it in memory at any time."""
    size = 20 << 20

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        tag = await peer.expect(b"UID FETCH 7 (UID BODY.PEEK[1.2])")
        peer.send(b"* 1 FETCH (UID 7 BODY[1.2] {%d}\r\n" % size)
        for _ in range(size // 65536):
            peer.send(b"z" * 65536)
            await peer.writer.drain()
        peer.send(b" FLAGS ())\r\n" + tag + b" OK\r\n")
        await peer.answer(b"NOOP")

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")
        got = 0

        async def sink(chunk: bytes) -> None:
            nonlocal got
            got += len(chunk)
            await asyncio.sleep(0)
            assert connection.wire.octets_in - got < 2 << 20

        assert await connection.fetch_section(7, "1.2", sink=sink) == size == got
        await connection.noop()
        connection.close()


async def test_small_and_missing_sections() -> None:
    """A small literal reaches the sink as well; a message that is gone is SectionMissing."""

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        await peer.answer(b"UID FETCH 7 (UID BODY.PEEK[]<5.3>)", b"* 1 FETCH (UID 7 BODY[]<5> {3}\r\nabc)\r\n")
        await peer.answer(b"UID FETCH 7 (UID BINARY.PEEK[1])", b"* 1 FETCH (UID 7 BINARY[1] ~{1}\r\n\0)\r\n")
        await peer.answer(b"UID FETCH 8", b"* 1 FETCH (UID 7 FLAGS ())\r\n")
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")
        got: list[bytes] = []
        assert await connection.fetch_section(7, "", sink=got.append, partial=(5, 3)) == 3
        assert await connection.fetch_section(7, "1", sink=got.append, binary=True) == 1
        with pytest.raises(SectionMissing):
            await connection.fetch_section(8, "", sink=got.append)
        assert got == [b"abc", b"\0"]
        with pytest.raises(ValueError, match="section"):
            await connection.fetch_section(8, "1] BODY[2", sink=got.append)
        connection.close()


async def test_failing_sink_leaves_the_connection_usable() -> None:
    """The sink's error reaches the caller; the rest of the literal is read and dropped."""

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        await peer.answer(b"UID FETCH", b"* 1 FETCH (UID 7 BODY[] {1000000}\r\n" + b"z" * 1_000_000 + b")\r\n")
        await peer.answer(b"NOOP")

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")

        def sink(_chunk: bytes) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            await connection.fetch_section(7, "", sink=sink)
        await connection.noop()
        connection.close()
