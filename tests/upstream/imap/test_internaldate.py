"""INTERNALDATE to seconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.imap import internaldate
from gateway.upstream.imap.internaldate import parse_internaldate
from gateway.upstream.imap.lexer import Malformed

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


@given(st.datetimes(datetime(1000, 1, 2), datetime(9000, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_every_instant_in_every_zone(moment: datetime, offset: int) -> None:
    """The seconds are those of the instant, whatever the zone it is told in."""
    zoned = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    text = f"{zoned.day:2d}-{MONTHS[zoned.month - 1]}-{zoned.year} {zoned:%H:%M:%S} {zoned:%z}"
    assert parse_internaldate(text.encode()) == int((zoned - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


@pytest.mark.parametrize("text", [b"", b"x", b"32-Foo-2026 00:00:00 +0000", b"24-Nov-2026 xx:05:05 +0000"])
def test_junk(text: bytes) -> None:
    """What is no date is refused, not guessed."""
    with pytest.raises(Malformed):
        parse_internaldate(text)


def test_days_are_bounded() -> None:
    """A server that makes up days fills no memory."""
    for number in range(internaldate.MAX_DAYS + 10):
        parse_internaldate(b"%02d-Nov-%04d 05:05:05 +0000" % (number % 28 + 1, 1000 + number // 28))
    assert len(internaldate._days) <= internaldate.MAX_DAYS
