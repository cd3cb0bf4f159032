"""`upstream.managesieve.connection`, `login` and `keeper` before a server that does as it is told."""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.secret import Secret
from gateway.upstream.managesieve import (
    AuthenticationFailed,
    CommandFailed,
    ConnectError,
    Disconnected,
    Keeper,
    ManageSieveError,
    NameRefused,
    ProtocolViolation,
    ServerBye,
    Timeout,
)
from gateway.upstream.sasl import OAuthCredentials, PasswordCredentials
from tests.upstream.managesieve.scripted import CREDENTIALS, GREETING, QUICK, Peer, connect, serve
from tests.upstreams.certificates import make_certificates


async def test_responses_in_order() -> None:
    """Commands that are sent at once are answered in their order, whatever their length."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        commands = [await peer.command() for _ in range(3)]
        assert commands == [b'GETSCRIPT "a"', b'GETSCRIPT "b"', b"LISTSCRIPTS"]
        peer.send(b'{5}\r\nkeep;\r\nOK\r\nNO (NONEXISTENT) "gone"\r\n"a" ACTIVE\r\n{1}\r\nb\r\nOK "x"\r\n')
        await peer.command()

    async with serve(script) as endpoint:
        connection = await connect(endpoint)
        first, second, listed = await asyncio.gather(
            connection.get_script("a"), connection.get_script("b"), connection.list_scripts(), return_exceptions=True
        )
        assert first == b"keep;"
        assert isinstance(second, CommandFailed)
        assert second.code == "NONEXISTENT"
        assert listed == [("a", True), ("b", False)]
        connection.close()


@pytest.mark.parametrize(
    ("credentials", "offered", "mechanism", "message"),
    [
        (CREDENTIALS, b"PLAIN", "PLAIN", b"\0alice\0sesame"),
        (PasswordCredentials("master", Secret("m"), authzid="bob"), b"PLAIN", "PLAIN", b"bob\0master\0m"),
        (
            OAuthCredentials("alice", Secret("token")),
            b"PLAIN XOAUTH2",
            "XOAUTH2",
            b"user=alice\x01auth=Bearer token\x01\x01",
        ),
    ],
)
async def test_mechanisms(
    credentials: PasswordCredentials | OAuthCredentials, offered: bytes, mechanism: str, message: bytes
) -> None:
    """The credentials choose the mechanism; a master login acts for another."""
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        peer.send(GREETING.replace(b'"PLAIN"', b'"%b"' % offered))
        seen.append(await peer.answer(b"AUTHENTICATE"))
        await peer.answer(b"CAPABILITY", GREETING)
        await peer.command()

    async with serve(script) as endpoint:
        (await connect(endpoint, credentials)).close()
    assert seen == [b'AUTHENTICATE "%b" "%b"' % (mechanism.encode(), base64.b64encode(message))]


async def test_a_refused_token_is_answered_once_more() -> None:
    """OAUTHBEARER tells its failure in a challenge, which wants a dummy answer (RFC 7628 section 3.2.3)."""
    answers: list[bytes] = []

    async def script(peer: Peer) -> None:
        peer.send(GREETING.replace(b'"PLAIN"', b'"OAUTHBEARER"'))
        await peer.answer(b"AUTHENTICATE", b'"eyJzdGF0dXMiOiI0MDEifQ=="\r\n')
        answers.append(await peer.command())
        peer.send(b'NO (AUTH-TOO-WEAK) "refused"\r\n')

    async with serve(script) as endpoint:
        with pytest.raises(AuthenticationFailed) as refused:
            await connect(endpoint, OAuthCredentials("alice", Secret("hunter2")))
    assert answers == [b'"AQ=="']
    assert "hunter2" not in repr(refused.value)


async def test_no_way_to_log_in_sends_nothing() -> None:
    """A password is not shown to a server that offers no PLAIN."""

    async def script(peer: Peer) -> None:
        peer.send(GREETING.replace(b'"PLAIN"', b'"GSSAPI"'))
        with pytest.raises(EOFError):
            await peer.command()

    async with serve(script) as endpoint:
        with pytest.raises(AuthenticationFailed):
            await connect(endpoint)


async def test_try_later_is_no_verdict() -> None:
    """TRYLATER at the login says nothing about the password."""

    async def script(peer: Peer) -> None:
        peer.send(GREETING)
        await peer.answer(b"AUTHENTICATE", b'NO (TRYLATER) "busy"\r\n')

    async with serve(script) as endpoint:
        with pytest.raises(ConnectError):
            await connect(endpoint)


@pytest.mark.parametrize("greeting", [b"", b'BYE "no"\r\n', b'NO "no"\r\n', b"* OK IMAP4rev1 ready\r\n", b"\r\n"])
async def test_greetings_that_are_none(greeting: bytes) -> None:
    """A server that does not greet, or is something else, costs a named error."""

    async def script(peer: Peer) -> None:
        peer.send(greeting)
        await asyncio.sleep(1)

    async with serve(script) as endpoint:
        with pytest.raises(ManageSieveError):
            await connect(endpoint)


@pytest.fixture
def tls_context(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    files = make_certificates(tmp_path, domain="mail.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context, str(files.ca)


async def test_what_was_said_in_clear_is_forgotten(tls_context: tuple[ssl.SSLContext, str]) -> None:
    """After STARTTLS the capabilities are those of the second greeting, and the password goes out under TLS only."""
    context, ca = tls_context
    in_clear = b'"IMPLEMENTATION" "evil"\r\n"SIEVE" "evil"\r\n"SASL" "PLAIN"\r\n"STARTTLS"\r\nOK\r\n'

    async def script(peer: Peer) -> None:
        peer.send(in_clear)
        await peer.answer(b"STARTTLS")
        await peer.start_tls(context)
        peer.send(GREETING)
        await peer.answer(b"AUTHENTICATE")
        await peer.answer(b"CAPABILITY", GREETING)
        await peer.command()

    async with serve(script) as endpoint:
        connection = await connect(replace(endpoint, host="localhost", security="starttls", ca_file=ca))
        assert connection.capabilities.implementation == "test"
        connection.close()


@pytest.mark.parametrize("injected", [b"OK\r\n", b'"SASL" "PLAIN"\r\n', b"x"])
async def test_octets_behind_starttls_are_refused(injected: bytes, tls_context: tuple[ssl.SSLContext, str]) -> None:
    """Who puts octets behind the OK of STARTTLS is never believed, nor given a password."""
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        peer.send(GREETING.replace(b"OK", b'"STARTTLS"\r\nOK'))
        await peer.answer(b"STARTTLS", b"OK\r\n" + injected)
        seen.append(await peer.reader.read())

    async with serve(script) as endpoint:
        with pytest.raises(ProtocolViolation):
            await connect(replace(endpoint, host="localhost", security="starttls", ca_file=tls_context[1]))
        await asyncio.sleep(0.05)
    assert all(b"AUTHENTICATE" not in octets for octets in seen)


@pytest.mark.parametrize("answer", [b"NO\r\n", None])
async def test_tls_is_not_optional(answer: bytes | None) -> None:
    """Without STARTTLS there is no login."""

    async def script(peer: Peer) -> None:
        peer.send(GREETING if answer is None else GREETING.replace(b"OK", b'"STARTTLS"\r\nOK'))
        if answer is not None:
            await peer.answer(b"STARTTLS", answer)
        with pytest.raises(EOFError):
            await peer.command()

    async with serve(script) as endpoint:
        with pytest.raises(ConnectError):
            await connect(replace(endpoint, security="starttls"))


async def test_silence_and_goodbye() -> None:
    """A silent server costs a named timeout, a BYE its reason; the connection is over either way."""

    async def silent(peer: Peer) -> None:
        await peer.greet()
        await asyncio.sleep(5)

    async with serve(silent) as endpoint:
        connection = await connect(endpoint)
        with pytest.raises(Timeout):
            await connection.list_scripts()
        assert connection.is_closed

    async def leaving(peer: Peer) -> None:
        await peer.greet()
        await peer.answer(b"LISTSCRIPTS", b'BYE (TRYLATER) "shutting down"\r\n')

    async with serve(leaving) as endpoint:
        connection = await connect(endpoint)
        with pytest.raises(ServerBye, match="shutting down"):
            await connection.list_scripts()
        with pytest.raises(Disconnected):
            await connection.list_scripts()


@pytest.mark.parametrize("octets", [b'"unasked"\r\n', b"OK\r\nOK\r\n", b'"a"\r\n' * 10_001, b"ACTIVE\r\nOK\r\n"])
async def test_answers_that_make_no_sense(octets: bytes) -> None:
    """Nonsense ends the connection with a violation, or costs the command."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.answer(b"LISTSCRIPTS", octets)
        await asyncio.sleep(1)

    async with serve(script) as endpoint:
        connection = await connect(endpoint)

        async def twice() -> None:
            await connection.list_scripts()
            await connection.list_scripts()

        with pytest.raises(ManageSieveError):
            await twice()
        connection.close()


