"""How often one may be wrong: token buckets per login, per peer, and per both.

Rule 1: an attempt takes a token before the upstream is asked, and gets it back unless the credentials were wrong, so
        that a burst of parallel guesses is bounded too.
Rule 2: a login that is being guessed at from elsewhere stays open to its owner's network: the bucket of the login
        alone is wider than that of a login and a peer together.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from gateway.auth.caller import TooManyAttempts

MAX_BUCKETS = 50_000  # about 10 MB; the one not used for longest goes first, and it is the fullest


class Rate(NamedTuple):
    burst: float  # wrong attempts in a row
    per_s: float  # then so many a second


BOTH = Rate(10, 1 / 10)  # one login from one network: a person with an old password in two clients
LOGIN = Rate(50, 1 / 2)  # one login from anywhere
PEER = Rate(50, 1 / 2)  # one network, any login: an office behind one address


class Attempts:
    """Count wrong attempts. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # key -> (tokens, at)

    def take(self, login: str, peer: str) -> None:
        """Take a token for an attempt, or raise `TooManyAttempts`."""
        now = self._clock()
        keys = _keys(login, peer)
        levels = [self._level(key, rate, now) for key, rate in keys]
        wait_s = max((1 - level) / rate.per_s for level, (_key, rate) in zip(levels, keys, strict=True))
        if wait_s > 0:
            raise TooManyAttempts(wait_s)
        for (key, _rate), level in zip(keys, levels, strict=True):
            self._put(key, level - 1, now)

    def give_back(self, login: str, peer: str) -> None:
        """Return the token of an attempt that was not wrong."""
        now = self._clock()
        for key, rate in _keys(login, peer):
            self._put(key, min(rate.burst, self._level(key, rate, now) + 1), now)

    def _level(self, key: Hashable, rate: Rate, now: float) -> float:
        tokens, at = self._buckets.get(key, (rate.burst, now))
        return min(rate.burst, tokens + (now - at) * rate.per_s)

    def _put(self, key: Hashable, tokens: float, now: float) -> None:
        self._buckets[key] = (tokens, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)


def _keys(login: str, peer: str) -> list[tuple[Hashable, Rate]]:
    login, network = login.lower(), network_of(peer)
    return [(("both", login, network), BOTH), (("login", login), LOGIN), (("peer", network), PEER)]


def network_of(peer: str) -> str:
    """Return what one customer of a provider holds: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.version == 4:
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
