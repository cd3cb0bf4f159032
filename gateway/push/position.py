"""How far a client has been told: a short string that stands for the states of all types of all its accounts.

It is an EventSource's event id (RFC 8620 section 7.3), a WebSocket's `pushState` (RFC 8887 section 4.3.5) and what is
remembered of a push subscription.

Rule 1: it needs no memory here: one digest for each (account, type, state). What has another digest now has changed.
Rule 2: one that is foreign, cut short or too old only says that too much has changed, never too little.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from hashlib import blake2b

DIGEST_OCTETS = 6  # 48 bits: a change whose digest is that of the state before happens once in 10**14
DIGEST_CHARS = 8
MAX_CHARS = 8192  # a header line; a thousand types of accounts. What does not fit is told once too often


def digest(account_id: str, type: str, state: str) -> str:
    """Return the digest of one state."""
    octets = blake2b(f"{account_id} {type} {state}".encode(), digest_size=DIGEST_OCTETS).digest()
    return urlsafe_b64encode(octets).decode("ascii")


def position(digests: Iterable[str]) -> str:
    """Return the position that all these digests make."""
    return "".join(digests)[:MAX_CHARS]


def digests(position: str) -> frozenset[str]:
    """Return the digests in a position, whoever wrote it."""
    position = position[:MAX_CHARS]
    return frozenset(position[at : at + DIGEST_CHARS] for at in range(0, len(position), DIGEST_CHARS))
