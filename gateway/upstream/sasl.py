"""How a login proves itself: SASL PLAIN (RFC 4616), OAUTHBEARER (RFC 7628), XOAUTH2, and IMAP's own LOGIN. No I/O.

Rule 1: the strongest mechanism that the server offers is chosen, once; a refused one is never followed by another, for
    a second wrong password may lock the account.
Rule 2: nothing here prints: credentials stay `Secret` until the octets for the wire are built.
Rule 3: a login, an authzid or a secret with CR, LF or NUL is refused before anything is sent.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from gateway.secret import Secret

Mechanism = Literal["PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"]  # LOGIN: the IMAP command, not the SASL mechanism
_FORBIDDEN = frozenset("\r\n\0\x01")  # \x01 separates the fields of the OAuth mechanisms


class NoMechanism(Exception):
    """The server offers no way to log in with these credentials over this connection."""


@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    """A login with its password; `authzid` is whom to act as, when the login is a master login (RFC 4616)."""

    login: str
    password: Secret
    authzid: str | None = None

    def __post_init__(self) -> None:
        _check(self.login, self.password.reveal(), self.authzid or "")


@dataclass(frozen=True, slots=True)
class OAuthCredentials:
    """A login with an OAuth 2.0 access token."""

    login: str
    token: Secret

    def __post_init__(self) -> None:
        _check(self.login, self.token.reveal())


Credentials = PasswordCredentials | OAuthCredentials


def choose(credentials: Credentials, capabilities: Collection[str]) -> Mechanism:
    """Return the mechanism for these IMAP capabilities (upper case), or raise `NoMechanism`."""
    if isinstance(credentials, OAuthCredentials):
        if "AUTH=OAUTHBEARER" in capabilities:
            return "OAUTHBEARER"
        if "AUTH=XOAUTH2" in capabilities:
            return "XOAUTH2"
        raise NoMechanism("the server offers neither OAUTHBEARER nor XOAUTH2")
    if "AUTH=PLAIN" in capabilities:
        return "PLAIN"
    if credentials.authzid is not None:
        raise NoMechanism("acting for another login needs AUTHENTICATE PLAIN, which the server does not offer")
    if "LOGINDISABLED" in capabilities:
        raise NoMechanism("the server allows no LOGIN on this connection (LOGINDISABLED)")
    return "LOGIN"


def initial_response(credentials: Credentials, mechanism: Mechanism, *, host: str = "", port: int = 0) -> bytes:
    """Return the first client message of a SASL mechanism, not yet in base64."""
    if isinstance(credentials, OAuthCredentials):
        token = credentials.token.reveal()
        if mechanism == "XOAUTH2":
            return f"user={credentials.login}\x01auth=Bearer {token}\x01\x01".encode()
        login = credentials.login.replace("=", "=3D").replace(",", "=2C")  # saslname, RFC 5801 section 4
        return f"n,a={login},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01".encode()
    return "\0".join((credentials.authzid or "", credentials.login, credentials.password.reveal())).encode()


def answer_challenge(mechanism: Mechanism) -> bytes:
    """Return the reply to a second challenge: both OAuth mechanisms report failure in one and want a dummy reply.

    RFC 7628 section 3.2.3 asks for a single \\x01; XOAUTH2 for an empty line.
    """
    return b"\x01" if mechanism == "OAUTHBEARER" else b""


def to_base64(message: bytes) -> bytes:
    """Encode a SASL message for an IMAP or SMTP line; an empty initial response is `=` (RFC 4959 section 3)."""
    return base64.b64encode(message) or b"="


def _check(*values: str) -> None:
    if any(_FORBIDDEN.intersection(value) for value in values):
        raise ValueError("a login or a secret holds CR, LF, NUL or \\x01")
