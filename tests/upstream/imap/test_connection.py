"""A connection against a server that is told what to say: order, answers, the event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gateway.upstream.imap import (
    CommandBad,
    CommandNo,
    Event,
    Exists,
    Expunged,
    Message,
    Notice,
    Timeouts,
    Vanished,
)
from tests.upstream.imap.scripted import Peer, connect, hang, serve


async def test_commands_pipeline_and_find_their_answers() -> None:
    """Two STATUS are on the wire before the first answer; answers in the other order reach the right caller."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        first, second = await peer.expect(b"STATUS a"), await peer.expect(b"STATUS b")
        peer.send(b"* STATUS b (MESSAGES 2)\r\n" + second + b" OK\r\n* STATUS a (MESSAGES 1)\r\n" + first + b" OK\r\n")
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        both = await asyncio.gather(connection.status("a", ["MESSAGES"]), connection.status("b", ["MESSAGES"]))
        assert both == [{"MESSAGES": 1}, {"MESSAGES": 2}]
        connection.close()


async def test_searches_without_correlator_never_overlap() -> None:
    """`* SEARCH` names no command: the second one waits for the first one's tag (RFC 9051 section 5.5)."""

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        for answer in (b"* SEARCH 1 2 3 7 \r\n", b"* SEARCH\r\n"):
            tag = await peer.expect(b"UID SEARCH")
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await peer.line()
                    raise AssertionError("a second SEARCH was sent")
            peer.send(answer + tag + b" OK\r\n")
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")
        assert await asyncio.gather(connection.search(["ALL"]), connection.search(["SEEN"])) == [[(1, 3), (7, 7)], []]
        connection.close()


async def test_selected_is_kept_current_and_news_is_told() -> None:
    """EXISTS, EXPUNGE, FLAGS and unasked FETCH change what is known and reach the listener."""

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        news = b"* 5 EXISTS\r\n* 2 EXPUNGE\r\n* VANISHED 7:8\r\n* FLAGS (\\Seen a)\r\n* 1 FETCH (FLAGS (\\Seen))\r\n"
        await peer.answer(b"NOOP", news + b"* OK [ALERT] beware\r\n* garbage ((\r\n* 9 NONSENSE\r\n")
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        selected = await connection.select("INBOX")
        assert (selected.exists, selected.uidvalidity, selected.uidnext, selected.read_only) == (3, 1, 4, True)
        told: list[Event] = []
        connection.on_unsolicited = told.append
        await connection.noop()
        assert (selected.exists, selected.flags) == (2, ("\\Seen", "a"))
        assert told[:3] == [Exists(5), Expunged(2), Vanished([(7, 8)])]
        assert isinstance(told[4], Message)
        assert told[4].uid == 0
        assert told[5] == Notice("OK", "ALERT", "beware")
        assert "fetch-without-uid" in connection.quirks
        connection.close()


async def test_unasked_flags_are_no_answer_to_a_fetch_of_headers() -> None:
    """Flags that change during a FETCH of something else are news, not data."""

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        await peer.answer(
            b"UID FETCH 1:3", b"* 3 FETCH (UID 3 FLAGS (\\Seen))\r\n* 1 FETCH (UID 1 RFC822.SIZE 9 FLAGS ())\r\n"
        )
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")
        news: list[Event] = []
        connection.on_unsolicited = news.append
        got: list[Message] = []
        await connection.fetch("1:3", "UID FLAGS RFC822.SIZE", on_message=got.append)
        assert [message.uid for message in got] == [1]
        assert [message.uid for message in news if isinstance(message, Message)] == [3]
        connection.close()


