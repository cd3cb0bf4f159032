"""Dates of header fields (RFC 5322 section 3.3, obsolete forms of 4.3 included) -> JMAP's Date (RFC 8620 section 1.4).

Rule 1: the day of the week is never checked: it adds nothing and is often wrong.
Rule 2: a date that the calendar lacks is no date: None, not a neighbour.
"""

from __future__ import annotations

import re
from calendar import timegm
from typing import Final

_MONTHS: Final = {name: f"{number:02}" for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)}  # fmt: skip
_FAST_MONTHS: Final = {name.capitalize(): number for name, number in _MONTHS.items()}

# RFC 5322 section 4.3. The military letters were defined the wrong way round in RFC 822: they count as -0000.
_ZONES: Final = {
    "EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500", "MST": "-0700", "MDT": "-0600",
    "PST": "-0800", "PDT": "-0700",
    "CET": "+0100", "CEST": "+0200", "BST": "+0100", "JST": "+0900",
}  # fmt: skip

_FAST = re.compile(
    r" *(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +([0-9]{1,2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    r" (19[0-9]{2}|20[0-9]{2}) ([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])"
    r" ([+-])([01][0-9]|2[0-3])([0-5][0-9])(?: \([A-Za-z ]*\))? *",
    re.ASCII,
).fullmatch
_FULL = re.compile(
    r"(?:[a-z]+\.?[ ,]+)?(?P<day>[0-9]{1,2})(?:[ ]+|[ ]?-[ ]?)(?P<month>[a-z]{3,9})\.?(?:[ ]+|[ ]?-[ ]?|,[ ]?)"
    r"(?P<year>[0-9]{2,4})[ ,]+(?P<hour>[0-9]{1,2})[ ]?[:.][ ]?(?P<minute>[0-9]{2})"
    r"(?:[ ]?[:.][ ]?(?P<second>[0-9]{2})(?:\.[0-9]{1,9})?)?"
    r"(?:[ ]?(?P<zone>(?:gmt|utc?)?[ ]?[+-][ ]?[0-9]{1,2}:?[0-9]{2}|[a-z]{1,5})\b.*)?",
    re.ASCII | re.IGNORECASE,
)
# asctime order, seen from old programs: "Thu Jan  2 10:00:00 2024 +0100".
_ASCTIME = re.compile(
    r"(?:[a-z]+\.?[ ,]+)?(?P<month>[a-z]{3,9})[ ]+(?P<day>[0-9]{1,2}),?[ ]+(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2}))?[ ]+(?:(?P<zone>[a-z]{3,5}|[+-][0-9]{4})[ ]+)?(?P<year>[0-9]{4})"
    r"(?:[ ]+(?P<zone2>[+-][0-9]{4}))?",
    re.ASCII | re.IGNORECASE,
)
# No date-time is longer, comments and folding removed; what is longer is not worth a regex.
MAX_DATE_CHARACTERS: Final = 200

_COMMENT = re.compile(r"\([^()]*+\)")
_SPACES = re.compile(r"[ \t\r\n]+")
_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_date(text: str) -> str | None:
    """Return an unfolded date-time as RFC 3339, "2024-01-02T10:00:00+01:00", or None where it is none."""
    match = _FAST(text)
    if match is not None:
        day, month_name, year, hour, minute, second, sign, zone_hour, zone_minute = match.groups()
        month = _FAST_MONTHS[month_name]
        if len(day) == 1:
            day = "0" + day
        if "00" < day < "29":
            if zone_hour == "00" == zone_minute:
                return f"{year}-{month}-{day}T{hour}:{minute}:{second}Z"
            return f"{year}-{month}-{day}T{hour}:{minute}:{second}{sign}{zone_hour}:{zone_minute}"
    return parse_date_fully(text)


def parse_date_fully(text: str) -> str | None:
    """Do what `parse_date` does, for every form."""
    if len(text) > 2 * MAX_DATE_CHARACTERS:
        return None
    for _ in range(3):  # comments nest, but nobody nests them deeper in a date
        text = _COMMENT.sub(" ", text)
    text = _SPACES.sub(" ", text).strip(" ").replace(" ,", ",")
    if len(text) > MAX_DATE_CHARACTERS:
        return None
    match = _FULL.fullmatch(text) or _ASCTIME.fullmatch(text)
    if match is None:
        return None
    found = match.groupdict()
    year, month = _year(found["year"]), int(_MONTHS.get(found["month"][:3].lower(), "0"))
    day, hour, minute = int(found["day"]), int(found["hour"]), int(found["minute"])
    # RFC 3339 allows :60 only in the minutes that really had a leap second; few clients allow it there.
    second = min(int(found["second"] or 0), 60)
    if found["second"] and int(found["second"]) > 60:
        return None
    if not month or not year or not 1 <= day <= _days_in(year, month) or hour > 23 or minute > 59:
        return None
    zone = _zone(found["zone"] or found.get("zone2") or "")
    if zone is None:
        return None
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{min(second, 59):02}{zone}"


def to_epoch(date: str) -> int:
    """Return whole seconds since 1970 of a Date as `parse_date` gives it."""
    moment = timegm((int(date[:4]), int(date[5:7]), int(date[8:10]), int(date[11:13]), int(date[14:16]),
                     int(date[17:19])))  # fmt: skip
    if date[19] == "Z":
        return moment
    offset_s = int(date[20:22]) * 3600 + int(date[23:25]) * 60
    return moment - offset_s if date[19] == "+" else moment + offset_s


def _year(digits: str) -> int:
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


def _days_in(year: int, month: int) -> int:
    if month == 2 and (year % 4 or (year % 100 == 0 and year % 400)):
        return 28
    return _DAYS[month - 1]


def _zone(text: str) -> str | None:
    """Return "+01:00" or "Z". A zone nobody defined counts as -0000 (RFC 5322 section 4.3)."""
    zone = text.upper().replace(" ", "").replace(":", "")
    for prefix in ("GMT", "UTC", "UT"):
        if zone.startswith(prefix) and zone != prefix:
            zone = zone[len(prefix) :]
    zone = _ZONES.get(zone, zone)
    if zone[:1] not in ("+", "-"):
        return "Z"
    digits = zone[1:].zfill(4)
    if int(digits[:2]) > 23 or int(digits[2:]) > 59:
        return "Z"
    return "Z" if digits == "0000" else f"{zone[0]}{digits[:2]}:{digits[2:]}"
