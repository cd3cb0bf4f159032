"""The value types of RFC 8620 section 1 as checks: `check(value)` is None when the value fits, else what is wrong.

Rule 1: a fault is a phrase that follows a name, "is not a String"; it never quotes the value.
Rule 2: a check looks and does not change. What a value means is the business of who asked.
Rule 3: Python's `True` is no number, and a float is no Int even when it is whole (orjson turns integers past 64 bits
into floats).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from typing import Any, Final

Check = Callable[[Any], str | None]

MAX_INT: Final = 2**53 - 1  # the safe range of a double (section 1.3)

_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_ID_LINES = re.compile(r"(?:[A-Za-z0-9_-]{1,255}\n)*")
_REFERENCE_LINES = re.compile(r"(?:#?[A-Za-z0-9_-]{1,255}\n)*")
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)"
    r"(\.[0-9]{1,9})?(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_UNIX_DAY = date(1970, 1, 1).toordinal()

# ---------------------------------------------------------------- scalars


def is_any(_value: Any) -> str | None:
    """`*`: every value fits."""
    return None


def is_string(value: Any) -> str | None:
    return None if type(value) is str else "is not a String"


def is_boolean(value: Any) -> str | None:
    return None if value is True or value is False else "is not a Boolean"


def is_true(value: Any) -> str | None:
    """The value of a set that is written as a map, `Id[Boolean]` in `mailboxIds`."""
    return None if value is True else "is not true"


def is_number(value: Any) -> str | None:
    return None if type(value) is int or type(value) is float else "is not a Number"


def is_int(value: Any) -> str | None:
    if type(value) is int and -MAX_INT <= value <= MAX_INT:
        return None
    return "is not an Int (a whole number between -2^53+1 and 2^53-1)"


def is_unsigned_int(value: Any) -> str | None:
    if type(value) is int and 0 <= value <= MAX_INT:
        return None
    return "is not an UnsignedInt (a whole number between 0 and 2^53-1)"


def is_positive_int(value: Any) -> str | None:
    """An UnsignedInt greater than 0, as `maxChanges` must be (section 5.2)."""
    if type(value) is int and 0 < value <= MAX_INT:
        return None
    return "is not a whole number between 1 and 2^53-1"


def is_object(value: Any) -> str | None:
    return None if type(value) is dict else "is not an object"


def is_id(value: Any) -> str | None:
    if type(value) is str and _ID.fullmatch(value):
        return None
    return "is not an Id (1 to 255 of A-Z a-z 0-9 - _)"


def is_id_or_reference(value: Any) -> str | None:
    """An Id, or `#` and a creation id, where a record created in the same request may be named (section 5.3)."""
    if type(value) is str and _ID.fullmatch(value, 1 if value.startswith("#") else 0):
        return None
    return "is neither an Id nor a reference to a creation id"


def is_date(value: Any) -> str | None:
    return None if type(value) is str and _seconds(value) is not None else "is not a Date"


def is_utc_date(value: Any) -> str | None:
    if type(value) is str and value.endswith("Z") and _seconds(value) is not None:
        return None
    return "is not a UTCDate"


def date_to_seconds(value: str) -> float:
    """Return a checked Date as seconds since 1970 (UTC), with its fraction."""
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError("not a Date")
    return seconds


def _seconds(value: str) -> float | None:
    """Read an RFC 3339 date-time in upper case; None if it is none or names a day that does not exist.

    A fraction of zero is let through although section 1.4 forbids it: it is what JavaScript's toISOString writes,
    and there is no doubt what it means.
    """
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _UNIX_DAY
    except ValueError:
        return None
    seconds = ((days * 24 + int(hour)) * 60 + int(minute)) * 60 + int(second)
    if sign is not None:
        offset = (int(offset_hour) * 60 + int(offset_minute)) * 60
        seconds += offset if sign == "-" else -offset
    return seconds + float(fraction) if fraction else seconds


# ---------------------------------------------------------------- made of others


def nullable(check: Check) -> Check:
    """`X|null`."""

    def is_nullable(value: Any) -> str | None:
        fault = None if value is None else check(value)
        return None if fault is None else f"{fault}, nor null"

    return is_nullable


def list_of(check: Check) -> Check:
    """`X[]`."""
    whole = _WHOLE_LISTS.get(check)
    if whole is not None:
        return whole

    def is_list(value: Any) -> str | None:
        if type(value) is not list:
            return "is not an array"
        for index, item in enumerate(value):
            fault = check(item)
            if fault is not None:
                return f"has an item at {index} that {fault}"
        return None

    return is_list


def is_ids(value: Any) -> str | None:
    """`Id[]`, quick for the thousand ids of a large /get: one match over all of them."""
    return _match_lines(_ID_LINES, value)


def is_ids_or_references(value: Any) -> str | None:
    return _match_lines(_REFERENCE_LINES, value)


def is_strings(value: Any) -> str | None:
    """`String[]`."""
    if type(value) is not list:
        return "is not an array"
    return None if all(type(item) is str for item in value) else "has an item that is not a String"


def _match_lines(pattern: re.Pattern[str], value: Any) -> str | None:
    if type(value) is not list:
        return "is not an array"
    try:
        lines = "\n".join(value) + "\n" if value else ""
    except TypeError:
        return "has an item that is not an Id"
    # A line break inside an id would pass for two ids, so the lines are counted.
    if lines.count("\n") == len(value) and pattern.fullmatch(lines):
        return None
    return "has an item that is not an Id"


_WHOLE_LISTS: Final[dict[Check, Check]] = {
    is_id: is_ids,
    is_id_or_reference: is_ids_or_references,
    is_string: is_strings,
}


def map_of(key: Check, check: Check) -> Check:
    """`A[B]`."""

    def is_map(value: Any) -> str | None:
        if type(value) is not dict:
            return "is not an object"
        for name, item in value.items():
            fault = key(name)
            if fault is not None:
                return f"has a key that {fault}"
            fault = check(item)
            if fault is not None:
                return f"has a value that {fault}"
        return None

    return is_map


def set_of(key: Check) -> Check:
    """`A[Boolean]` where every value must be true: a set that can be patched by key."""
    return map_of(key, is_true)


def object_of(properties: Mapping[str, Check], *, required: Collection[str] = ()) -> Check:
    """An object with these properties and no others."""

    def is_such_object(value: Any) -> str | None:
        if type(value) is not dict:
            return "is not an object"
        for name, item in value.items():
            check = properties.get(name)
            if check is None:
                return "has a property that its type does not know"
            fault = check(item)
            if fault is not None:
                return f"has a property {name} that {fault}"
        for name in required:
            if name not in value:
                return f"lacks the property {name}"
        return None

    return is_such_object


def one_of(values: Collection[str]) -> Check:
    """One of a few Strings."""
    known = frozenset(values)

    def is_one_of(value: Any) -> str | None:
        return None if type(value) is str and value in known else f"is none of {', '.join(sorted(known))}"

    return is_one_of