OLD = GREETING.replace(b'"VERSION" "1.0"\r\n', b"")


async def test_a_rename_where_there_is_none() -> None:
    """Without RENAMESCRIPT the copy is there and active before the old one goes."""
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.greet(OLD)
        await peer.answer(b"LISTSCRIPTS", b'"a" ACTIVE\r\n"b"\r\nOK\r\n')
        await peer.answer(b"GETSCRIPT", b"{5}\r\nkeep;\r\nOK\r\n")
        while True:
            seen.append(await peer.answer(b""))

    async with serve(script) as endpoint:
        connection = await connect(endpoint)
        await connection.rename_script("a", "c")
        connection.close()
    assert seen == [b'HAVESPACE "c" 5', b'PUTSCRIPT "c" {5+}\r\nkeep;', b'SETACTIVE "c"', b'DELETESCRIPT "a"']


@pytest.mark.parametrize(("name", "new_name", "code"), [("x", "c", "NONEXISTENT"), ("a", "b", "ALREADYEXISTS")])
async def test_a_rename_that_cannot_be(name: str, new_name: str, code: str) -> None:
    """The refusals of RENAMESCRIPT are the same without it."""

    async def script(peer: Peer) -> None:
        await peer.greet(OLD)
        await peer.answer(b"LISTSCRIPTS", b'"a" ACTIVE\r\n"b"\r\nOK\r\n')
        with pytest.raises(EOFError):
            await peer.command()

    async with serve(script) as endpoint:
        connection = await connect(endpoint)
        with pytest.raises(CommandFailed) as refused:
            await connection.rename_script(name, new_name)
        assert refused.value.code == code
        connection.close()


