"""Servers that go away, say nonsense, or too much."""

from __future__ import annotations

import asyncio

import pytest

from gateway.upstream.imap import (
    ConnectError,
    Endpoint,
    ImapError,
    ProtocolViolation,
    ServerBye,
    Timeout,
    Timeouts,
)
from tests.upstream.imap.scripted import Peer, connect, hang, serve

CONVERSATION = (
    b"* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN] hi\r\na1 OK [CAPABILITY IMAP4rev1 X] in\r\n"
    b"* 3 EXISTS\r\n"
    b"a2 OK\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\na3 OK\r\n"
)


@pytest.mark.parametrize("end", range(len(CONVERSATION)))
async def test_disconnect_anywhere(end: int) -> None:
    """Wherever the server goes away, whoever waits gets an ImapError at once; nobody hangs."""

    async def script(peer: Peer) -> None:
        peer.send(CONVERSATION[:end])

    async with serve(script) as server:
        with pytest.raises(ImapError):
            await asyncio.wait_for(converse(server.endpoint), 5)


async def converse(endpoint: Endpoint) -> None:
    connection = await connect(endpoint)
    await connection.select("INBOX")
    await connection.fetch("1", "BODY.PEEK[]", on_message=lambda _message: None)


async def test_everything_in_flight_fails_together() -> None:
    """Ten callers wait; all of them hear of the end, with the server's BYE as the reason."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        for _ in range(10):
            await peer.expect(b"STATUS")
        peer.send(b"* BYE [UNAVAILABLE] going down\r\n")

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        calls = [connection.status(f"m{number}", ["MESSAGES"]) for number in range(10)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(error, ServerBye) and error.code == "UNAVAILABLE" for error in ended)
        assert connection.is_closed


async def test_silence_is_a_timeout() -> None:
    """A server that says nothing while a command is in flight is given up."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint, Timeouts(silence_s=0.2))
        with pytest.raises(Timeout):
            await connection.noop()


async def test_tag_mismatch_and_garbage_are_survived() -> None:
    """A tag nobody sent, a `+` nobody waits for and nonsense cost themselves; they are counted."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.answer(
            b"NOOP", b"a99 OK what\r\n* BAD Invalid tag\r\n+ go\r\n\xff\xfe\r\n\r\n* 1 FETCH (UID\r\n* LIST\r\n"
        )
        await peer.answer(b"NOOP")

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.noop()
        await connection.noop()
        assert {"stray-tag", "stray-continuation", "malformed-response", "untagged-bad"} <= set(
            repr(connection.quirks)[7:-1].split(", ")
        )
        connection.close()


@pytest.mark.parametrize("bomb", [b"* 1 FETCH (UID 1 BODY[] {99999999999}\r\n", b"* X " + b"y" * (2 << 20)])
async def test_bombs(bomb: bytes) -> None:
    """A literal or a line without bound ends the connection, not the process."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"NOOP")
        peer.send(bomb)
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        with pytest.raises(ProtocolViolation):
            await connection.noop()
        assert connection.is_closed


async def test_not_an_imap_server() -> None:
    """Another protocol's greeting is refused."""

    async def script(peer: Peer) -> None:
        peer.send(b"220 mail.example.com ESMTP\r\n")
        await hang(peer)

    async with serve(script) as server:
        with pytest.raises(ProtocolViolation):
            await connect(server.endpoint)


async def test_greeting_bye_and_nobody_there() -> None:
    """A refusing greeting keeps its code; a closed port is a ConnectError, which is an OSError."""

    async def script(peer: Peer) -> None:
        peer.send(b"* BYE [LIMIT] Too many simultaneous connections\r\n")

    async with serve(script) as server:
        with pytest.raises(ServerBye) as refused:
            await connect(server.endpoint)
        assert refused.value.code == "LIMIT"
    with pytest.raises(OSError, match=r".") as unreachable:
        await connect(server.endpoint)
    assert isinstance(unreachable.value, ConnectError)