async def test_no_and_bad_cost_the_command_only() -> None:
    """They raise with their code; the connection goes on."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.answer(b"STATUS", tagged=b"NO [NONEXISTENT] gone")
        await peer.answer(b"STATUS", tagged=b"BAD what")
        await peer.answer(b"NOOP")

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        with pytest.raises(CommandNo) as refused:
            await connection.status("x", ["MESSAGES"])
        assert refused.value.code == "NONEXISTENT"
        with pytest.raises(CommandBad):
            await connection.status("x", ["MESSAGES"])
        with pytest.raises(ValueError, match="CR, LF"):
            await connection.fetch("1\r\na2 LOGOUT", "UID", on_message=print)
        await connection.noop()
        connection.close()


async def test_synchronizing_literal_waits() -> None:
    """Without LITERAL+ the octets follow the server's `+`; a NO instead leaves the connection in step."""

    async def script(peer: Peer) -> None:
        await peer.greet(b"IMAP4rev1 AUTH=PLAIN SASL-IR")
        await peer.expect(b"UID SEARCH CHARSET UTF-8 TEXT {2}")
        peer.send(b"+ go\r\n")
        assert await peer.line() == "é TEXT {2}".encode()
        peer.send(b"* SEARCH 4\r\n+ go\r\n")
        assert await peer.line() == "ü".encode()
        peer.send(b"a2 OK\r\n")
        tag = await peer.expect(b"UID SEARCH CHARSET UTF-8 TEXT {2}")
        peer.send(tag + b" NO [BADCHARSET] no\r\n")
        await peer.answer(b"NOOP")

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        assert await connection.search(["TEXT", "é".encode(), "TEXT", "ü".encode()]) == [(4, 4)]
        with pytest.raises(CommandNo):
            await connection.search(["TEXT", "é".encode()])
        await connection.noop()
        connection.close()


async def test_list_falls_back() -> None:
    """A plain server: LIST, LSUB, and STATUS one by one; a mailbox that refuses has no status."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.answer(b'LIST "" "*"', b'* LIST () "." INBOX\r\n* LIST (\\Noselect) "." a\r\n* LIST () "." a.b\r\n')
        await peer.answer(b'LSUB "" "*"', b'* LSUB () "." a.b\r\n* LSUB () "." gone\r\n')
        first, second = await peer.expect(b"STATUS INBOX (MESSAGES)"), await peer.expect(b"STATUS a.b (MESSAGES)")
        peer.send(b"* STATUS INBOX (MESSAGES 4)\r\n" + first + b" OK\r\n" + second + b" NO denied\r\n")
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        entries = await connection.list_mailboxes(
            returns=["SUBSCRIBED", "SPECIAL-USE"], status=["MESSAGES", "HIGHESTMODSEQ"]
        )
        assert [(entry.name, entry.status) for entry in entries] == [
            ("INBOX", {"MESSAGES": 4}),
            ("a", None),
            ("a.b", None),
        ]
        assert [entry.name for entry in entries if "\\subscribed" in entry.attributes] == ["a.b"]
        connection.close()


async def test_idle_gives_way_and_comes_back() -> None:
    """Another call ends IDLE with DONE, and IDLE is taken up again; cancelling sends DONE too."""

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        for _ in range(2):
            tag = await peer.expect(b"IDLE")
            peer.send(b"+ idling\r\n* 4 EXISTS\r\n")
            assert await peer.line() == b"DONE"
            peer.send(tag + b" OK\r\n")
            await peer.answer(b"NOOP")

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")
        news: asyncio.Queue[Event] = asyncio.Queue()
        idling = asyncio.create_task(connection.idle(news.put_nowait))
        assert await news.get() == Exists(4)
        await connection.noop()
        assert await news.get() == Exists(4)
        idling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await idling
        await connection.noop()
        connection.close()


async def test_idle_outlives_silence() -> None:
    """A quiet server is what IDLE expects: the silence timeout does not count."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        tag = await peer.expect(b"IDLE")
        peer.send(b"+ idling\r\n")
        assert await peer.line() == b"DONE"
        peer.send(tag + b" OK\r\n")
        await peer.answer(b"NOOP")

    async with serve(script) as server:
        connection = await connect(server.endpoint, Timeouts(silence_s=0.1))
        idling = asyncio.create_task(connection.idle(print))
        await asyncio.sleep(0.4)
        await connection.noop()
        idling.cancel()
        connection.close()


async def test_the_loop_is_never_held_for_long() -> None:
    """While 40,000 messages stream in, other tasks have their turn again and again."""
    answer = b"".join(
        b"* %d FETCH (UID %d FLAGS (\\Seen) MODSEQ (5) RFC822.SIZE 9)\r\n" % (n, n) for n in range(1, 40_001)
    )

    async def script(peer: Peer) -> None:
        await peer.greet_and_select()
        tag = await peer.expect(b"UID FETCH")
        peer.send(answer + tag + b" OK\r\n")
        await hang(peer)

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX")
        turns = 0

        async def measure() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        measuring = asyncio.create_task(measure())
        got = 0

        def count(_message: Message) -> None:
            nonlocal got
            got += 1

        await connection.fetch("1:*", "UID FLAGS MODSEQ RFC822.SIZE", on_message=count)
        measuring.cancel()
        assert got == 40_000
        assert turns > 40, turns
        connection.close()
