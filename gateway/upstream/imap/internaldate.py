"""INTERNALDATE (RFC 9051 section 9, date-time) to seconds. Pure, and on the hot path of a first indexing.

Rule 1: days are remembered, for a mailbox has few of them; how many is bounded.
"""

from __future__ import annotations

from calendar import timegm
from typing import Final

from gateway.upstream.imap.lexer import Malformed

MAX_DAYS: Final = 4_096  # eleven years

_days: dict[bytes, int] = {}
_TWO_DIGITS: Final = {b"%02d" % number: number for number in range(100)}


def parse_internaldate(text: bytes) -> int:
    """Return the seconds since 1970 of `"23-Nov-2026 03:46:28 +0000"`, or raise Malformed."""
    try:
        day = _days.get(text[:11])
        if day is None:
            day = _day(text[:11])
        two = _TWO_DIGITS
        seconds = day + two[text[12:14]] * 3600 + two[text[15:17]] * 60 + two[text[18:20]]
        zone = text[21:]
        if zone == b"+0000":
            return seconds
        offset = two[zone[1:3]] * 3600 + two[zone[3:5]] * 60
        return seconds + offset if zone[:1] == b"-" else seconds - offset
    except (KeyError, ValueError, IndexError):
        raise Malformed("not an INTERNALDATE") from None


_MONTHS: Final = {
    name: number + 1
    for number, name in enumerate((b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN", b"JUL", b"AUG", b"SEP", b"OCT"))
} | {b"NOV": 11, b"DEC": 12}


def _day(text: bytes) -> int:
    day = timegm((int(text[7:11]), _MONTHS[text[3:6].upper()], int(text[:2]), 0, 0, 0))
    if len(_days) >= MAX_DAYS:
        _days.clear()
    _days[text] = day
    return day
