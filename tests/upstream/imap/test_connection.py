"""A connection against a server that is told what to say: order, cancellation, faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from gateway.secret import Secret
from gateway.upstream.imap import (
    AuthenticationFailed,
    CommandBad,
    CommandNo,
    ConnectError,
    Connection,
    Disconnected,
    Endpoint,
    Event,
    Exists,
    Expunged,
    ImapError,
    Message,
    Notice,
    OAuthCredentials,
    PasswordCredentials,
    ProtocolViolation,
    SectionMissing,
    ServerBye,
    Timeout,
    Timeouts,
    Vanished,
)
from tests.upstream.imap.scripted import CREDENTIALS, QUICK, Peer, serve


async def connect(endpoint: Endpoint, timeouts: Timeouts = QUICK) -> Connection:
    return await Connection.open(endpoint, CREDENTIALS, timeouts=timeouts)


async def hang(peer: Peer) -> None:
    await peer.reader.read()


# ---------------------------------------------------------------- ordinary work


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


# ---------------------------------------------------------------- sections


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


# ---------------------------------------------------------------- cancellation


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
        one, two = [], []
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


# ---------------------------------------------------------------- faults

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
        assert {"stray-tag", "stray-continuation", "malformed-response"} <= set(
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


# ---------------------------------------------------------------- logging in


@pytest.mark.parametrize(
    ("tagged", "error"),
    [
        (b"NO [AUTHENTICATIONFAILED] wrong", AuthenticationFailed),
        (b"NO wrong", AuthenticationFailed),
        (b"NO [UNAVAILABLE] backend down", ConnectError),
        (b"NO [LIMIT] too many", ConnectError),
    ],
)
async def test_refused_login(tagged: bytes, error: type[ImapError]) -> None:
    """A verdict on the credentials is told from trouble that will pass; the secret is in no message."""

    async def script(peer: Peer) -> None:
        peer.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\r\n")
        await peer.answer(b"AUTHENTICATE PLAIN AGFsaWNlAHNlc2FtZQ==", tagged=tagged)

    async with serve(script) as server:
        with pytest.raises(error) as refused:
            await connect(server.endpoint)
        assert "sesame" not in repr(refused.value) + str(refused.value)


async def test_login_without_sasl() -> None:
    """Without AUTH=PLAIN the LOGIN command serves, quoted; LOGINDISABLED forbids it."""

    async def script(peer: Peer) -> None:
        peer.send(b"* OK hi\r\n")
        await peer.answer(b"CAPABILITY", b"* CAPABILITY IMAP4rev1\r\n")
        await peer.answer(b'LOGIN alice "sesame"')
        await peer.answer(b"CAPABILITY", b"* CAPABILITY IMAP4rev1 ENABLE CONDSTORE QRESYNC ID\r\n")
        await peer.answer(b"ID (", b'* ID ("name" "Odd" "version" NIL)\r\n')
        await peer.answer(b"ENABLE CONDSTORE QRESYNC", b"* ENABLED QRESYNC\r\n")
        await hang(peer)

    async def disabled(peer: Peer) -> None:
        peer.send(b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\r\n")
        await hang(peer)

    async with serve(script, disabled) as server:
        connection = await connect(server.endpoint)
        assert (connection.enabled, connection.server_id) == ({"QRESYNC"}, {"name": "Odd"})
        connection.close()
        with pytest.raises(AuthenticationFailed):
            await connect(server.endpoint)
        assert not server.peers[1].lines


async def test_oauth_and_authzid_in_two_steps() -> None:
    """Without SASL-IR the response waits for `+`; an OAuth failure is acknowledged (RFC 7628 section 3.2.3)."""

    async def oauth(peer: Peer) -> None:
        peer.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=OAUTHBEARER AUTH=XOAUTH2] hi\r\n")
        tag = await peer.expect(b"AUTHENTICATE OAUTHBEARER")
        peer.send(b"+ \r\n")
        await peer.line()
        peer.send(b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n")
        assert await peer.line() == b"AQ=="
        peer.send(tag + b" NO [AUTHENTICATIONFAILED] no\r\n")

    async def plain(peer: Peer) -> None:
        peer.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n")
        tag = await peer.expect(b"AUTHENTICATE PLAIN")
        peer.send(b"+\r\n")
        assert await peer.line() == b"Ym9iAG1hc3RlcgBz"
        peer.send(tag + b" OK [CAPABILITY IMAP4rev1 ID] in\r\n")
        await peer.answer(b"ID")

    async with serve(oauth, plain) as server:
        with pytest.raises(AuthenticationFailed):
            await Connection.open(server.endpoint, OAuthCredentials("alice", Secret("tok")), timeouts=QUICK)
        connection = await Connection.open(
            server.endpoint, PasswordCredentials("master", Secret("s"), authzid="bob"), timeouts=QUICK
        )
        connection.close()


@pytest.mark.parametrize(
    "greeting",
    [
        b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome\r\n",
        b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] no STARTTLS here\r\n",
    ],
)
async def test_starttls_cannot_be_stripped(greeting: bytes) -> None:
    """No STARTTLS, or a session that is authenticated already: the password is not sent in clear."""

    async def script(peer: Peer) -> None:
        peer.send(greeting)
        await hang(peer)

    async with serve(script) as server:
        endpoint = Endpoint(server.endpoint.host, server.endpoint.port, "starttls")
        with pytest.raises(ConnectError):
            await connect(endpoint)
        assert not server.peers[0].lines


@pytest.mark.parametrize("injected", [b"* CAPABILITY IMAP4rev1\r\n", b"a", b"* OK hi\r\n* x"])
async def test_starttls_injection(injected: bytes) -> None:
    """Octets in clear behind the STARTTLS reply are refused (CVE-2011-0411 and its like)."""

    async def script(peer: Peer) -> None:
        peer.send(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n")
        tag = await peer.expect(b"STARTTLS")
        peer.send(tag + b" OK go\r\n" + injected)
        await hang(peer)

    async with serve(script) as server:
        endpoint = Endpoint(server.endpoint.host, server.endpoint.port, "starttls")
        with pytest.raises(ProtocolViolation):
            await connect(endpoint)


# ---------------------------------------------------------------- the event loop


async def test_the_loop_is_never_held_for_long() -> None:
    """While 40,000 messages stream in, other tasks run every few milliseconds."""
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
        loop = asyncio.get_running_loop()
        gaps: list[float] = []

        async def tick() -> AsyncIterator[None]:
            while True:
                yield
                await asyncio.sleep(0)

        async def measure() -> None:
            before = loop.time()
            async for _ in tick():
                now = loop.time()
                gaps.append(now - before)
                before = now

        measuring = asyncio.create_task(measure())
        got = 0

        def count(_message: Message) -> None:
            nonlocal got
            got += 1

        await connection.fetch("1:*", "UID FLAGS MODSEQ RFC822.SIZE", on_message=count)
        measuring.cancel()
        assert got == 40_000
        assert sorted(gaps)[-3] < 0.05  # 20 ms is the aim; the machine may be busy with others
        connection.close()
