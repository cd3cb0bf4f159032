"""Mechanisms, their messages, and that nothing prints a secret."""

from __future__ import annotations

import base64

import pytest

from gateway.secret import Secret
from gateway.upstream import sasl
from gateway.upstream.sasl import NoMechanism, OAuthCredentials, PasswordCredentials

PASSWORD = PasswordCredentials("alice", Secret("sesame"))
MASTER = PasswordCredentials("master", Secret("sesame"), authzid="bob")
TOKEN = OAuthCredentials("a=l,ice@example.com", Secret("t0ken"))


@pytest.mark.parametrize(
    ("credentials", "capabilities", "mechanism"),
    [
        (PASSWORD, {"AUTH=PLAIN", "AUTH=LOGIN"}, "PLAIN"),
        (PASSWORD, {"AUTH=PLAIN", "LOGINDISABLED"}, "PLAIN"),
        (PASSWORD, {"AUTH=LOGIN"}, "LOGIN"),
        (PASSWORD, set(), "LOGIN"),
        (MASTER, {"AUTH=PLAIN"}, "PLAIN"),
        (TOKEN, {"AUTH=XOAUTH2", "AUTH=OAUTHBEARER"}, "OAUTHBEARER"),
        (TOKEN, {"AUTH=XOAUTH2"}, "XOAUTH2"),
    ],
)
def test_choice(credentials: sasl.Credentials, capabilities: set[str], mechanism: str) -> None:
    """The best that both sides know."""
    assert sasl.choose(credentials, capabilities) == mechanism


@pytest.mark.parametrize(
    ("credentials", "capabilities"),
    [(PASSWORD, {"LOGINDISABLED"}), (MASTER, {"AUTH=LOGIN"}), (TOKEN, {"AUTH=PLAIN"})],
)
def test_no_choice(credentials: sasl.Credentials, capabilities: set[str]) -> None:
    """LOGINDISABLED is respected; LOGIN cannot act for others; a token is never sent as a password."""
    with pytest.raises(NoMechanism):
        sasl.choose(credentials, capabilities)


def test_messages() -> None:
    """As RFC 4616 and RFC 7628 spell them."""
    assert sasl.initial_response(PASSWORD, "PLAIN") == b"\0alice\0sesame"
    assert sasl.initial_response(MASTER, "PLAIN") == b"bob\0master\0sesame"
    bearer = sasl.initial_response(TOKEN, "OAUTHBEARER", host="mail.example.com", port=993)
    assert bearer == (b"n,a=a=3Dl=2Cice@example.com,\x01host=mail.example.com\x01port=993\x01auth=Bearer t0ken\x01\x01")
    assert sasl.initial_response(TOKEN, "XOAUTH2") == b"user=a=l,ice@example.com\x01auth=Bearer t0ken\x01\x01"
    assert base64.b64decode(sasl.to_base64(b"\0a\0b")) == b"\0a\0b"
    assert sasl.to_base64(b"") == b"="


@pytest.mark.parametrize("odd", ["a\r\nb", "a\nb", "a\0b", "a\x01b"])
def test_injection(odd: str) -> None:
    """Logins and secrets cannot add fields or lines."""
    with pytest.raises(ValueError, match="CR, LF"):
        PasswordCredentials(odd, Secret("x"))
    with pytest.raises(ValueError, match="CR, LF"):
        PasswordCredentials("x", Secret("x"), authzid=odd)
    with pytest.raises(ValueError, match="CR, LF"):
        OAuthCredentials("x", Secret(odd))


def test_nothing_prints() -> None:
    """A repr of credentials holds no secret."""
    assert "sesame" not in f"{PASSWORD!r} {MASTER}"
    assert "t0ken" not in repr(TOKEN)
