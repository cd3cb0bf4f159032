"""Who we are to a push service: a signed token with each message (RFC 8292), the key told to clients (RFC 9749).

Rule 1: the key is made once and stays: a browser ties its subscription to it.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TOKEN_S = 12 * 3600  # section 2: at most 24 hours
RENEW_S = 3600  # a token is not used in its last hour: clocks differ
MAX_TOKENS = 1000  # push services; there are a handful, and whoever runs a private one
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (FIPS 186-5)


class Vapid:
    """The application server's key. `key`: 32 random octets, kept; `contact`: a mailto: or https: URL of ours."""

    def __init__(self, key: bytes, contact: str | None = None, clock: Callable[[], float] = time.time) -> None:
        # 256 random bits are off the curve's order by one part in 2**32: nothing that shows.
        self._key = ec.derive_private_key(int.from_bytes(key, "big") % (_ORDER - 1) + 1, ec.SECP256R1())
        self._contact, self._clock = contact, clock
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.application_server_key = _base64url(point)
        self._tokens: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def capability(self) -> dict[str, Any]:
        """Return the object of `urn:ietf:params:jmap:webpush-vapid` (RFC 9749 section 3)."""
        return {"applicationServerKey": self.application_server_key}

    def authorization(self, url: str) -> str:
        """Return the Authorization header for a message to this URL."""
        parts = urlsplit(url)
        audience = f"{parts.scheme}://{parts.netloc}"
        until, header = self._tokens.get(audience, (0.0, ""))
        now = self._clock()
        if until - RENEW_S <= now:
            until = now + TOKEN_S
            header = f"vapid t={self._token(audience, int(until))}, k={self.application_server_key}"
            self._tokens[audience] = (until, header)
            if len(self._tokens) > MAX_TOKENS:
                self._tokens.popitem(last=False)
        return header

    def _token(self, audience: str, until: int) -> str:
        claims: dict[str, Any] = {"aud": audience, "exp": until}
        if self._contact is not None:
            claims["sub"] = self._contact
        text = f"{_base64url(orjson.dumps({'typ': 'JWT', 'alg': 'ES256'}))}.{_base64url(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode("ascii").rstrip("=")
