"""The Authorization header."""

from __future__ import annotations

import base64

import orjson
import pytest

from gateway.auth import Unauthorized
from gateway.auth.header import Basic, Bearer, claims, parse
from gateway.secret import Secret


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (basic("ann@example.com:pw"), Basic("ann@example.com", Secret("pw"))),
        (basic("ann:p:w: "), Basic("ann", Secret("p:w: "))),
        (basic("jörg:пароль"), Basic("jörg", Secret("пароль"))),
        (basic("a:b").replace("Basic", "bAsIc  "), Basic("a", Secret("b"))),
        ("Bearer abc.d_e-f~+/==", Bearer(Secret("abc.d_e-f~+/=="))),
        ("bearer x", Bearer(Secret("x"))),
    ],
)
def test_well_formed(value: str, expected: Basic | Bearer) -> None:
    """Scheme names have no case; a password may hold colons and any script (RFC 7617)."""
    assert parse(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic YQ=",
        "Basic ä",
        basic("nocolon"),
        basic(":pw"),
        basic("ann:"),
        basic(b"ann:\xff\xfe"),
        basic("an\nn:pw"),
        basic("ann:p\0w"),
        basic("ann:p\x01w"),
        basic("a" * 600 + ":b"),
        basic("a:" + "b" * 5000),
        "Bearer",
        "Bearer a b",
        "Bearer a\x00",
        "Bearer " + "a" * 20_000,
        "Digest username=x",
        "Negotiate abc",
    ],
)
def test_malformed(value: str) -> None:
    """What is malformed is refused before anybody is asked; so is an empty password."""
    with pytest.raises(Unauthorized) as caught:
        parse(value)
    assert "pw" not in str(caught.value)


def jwt(payload: object) -> Secret:
    middle = base64.urlsafe_b64encode(orjson.dumps(payload)).decode().rstrip("=")
    return Secret(f"e30.{middle}.sig")


@pytest.mark.parametrize(
    ("payload", "login"),
    [
        ({"email": "a@x", "sub": "1"}, "a@x"),
        ({"preferred_username": "a@x"}, "a@x"),
        ({"sub": "not-an-address"}, None),
        ({"email": 5, "upn": "b@x"}, "b@x"),
        ({"email": "a@x\nb"}, None),
        ([1], None),
    ],
)
def test_claims(payload: object, login: str | None) -> None:
    """The first claim that is an address is the login."""
    assert claims(jwt(payload)).login == login


def test_opaque_tokens_claim_nothing() -> None:
    for token in ("opaque", "a.b.c", "a.e30=.c", "..", "a.%%%.c"):
        assert claims(Secret(token)) == (None, None)
