"""What one node says of a request that it passes on to another, under a seal that only nodes can make.

Rule 1: the client's own Authorization goes with the request, and the owner of the account proves it as it would have
        itself: a login is proven and remembered at one node, and the seal vouches for no identity. What the seal is
        for: the client's address, by which attempts are counted, and the URL that it knows the gateway by.
Rule 2: only the listener for nodes takes such a request, and it never passes one on: there are no loops.
Rule 3: the seal covers the method, the URL, the Authorization and the time. It has no memory: whoever could copy a
        request from between two nodes holds the client's credentials already.

Gateway-Hop: TIME HOP MAC: seconds since 1970 · JSON in base64url · HMAC-SHA256 in hex.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable
from typing import NamedTuple

import orjson

HEADER = "Gateway-Hop"
MOVED_HEADER = "Gateway-Moved"  # with 421: nothing was done, look for the owner again
MAX_AGE_S = 30.0  # the clocks of two nodes may differ so much
MAX_VALUE_CHARS = 4096


class Hop(NamedTuple):
    """What the node knows that the client speaks to."""

    peer: str  # the client's address
    base: str | None  # the URL that the client knows the gateway by, where a proxy told it


class BadHop(Exception):
    """The header was not made by a node just now."""


class Moved(Exception):
    """This node does not serve the account (any more), and has done nothing."""


class HopSeal:
    """Seals and opens with the key that all nodes have in their store. `clock` is seconds since 1970."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key, self._clock = key, clock

    def seal(self, hop: Hop, *, method: str, path: str, authorization: str) -> str:
        """Return the header's value for a request with this raw path."""
        text = f"{int(self._clock())} {base64.urlsafe_b64encode(orjson.dumps([hop.peer, hop.base])).decode()}"
        return f"{text} {self._mac(text, method, path, authorization)}"

    def open(self, value: str, *, method: str, path: str, authorization: str) -> Hop:
        """Return what was sealed, or raise `BadHop`."""
        if len(value) > MAX_VALUE_CHARS:
            raise BadHop
        text, _, mac = value.rpartition(" ")
        expected = self._mac(text, method, path, authorization)
        if not hmac.compare_digest(mac.encode("utf-8", "replace"), expected.encode()):
            raise BadHop
        at, _, encoded = text.partition(" ")
        if abs(self._clock() - int(at)) > MAX_AGE_S:
            raise BadHop
        return Hop(*orjson.loads(base64.urlsafe_b64decode(encoded)))

    def _mac(self, text: str, method: str, path: str, authorization: str) -> str:
        sealed = "\0".join((text, method, path, authorization)).encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, sealed, "sha256").hex()
