"""How long a ManageSieve connection waits, and for what. Seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Every wait of a connection has its name here."""

    connect_s: float = 10.0  # TCP, and TLS where it comes first
    greeting_s: float = 15.0  # a server that looks up the client's name may take its time
    starttls_s: float = 10.0
    login_s: float = 30.0  # servers delay the answer to a wrong password on purpose
    answer_s: float = 30.0  # compiling the largest script takes a second; on a busy server some more
    logout_s: float = 3.0
    idle_s: float = 10.0  # then an unused connection is closed: Dovecot serves a hundred logins at once by default
