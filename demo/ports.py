"""Loopback ports for servers that are started a moment later.

Rule 1: they are below those that Linux takes for outgoing connections (ip_local_port_range, 32768 and up): such a port
        can be gone between the moment it was found free and the moment its server listens.
Rule 2: one process draws each port once before any a second time. Processes that run side by side draw from parts of
        their own, where they say so, else from a place chosen at random.
"""

from __future__ import annotations

import itertools
import random
import socket

HOST = "127.0.0.1"
FIRST, LAST = 12_000, 32_000


def _from(first: int, last: int, start: int) -> itertools.cycle[int]:
    return itertools.cycle((*range(start, last), *range(first, start)))


_candidates = _from(FIRST, LAST, random.SystemRandom().randrange(FIRST, LAST))


def draw_from_part(number: int, count: int) -> None:
    """Draw from one of `count` equal parts from now on: each of so many processes has another `number`."""
    global _candidates
    size = (LAST - FIRST) // count
    first = FIRST + number * size
    _candidates = _from(first, first + size, random.SystemRandom().randrange(first, first + size))


def bound_port() -> socket.socket:
    """Return a socket bound to a port that nobody else has: the port is taken until the socket is closed."""
    for port in itertools.islice(_candidates, LAST - FIRST):
        held = socket.socket()  # without SO_REUSEADDR, which would share a port that is bound and not listened on
        try:
            held.bind((HOST, port))
        except OSError:
            held.close()
            continue
        return held
    raise OSError(f"no port between {FIRST} and {LAST} is free")


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with bound_port() as held:
        port: int = held.getsockname()[1]
    return port


def free_ports(count: int) -> int:
    """Return the first of so many ports in a row that nobody listens on."""
    ports = [free_port()]
    while len(ports) < count:
        port = free_port()
        ports = [*ports, port] if port == ports[-1] + 1 else [port]
    return ports[0]
