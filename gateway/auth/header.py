"""The Authorization header: Basic (RFC 7617) and Bearer (RFC 6750). Pure.

Rule 1: what is malformed is `Unauthorized`, before anybody is asked.
Rule 2: an empty password is refused: directories behind mail servers take one for an anonymous bind (RFC 4513 5.1.2).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, NamedTuple

import orjson

from gateway.auth.caller import Unauthorized
from gateway.secret import Secret

MAX_LOGIN_CHARS = 512  # RFC 5321 allows 320 for an address; more is no login
MAX_PASSWORD_CHARS = 4096  # some passwords are tokens
MAX_TOKEN_CHARS = 16_384  # tokens with many claims reach a few kilobytes
LOGIN_CLAIMS = ("email", "preferred_username", "upn", "unique_name", "sub")  # of a JWT, the first that looks like one

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # b64token, RFC 6750 section 2.1
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Basic(NamedTuple):
    login: str
    password: Secret


class Bearer(NamedTuple):
    token: Secret


def parse(value: str) -> Basic | Bearer:
    """Return what an Authorization header holds, or raise `Unauthorized`."""
    scheme, _, rest = value.strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "basic":
        return _basic(rest)
    if scheme.lower() == "bearer":
        if len(rest) > MAX_TOKEN_CHARS or not _TOKEN.fullmatch(rest):
            raise Unauthorized("the Bearer token is malformed")
        return Bearer(Secret(rest))
    raise Unauthorized("this authentication scheme is not offered")


def _basic(encoded: str) -> Basic:
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise Unauthorized("the Basic credentials are not UTF-8 in base64") from None
    login, colon, password = text.partition(":")
    if not colon or not login or not password or _CONTROL.search(login) or _CONTROL.search(password):
        raise Unauthorized("the Basic credentials hold no login and password")
    if len(login) > MAX_LOGIN_CHARS or len(password) > MAX_PASSWORD_CHARS:
        raise Unauthorized("the Basic credentials are too long")
    return Basic(login, Secret(password))


class Claims(NamedTuple):
    """What a token says of itself. Nobody has checked it: the mail server will, with the login that is named here."""

    login: str | None
    expires_at_s: float | None


def claims(token: Secret) -> Claims:
    """Read the claims of a JWT (RFC 7519); both are None for an opaque token."""
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return Claims(None, None)
    try:
        payload: Any = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return Claims(None, None)
    if not isinstance(payload, dict):
        return Claims(None, None)
    expires = payload.get("exp")
    expires_at_s = float(expires) if isinstance(expires, int | float) and not isinstance(expires, bool) else None
    return Claims(login_of(payload), expires_at_s)


def login_of(payload: dict[str, Any]) -> str | None:
    """Return the login in a set of OpenID Connect claims: the first that is an address."""
    for name in LOGIN_CLAIMS:
        value = payload.get(name)
        if isinstance(value, str) and "@" in value and len(value) <= MAX_LOGIN_CHARS and not _CONTROL.search(value):
            return value
    return None
