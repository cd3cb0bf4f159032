"""A ticket for the event source: what a browser's EventSource, which sends no Authorization, brings in its URL.

Rule 1: it names one account, ends after a while, and is good for state events only: whoever finds it in a log learns
        when mail comes, and nothing of the mail.
Rule 2: nothing is kept of it. A login that the mail server refuses ends the tickets given out before.

Ticket: base64url of octet 1 (version) · 4 of expiry · 4 of issue (seconds since 1970) · account id · 16 of keyed hash.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from gateway.auth.caller import Unauthorized

LIFETIME_S = 24 * 3600  # a page that is open for longer gets the Session again anyway
MAX_CHARS = 256
MAX_REVOKED = 10_000  # accounts; an entry means nothing once the tickets before it have expired
_VERSION = 1
_HEAD = struct.Struct(">BII")
_HASH_OCTETS = 16


class TicketClaim(NamedTuple):
    account_id: str
    expires_at_s: float


class Tickets:
    """Issue and check tickets. `key`: 32 octets, the same after a restart and on every node."""

    def __init__(self, key: bytes, *, lifetime_s: int = LIFETIME_S, clock: Callable[[], float] = time.time) -> None:
        self._key, self._lifetime_s, self._clock = key, lifetime_s, clock
        self._revoked_at_s: OrderedDict[str, float] = OrderedDict()

    def issue(self, account_id: str, *, expires_at_s: float | None = None) -> str:
        """Return a new ticket; it lasts no longer than the login that it is given for."""
        now = int(self._clock())
        until = now + self._lifetime_s
        if expires_at_s is not None:
            until = min(until, int(expires_at_s))
        body = _HEAD.pack(_VERSION, until, now) + account_id.encode()
        return base64.urlsafe_b64encode(body + self._hash(body)).decode("ascii").rstrip("=")

    def check(self, ticket: str) -> TicketClaim:
        """Return what the ticket is good for, or raise `Unauthorized`."""
        try:
            octets = base64.urlsafe_b64decode(ticket[:MAX_CHARS] + "=" * (-len(ticket) % 4))
        except (binascii.Error, ValueError):
            raise Unauthorized("the ticket is malformed") from None
        body, found = octets[:-_HASH_OCTETS], octets[-_HASH_OCTETS:]
        if len(body) <= _HEAD.size or not hmac.compare_digest(found, self._hash(body)):
            raise Unauthorized("the ticket is not one of this gateway")
        version, until, issued = _HEAD.unpack_from(body)
        account_id = body[_HEAD.size :].decode("utf-8", "replace")
        if version != _VERSION or until <= self._clock() or issued <= self._revoked_at_s.get(account_id, 0):
            raise Unauthorized("the ticket has expired")
        return TicketClaim(account_id, float(until))

    def revoke(self, account_id: str) -> None:
        """End the tickets that this account has been given so far."""
        self._revoked_at_s[account_id] = self._clock()
        self._revoked_at_s.move_to_end(account_id)
        if len(self._revoked_at_s) > MAX_REVOKED:
            self._revoked_at_s.popitem(last=False)

    def _hash(self, body: bytes) -> bytes:
        return blake2b(body, key=self._key, digest_size=_HASH_OCTETS, person=b"event ticket").digest()
