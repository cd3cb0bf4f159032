"""TLS against a real Dovecot: verified, or not at all."""

from __future__ import annotations

import ssl

import pytest

from gateway.secret import Secret
from gateway.upstream import tls
from gateway.upstream.imap import ConnectError, Connection, Endpoint, PasswordCredentials
from tests.upstreams.upstream import Upstream


def test_verified_by_default() -> None:
    """Certificates and names are checked; TLS 1.2 is the floor; a context is made once."""
    context = tls.client_context(Endpoint("x", 1))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert tls.client_context(Endpoint("y", 2)) is context
    assert tls.client_context(Endpoint("x", 1, verify=False)).verify_mode is ssl.CERT_NONE


def test_missing_ca_file() -> None:
    """A CA file that is not there is an OSError, not a silent fallback."""
    with pytest.raises(OSError, match=r"."):
        tls.client_context(Endpoint("x", 1, ca_file="/nonexistent.pem"))


@pytest.mark.upstream
@pytest.mark.parametrize(("security", "port"), [("tls", "imaps"), ("starttls", "imap")])
async def test_own_ca(dovecot: Upstream, security: tls.Security, port: str) -> None:
    """With its CA the server is believed, without it or under another name it is not."""
    credentials = PasswordCredentials(dovecot.users[0], Secret(dovecot.password))
    believed = Endpoint("localhost", dovecot.ports[port], security, ca_file=str(dovecot.ca_file))
    connection = await Connection.open(believed, credentials)
    assert "IMAP4REV1" in connection.capabilities
    await connection.logout()
    with pytest.raises(ConnectError):
        await Connection.open(Endpoint("localhost", dovecot.ports[port], security), credentials)
    with pytest.raises(ConnectError):
        await Connection.open(
            Endpoint("127.0.0.2", dovecot.ports[port], security, ca_file=str(dovecot.ca_file)), credentials
        )
