"""Who is calling, and the reasons why that cannot be told."""

from __future__ import annotations

from base64 import b32encode
from dataclasses import dataclass, field
from hashlib import blake2b

from gateway.upstream.sasl import Credentials


@dataclass(frozen=True, slots=True)
class Caller:
    """A proven login. `credentials` are what the gateway logs in upstream with on its behalf; they do not print."""

    login: str
    upstream: str
    account_id: str
    credentials: Credentials = field(repr=False, compare=False)
    expires_at_s: float | None = field(default=None, compare=False)  # of a token that tells it; seconds since 1970


class AuthError(Exception):
    """The caller is not known (yet). The text is fit for a client and a log."""


class Unauthorized(AuthError):
    """No credentials, malformed ones or wrong ones: always the same answer, 401."""


class TooManyAttempts(AuthError):
    """Too many wrong attempts from here or on this login."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many attempts to log in")
        self.retry_after_s = retry_after_s


class UpstreamUnavailable(AuthError):
    """The mail server cannot be asked now: this says nothing of the credentials."""

    def __init__(self, detail: str, retry_after_s: float = 5.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


def account_id(key: bytes, upstream: str, login: str) -> str:
    """Return the account id of a login: a keyed hash, so that it tells nothing and is the same after a restart.

    The domain is compared without case (RFC 5321 section 2.4); the rest as it is: only the mail server knows whether
    Ann and ann are one, and taking two for one would show one's mail to the other.
    """
    local, at, domain = login.rpartition("@")
    text = f"{upstream}\0{local}{at}{domain.lower() if at else domain}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=16, person=b"account id").digest()
    return "a" + b32encode(digest).decode("ascii").rstrip("=").lower()
