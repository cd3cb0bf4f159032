"""What every part may raise and every answer knows: something that the gateway needs does not answer for now."""

from __future__ import annotations


class Unavailable(OSError):
    """It may work later: `serverUnavailable` (RFC 8620 section 3.6.2), or HTTP 503. The text is for the log."""
