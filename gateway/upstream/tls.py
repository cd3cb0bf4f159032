"""TLS towards the upstream: which certificates are believed, and how. Used by IMAP, SMTP and ManageSieve alike.

Rule 1: verified by default, hostname included; `verify=False` is for laboratories and is never a fallback.
Rule 2: TLS 1.2 is the floor (RFC 8314 section 4.1, RFC 9325).
"""

from __future__ import annotations

import ssl
from asyncio import sslproto
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

# asyncio gives each TLS connection a buffer of 256 KiB, once and for all, and OpenSSL's copy grows with what one read
# brings: most of what an idle connection costs. Half a TLS record (RFC 8446 section 5.1) costs a bulk transfer 2 %.
sslproto.SSLProtocol.max_size = 8 * 1024

Security = Literal["tls", "starttls", "none"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One port of one upstream server."""

    host: str
    port: int
    security: Security = "tls"  # "none" sends the password in clear: for loopback only
    ca_file: str | None = None  # PEM; believed instead of the system's certificates
    verify: bool = True


@lru_cache(maxsize=64)
def _context(ca_file: str | None, verify: bool) -> ssl.SSLContext:
    # Loading the system's certificates takes 20 ms and more: once per setting, not once per connection.
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def client_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the (shared) context for an endpoint; raise OSError when its CA file cannot be read."""
    return _context(endpoint.ca_file, endpoint.verify)
