"""The same against Dovecot's submission service: TLS in both ways, logins, and what it offers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.secret import Secret
from gateway.upstream.sasl import PasswordCredentials
from gateway.upstream.smtp import Address, Envelope, LoginRefused, Message, Reply, SmtpError, SmtpServer
from gateway.upstream.tls import Endpoint
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream


async def octets() -> AsyncIterator[bytes]:
    yield b"Subject: x\r\n\r\n.\r\nbody\r\n"


async def nothing(_replies: dict[str, Reply]) -> None:
    pass


def server(upstream: Upstream, security: Any, *, ca: bool = True) -> SmtpServer:
    port = upstream.ports["submissions" if security == "tls" else "submission"]
    return SmtpServer(Endpoint("localhost", port, security, ca_file=str(upstream.ca_file) if ca else None))


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_message_over_tls(dovecot: Upstream, smtp_sink: SmtpSink, security: str) -> None:
    login = dovecot.fresh_login()
    to = f"x@{login}.example"
    credentials = PasswordCredentials(login, Secret(dovecot.password))
    envelope = Envelope(Address(f"{login}@mail.test"), (Address(to, {"NOTIFY": "FAILURE"}),))
    its = server(dovecot, security)
    submitted = await its.submit(credentials, envelope, Message(octets, 24), nothing)
    assert submitted.reply.is_good
    assert smtp_sink.to(to)[0].octets.endswith(b"\r\n\r\n.\r\nbody\r\n")
    assert its.ehlo is not None
    assert its.ehlo.offers("DSN")


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_an_unknown_authority_is_refused(dovecot: Upstream, security: str) -> None:
    with pytest.raises(SmtpError) as raised:
        await server(dovecot, security, ca=False).learn()
    assert raised.value.stage in ("connect", "tls")


async def test_a_wrong_password(dovecot: Upstream) -> None:
    credentials = PasswordCredentials(dovecot.fresh_login(), Secret("wrong-secret"))
    with pytest.raises(LoginRefused) as raised:
        await server(dovecot, "tls").verify(credentials)
    assert "wrong-secret" not in repr(raised.value)


async def test_the_relay_is_away(dovecot: Upstream, smtp_sink: SmtpSink) -> None:
    """Dovecot says so where it notices: the message is not sent, and may be tried again."""
    login = dovecot.fresh_login()
    credentials = PasswordCredentials(login, Secret(dovecot.password))
    envelope = Envelope(Address(f"{login}@mail.test"), (Address(f"x@{login}.example"),))
    with smtp_sink.faulty(greeting={"cut": True}), pytest.raises(SmtpError) as raised:
        await server(dovecot, "tls").submit(credentials, envelope, Message(octets, 24), nothing)
    assert not raised.value.is_permanent
    assert smtp_sink.to(f"x@{login}.example") == []
