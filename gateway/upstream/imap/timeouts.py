"""How long a connection waits, and for what. Seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Every wait of an IMAP connection has its name here."""

    connect_s: float = 10.0  # TCP, and TLS where it comes first
    greeting_s: float = 15.0  # a server that looks up the client's name may take its time
    starttls_s: float = 10.0
    login_s: float = 30.0  # servers delay the answer to a wrong password on purpose
    silence_s: float = 60.0  # no octet received while a command is in flight
    search_silence_s: float = 300.0  # a text search over 100,000 messages says nothing for 10 s on a fast machine
    abandoned_s: float = 5.0  # a cancelled command may run on for so long before it costs the connection
    idle_renew_s: float = 300.0  # NATs drop flows that are quiet for longer (RFC 2177 itself allows 29 minutes)
    poll_s: float = 20.0  # NOOP as often where there is no IDLE
    logout_s: float = 3.0


class Observer(Protocol):
    """Who counts what connections do. Calls are made on the event loop and must be cheap."""

    def connection_opened(self) -> None:
        """A connection is authenticated."""

    def connection_closed(self, reason: str) -> None:
        """It ended: the name of an error class, or "closed"."""

    def command_done(self, verb: str, *, seconds: float, octets_in: int, octets_out: int, ok: bool) -> None:
        """A command was answered, or failed with the connection."""

    def quirk_seen(self, name: str) -> None:
        """A named oddity of the server was met (see `quirks`)."""
