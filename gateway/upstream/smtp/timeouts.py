"""How long an SMTP session waits, and for what. Seconds. RFC 5321 section 4.5.3.2 has the reasons for the long ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Every wait of an SMTP session has its name here."""

    connect_s: float = 10.0  # TCP, and TLS where it comes first
    greeting_s: float = 60.0  # servers make unknown clients wait
    ehlo_s: float = 30.0
    starttls_s: float = 15.0
    login_s: float = 60.0
    mail_s: float = 120.0  # of MAIL: the server may look things up
    rcpt_s: float = 120.0  # of each RCPT
    data_s: float = 120.0  # until 354
    block_s: float = 180.0  # no octet of the message taken
    end_s: float = 600.0  # after the final dot the server stores, scans, relays; giving up early makes doubt
    quit_s: float = 3.0
