"""Dates of header fields (RFC 5322 sections 3.3 and 4.3, RFC 8620 section 1.4)."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message.dates import parse_date, parse_date_fully, to_epoch


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Tue, 02 Jan 2024 10:00:00 +0100", "2024-01-02T10:00:00+01:00"),
        (" Tue, 2 Jan 2024 10:00:00 -0530 (comment)", "2024-01-02T10:00:00-05:30"),
        ("Tue, 02 Jan 2024 10:00:00 +0000", "2024-01-02T10:00:00Z"),
        ("Tue, 02 Jan 2024 10:00:00 -0000", "2024-01-02T10:00:00Z"),
        ("2 Jan 2024 10:00 GMT", "2024-01-02T10:00:00Z"),
        ("Tue, 2 JAN 24 10:00:00 EST", "2024-01-02T10:00:00-05:00"),
        ("1 Jan 70 00:00 UT", "1970-01-01T00:00:00Z"),
        ("1 Jan 103 00:00:00 PDT", "2003-01-01T00:00:00-07:00"),
        ("1 Jan 2024 00:00:00 Z", "2024-01-01T00:00:00Z"),
        ("1 Jan 2024 00:00:00 A", "2024-01-01T00:00:00Z"),
        ("1 Jan 2024 00:00:00", "2024-01-01T00:00:00Z"),
        ("Wrong, 29 Feb 2024 00:00:00 +1400", "2024-02-29T00:00:00+14:00"),
        ("Sat, 31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:59Z"),
        ("Fri,\r\n\t2 (x(y)) Feb\r\n 2024 1:02:03 GMT+0200", "2024-02-02T01:02:03+02:00"),
        ("Thu Jan  2 10:00:00 2024 +0100", "2024-01-02T10:00:00+01:00"),
        ("Thu Jan  2 10:00:00 CET 2024", "2024-01-02T10:00:00+01:00"),
        ("Thu, 29 Feb 2023 00:00:00 +0000", None),
        ("31 Apr 2024 00:00:00 +0000", None),
        ("0 Jan 2024 00:00:00 +0000", None),
        ("1 Jan 2024 24:00:00 +0000", None),
        ("1 Jan 2024 00:00:61 +0000", None),
        ("1 Foo 2024 00:00:00 +0000", None),
        ("Thursday, 45 Foo 20x4 99:99", None),
        ("1 Jan 0000 00:00:00 +0000", None),
        ("1 Jan 2024", None),
        ("2024-01-02T10:00:00Z", None),
        ("", None),
        ("x" * 100_000, None),
        ("1 " * 50_000, None),
        ("(" * 100_000, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_date(text: str, date: str | None) -> None:
    """A date-time of any age is read; what the calendar lacks is null."""
    assert parse_date(text) == date


@given(
    st.datetimes(min_value=datetime.datetime(1900, 1, 1), max_value=datetime.datetime(2099, 12, 31)),
    st.integers(-14 * 60, 14 * 60),
)
def test_every_valid_date_is_read(moment: datetime.datetime, offset_minutes: int) -> None:
    """Whatever a correct writer writes comes back as the same instant, by either path."""
    zone = datetime.timezone(datetime.timedelta(minutes=offset_minutes))
    moment = moment.replace(microsecond=0, tzinfo=zone)
    text = moment.strftime("%a, %d %b ") + f"{moment.year:04} " + moment.strftime("%H:%M:%S %z")
    date = parse_date(text)
    assert date is not None
    assert date == parse_date_fully(text)
    assert datetime.datetime.fromisoformat(date) == moment
    assert to_epoch(date) == int(moment.timestamp())
    assert date.endswith("Z") == (offset_minutes == 0)
