"""From the greeting to an authenticated connection."""

from __future__ import annotations

import pytest

from gateway.secret import Secret
from gateway.upstream.imap import (
    AuthenticationFailed,
    ConnectError,
    Connection,
    Endpoint,
    ImapError,
    OAuthCredentials,
    PasswordCredentials,
    ProtocolViolation,
)
from tests.upstream.imap.scripted import QUICK, Peer, connect, hang, serve


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
