"""The floor: send the same commands, read the bytes up to each tagged reply, parse nothing, keep nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.mailbox import LOGIN
from tests.upstreams.upstream import Upstream

TIMEOUT_S = 120.0
TAIL_OCTETS = 1000  # a tagged reply is shorter


@dataclass(frozen=True, slots=True)
class Drained:
    """Seconds include the SELECT: a cold mailbox is opened there."""

    seconds: float
    octets: int


class Drain:
    """One connection that reads and forgets."""

    def __init__(self, server: Upstream) -> None:
        self._socket = socket.create_connection((server.host, server.ports["imap"]), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 20)
        self._serial = 0
        self._socket.recv(65_536)
        self.run(f'LOGIN "{LOGIN}" "{server.password}"')

    def run(self, text: str) -> int:
        """Send one command and return the octets of its answer."""
        self._serial += 1
        tag = b"\r\na%d " % self._serial
        self._socket.sendall(f"a{self._serial} {text}\r\n".encode())
        octets, tail = 0, b"\r\n"
        while True:
            got = self._socket.recv_into(self._buffer)
            if not got:
                raise ConnectionError(f"closed during {text}")
            octets += got
            tail = (tail + bytes(memoryview(self._buffer)[max(0, got - TAIL_OCTETS) : got]))[-TAIL_OCTETS:]
            if tail.endswith(b"\r\n") and tag in tail:
                if tag + b"OK" not in tail:
                    raise AssertionError(f"{text}: {tail[-200:]!r}")
                return octets

    def close(self) -> None:
        self._socket.close()


def drain(server: Upstream, commands: Sequence[str]) -> Drained:
    """Select the INBOX and read the answers of the commands."""
    connection = Drain(server)
    started = time.perf_counter()
    connection.run("ENABLE QRESYNC")
    connection.run("SELECT INBOX")
    octets = sum(connection.run(command) for command in commands)
    seconds = time.perf_counter() - started
    connection.close()
    return Drained(seconds, octets)