@pytest.mark.parametrize("answer", [b"OK\r\n", b'NO "line 1: error"\r\n'])
async def test_a_check_where_there_is_none(answer: bytes) -> None:
    """Without CHECKSCRIPT a script is put under a name of its own, and taken away if it was taken."""
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.greet(OLD)
        seen.append(await peer.answer(b"HAVESPACE"))
        seen.append(await peer.answer(b"PUTSCRIPT", answer))
        seen.append(await peer.answer(b"DELETESCRIPT"))

    async with serve(script) as endpoint:
        connection = await connect(endpoint)
        if answer.startswith(b"OK"):
            assert await connection.check_script(b"keep;") == ""
        else:
            with pytest.raises(CommandFailed, match="line 1: error"):
                await connection.check_script(b"keep;")
        connection.close()
    assert len(seen) == (3 if answer.startswith(b"OK") else 2)
    assert {command.split()[1] for command in seen} == {seen[0].split()[1]}


async def test_a_name_that_is_refused_costs_no_script() -> None:
    """A script goes out only when its name is taken: Cyrus would read it as commands. A refusal ends the connection."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.answer(b"HAVESPACE", b'NO "Invalid script name"\r\n')
        await peer.answer(b"HAVESPACE", b'NO (QUOTA/MAXSCRIPTS) "five"\r\n')
        await peer.answer(b"HAVESPACE")
        await peer.answer(b"PUTSCRIPT", b'NO "line 1: error"\r\n')
        with pytest.raises(EOFError):
            await peer.command()

    async with serve(script) as endpoint:
        connection = await connect(endpoint)
        with pytest.raises(NameRefused):
            await connection.put_script("x/y", b'DELETESCRIPT "a"\r\n')
        with pytest.raises(CommandFailed) as refused:
            await connection.put_script("x", b"keep;")
        assert refused.value.is_code("QUOTA")
        with pytest.raises(CommandFailed, match="line 1"):
            await connection.put_script("x", b"kep;")
        assert connection.is_closed


async def test_a_name_that_is_listed_badly() -> None:
    """Cyrus 3.6 lists a name with a quote in it unescaped."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.answer(b"LISTSCRIPTS", b'"a"b\\c" ACTIVE\r\n"a "b" c"\r\n"plain"\r\nOK\r\n')

    async with serve(script) as endpoint:
        connection = await connect(endpoint)
        assert await connection.list_scripts() == [('a"b\\c', True), ('a "b" c', False), ("plain", False)]


async def test_one_connection_is_kept_and_closed() -> None:
    """Work in turn uses one connection; one that is idle is closed; the next is a new one."""
    connections = 0

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.greet()
        while True:
            await peer.answer(b"")

    async with serve(script) as endpoint:
        keeper = Keeper(endpoint, lambda: CREDENTIALS, timeouts=QUICK)

        async def work() -> None:
            async with keeper.connection() as connection:
                await connection.set_active("a")

        await asyncio.gather(work(), work(), work())
        assert connections == 1
        await asyncio.sleep(QUICK.idle_s * 2)
        await work()
        assert connections == 2
        await keeper.aclose()


async def test_a_refused_password_is_not_tried_again() -> None:
    """The same credentials are not shown twice in a row; others are, at once."""
    logins = 0
    credentials = CREDENTIALS

    async def script(peer: Peer) -> None:
        nonlocal logins
        logins += 1
        peer.send(GREETING)
        await peer.answer(b"AUTHENTICATE", b"OK\r\n" if credentials is not CREDENTIALS else b"NO\r\n")
        while True:
            await peer.answer(b"")

    async with serve(script) as endpoint:
        keeper = Keeper(endpoint, lambda: credentials, timeouts=QUICK)
        for _ in range(3):
            with pytest.raises(AuthenticationFailed):
                async with keeper.connection():
                    pass
        assert logins == 1
        credentials = PasswordCredentials("alice", Secret("another"))
        async with keeper.connection() as connection:
            await connection.noop()
        assert logins == 2
        await keeper.aclose()
