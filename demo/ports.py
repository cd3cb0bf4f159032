"""Loopback ports for servers that are started a moment later.

Rule 1: they are below those that Linux takes for outgoing connections (ip_local_port_range, 32768 and up): such a port
        can be gone between the moment it was found free and the moment its server listens.
Rule 2: they are drawn at random, so that two processes that look at the same time hardly ever find the same one.
"""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"
FIRST, LAST = 12_000, 32_000
MAX_TRIES = 1_000


def bound_port() -> socket.socket:
    """Return a socket bound to a port that nobody listens on: the port is taken until the socket is closed."""
    for _ in range(MAX_TRIES):
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((HOST, random.SystemRandom().randint(FIRST, LAST)))
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
