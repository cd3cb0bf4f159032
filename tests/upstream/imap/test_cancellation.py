"""Callers that go away, and callbacks that fail."""

from __future__ import annotations

import asyncio

import pytest

from gateway.upstream.imap import (
    CommandNo,
    Connection,
    Disconnected,
    Event,
    Message,
)
from tests.upstream.imap.scripted import CREDENTIALS, QUICK, Peer, connect, hang, serve


async def test_late_reply_never_answers_the_next_command() -> None:
    """A cancelled FETCH goes on in the background; what it brings is not the next FETCH's."""

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        first = await peer.expect(b"UID FETCH 1:2")
        await asyncio.sleep(0.05)
        peer.send(b"* 1 FETCH (UID 1 BODY[] {3}\r\nold)\r\n" + first + b" OK\r\n")
        second = await peer.expect(b"UID FETCH 1:2")
        peer.send(b"* 1 FETCH (UID 1 BODY[] {3}\r\nnew)\r\n" + second + b" OK\r\n")
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")
        got: list[Message] = []
        cancelled = asyncio.create_task(connection.fetch("1:2", "BODY.PEEK[]", on_message=got.append))
        await asyncio.sleep(0.02)
        cancelled.cancel()
        await connection.fetch("1:2", "BODY.PEEK[]", on_message=got.append)
        assert [message.sections[""] for message in got] == [b"new"]
        connection.close()


async def test_fetches_that_differ_fly_together() -> None:
    """Other uids, flags against content, other sections: pipelined, and parted by what the answers hold."""

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        tags = [await peer.expect(b"UID FETCH") for _ in range(5)]
        peer.send(
            b"* 9 FETCH (UID 9 BODY[1] {1}\r\ni)\r\n* 3 FETCH (UID 3 FLAGS (c))\r\n* 5 FETCH (UID 5 RFC822.SIZE 5)\r\n"
        )
        peer.send(
            b"* 9 FETCH (UID 9 BODY[2] {1}\r\nj)\r\n* 1 FETCH (UID 1 RFC822.SIZE 1)\r\n* 8 FETCH (UID 8 FLAGS ())\r\n"
        )
        peer.send(b"".join(tag + b" OK\r\n" for tag in tags))
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")
        news: list[Event] = []
        connection.on_unsolicited = news.append
        low, high, flags = [], [], []
        one: list[bytes] = []
        two: list[bytes] = []
        await asyncio.gather(
            connection.fetch("1:3", "RFC822.SIZE", on_message=lambda message: low.append(message.uid)),
            connection.fetch([(4, 6)], "RFC822.SIZE", on_message=lambda message: high.append(message.uid)),
            connection.fetch("1:6", "FLAGS", on_message=lambda message: flags.append(message.uid)),
            connection.fetch_section(9, "1", sink=one.append),
            connection.fetch_section(9, "2", sink=two.append),
        )
        assert (low, high, flags, one, two) == ([1], [5], [3], [b"i"], [b"j"])
        assert [message.uid for message in news if isinstance(message, Message)] == [8]
        connection.close()


async def test_last_message_answers_an_open_set() -> None:
    """`9:*` is answered with message 3 when there is no 9 (RFC 9051 section 9)."""

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        await peer.answer(b"UID FETCH 9:*", b"* 3 FETCH (UID 3 RFC822.SIZE 1)\r\n")
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")
        got: list[Message] = []
        await connection.fetch("9:*", "RFC822.SIZE", on_message=got.append)
        assert [message.uid for message in got] == [3]
        connection.close()


async def test_command_cancelled_before_it_was_sent_is_never_sent() -> None:
    """Waiting behind another command costs nothing on the wire."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        tag = await peer.expect(b"UID SEARCH ALL")
        await asyncio.sleep(0.05)
        peer.send(b"* SEARCH\r\n" + tag + b" OK\r\n")
        await peer.answer(b"NOOP")

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        first = asyncio.create_task(connection.search(["ALL"]))
        second = asyncio.create_task(connection.search(["SEEN"]))
        await asyncio.sleep(0.02)
        second.cancel()
        assert await first == []
        await connection.noop()
        connection.close()


async def test_cancelled_command_that_never_ends_costs_the_connection() -> None:
    """A server that goes on and on for nobody is left."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"NOOP")
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        task = asyncio.create_task(connection.noop())
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.sleep(QUICK.abandoned_s + 0.2)
        assert connection.is_closed
        with pytest.raises(Disconnected):
            await connection.noop()


class Counter:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []
        self.closed: list[str] = []

    def connection_opened(self) -> None:
        self.seen.append(("opened", True))

    def connection_closed(self, reason: str) -> None:
        self.closed.append(reason)

    def command_done(self, verb: str, *, seconds: float, octets_in: int, octets_out: int, ok: bool) -> None:
        assert seconds >= 0
        assert octets_out >= 0
        assert octets_in >= 0
        self.seen.append((verb, ok))

    def quirk_seen(self, name: str) -> None:
        self.seen.append((name, True))


async def test_observer_hears_of_everything_once() -> None:
    """Answered, refused and cancelled commands, quirks, the opening and the end."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.answer(b"NOOP")
        await peer.answer(b"STATUS", tagged=b"NO no")
        await peer.answer(b"STATUS", b"* STATUS x ()\r\n")
        tag = await peer.expect(b"NOOP")
        await asyncio.sleep(0.05)
        peer.send(tag + b" OK\r\n")
        await hang(peer)

    counter = Counter()
    async with serve(script) as server:
        connection = await Connection.open(server.endpoint, CREDENTIALS, observer=counter, timeouts=QUICK)
        await connection.noop()
        with pytest.raises(CommandNo):
            await connection.status("x", ["MESSAGES"])
        await connection.status("x", ["MESSAGES"])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.noop(), 0.01)
        await asyncio.sleep(0.1)
        connection.close()
    assert counter.closed == ["closed"]
    assert counter.seen == [
        ("AUTHENTICATE", True),
        ("opened", True),
        ("NOOP", True),
        ("STATUS", False),
        ("STATUS", True),
        ("status-without-items", True),
        ("NOOP", False),
    ]


async def test_failing_callback_ends_the_call_only() -> None:
    """An exception from on_message reaches the caller, and the connection goes on."""

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        await peer.answer(b"UID FETCH", b"* 1 FETCH (UID 1 FLAGS ())\r\n" * 3)
        await peer.answer(b"NOOP")

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")

        def on_message(_message: Message) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            await connection.fetch("1", "FLAGS", on_message=on_message)
        await connection.noop()
        connection.close()
