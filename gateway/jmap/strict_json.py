"""I-JSON (RFC 7493), the JSON that JMAP speaks (RFC 8620 section 1.5): read strictly, written as far as it goes.

Rule 1: an object has no two members of one name, a string no surrogate and no noncharacter, a number a double's range.
Rule 2: what is read is at most MAX_DEPTH deep, so that code which follows it down may recurse, and holds at most about
        MAX_VALUES values, so that reading it does not hold up everybody else.
Rule 3: what is written is I-JSON too; mail is hostile, so a code point that may not be sent becomes U+FFFD.

The standard library's reader is told of every member and is as quick as orjson with a search for duplicates after it
(500 octets: 7 µs). orjson alone takes 2 µs, keeps the last duplicate silently and makes floats of large integers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import orjson

# Deeper than any filter or MIME tree a client writes, and far from Python's recursion limit of 1,000 frames.
MAX_DEPTH: Final = 128
# A thousand objects of hundreds of properties each. Ten million octets of "[],[],…" take a second to read, these 0.1.
MAX_VALUES: Final = 500_000

# As UTF-8: U+FDD0 to U+FDEF, and the last two code points of each of the 17 planes.
_NONCHARACTER: Final = re.compile(
    rb"\xef\xb7[\x90-\xaf]|\xef\xbf[\xbe\xbf]|[\xf0-\xf4][\x8f\x9f\xaf\xbf]\xbf[\xbe\xbf]"
)
_REPLACEMENT: Final = "\ufffd"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class NotJSON(ValueError):
    """The text is not I-JSON. The message is a phrase that says why and quotes nothing."""


class NotWritable(TypeError):
    """The value is none that JSON has."""


def read_json(octets: bytes) -> Any:
    """Return the value of an I-JSON text or raise NotJSON."""
    try:
        text = octets.decode()
        if text.count(",") > MAX_VALUES and _commas(text) > MAX_VALUES:
            raise NotJSON(f"it holds more than {MAX_VALUES} values")
        value = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise NotJSON("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise NotJSON(f"{error.msg} (character {error.pos})") from None
    except RecursionError:
        raise NotJSON("it is nested too deeply") from None
    except NotJSON:
        raise
    except ValueError:
        # Python refuses to read an integer of more than 4,300 digits.
        raise NotJSON("it holds a number that is too long") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and not _is_shallow(value):
        raise NotJSON(f"it is nested more than {MAX_DEPTH} deep")
    if "\\u" in text:
        _check_strings(value)
    elif not text.isascii() and has_noncharacter(octets):
        raise NotJSON("a string holds a noncharacter")
    return value


def write_json(value: Any) -> bytes:
    """Return the I-JSON text of a value; raise NotWritable for one that holds what JSON has not."""
    try:
        octets = orjson.dumps(value)
    except orjson.JSONEncodeError:
        # Rare, and slow: a lone surrogate, an integer past 64 bits, a key that is no string.
        octets = _write_repaired(value)
    return _NONCHARACTER.sub(_REPLACEMENT.encode(), octets) if has_noncharacter(octets) else octets


def has_noncharacter(octets: bytes) -> bool:
    """Tell whether UTF-8 holds a noncharacter. One octet is 100 times as quick to rule out as the pattern is."""
    may_hold = (b"\xbf" in octets and (b"\xbf\xbe" in octets or b"\xbf\xbf" in octets)) or (
        b"\xef" in octets and b"\xef\xb7" in octets
    )
    return may_hold and _NONCHARACTER.search(octets) is not None


# ---------------------------------------------------------------- reading


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotJSON("an object has two members of the same name")
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotJSON("it holds a number beyond the range of a double")
    return number


def _refuse_constant(_name: str) -> NoReturn:
    raise NotJSON("it holds NaN or Infinity")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_float=_finite, parse_constant=_refuse_constant)


def _commas(text: str) -> int:
    """Count the commas outside of strings, in linear time on whatever it is."""
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    return sum(part.count(",") for part in text.split('"')[::2])


def _is_shallow(value: Any) -> bool:
    """Tell whether a value is at most MAX_DEPTH deep, level by level."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for container in level:
            items = container.values() if type(container) is dict else container
            below += [item for item in items if type(item) is dict or type(item) is list]
        if not below:
            return True
        level = below
    return False


def _check_strings(value: Any) -> None:
    """Look at the strings themselves, since escapes may stand for any code unit."""
    try:
        octets = "".join(_strings(value)).encode()
    except UnicodeEncodeError:
        raise NotJSON("a string holds a surrogate") from None
    if has_noncharacter(octets):
        raise NotJSON("a string holds a noncharacter")


def _strings(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        item = stack.pop()
        if type(item) is str:
            yield item
        elif type(item) is dict:
            yield from item
            stack.extend(item.values())
        elif type(item) is list:
            stack.extend(item)


# ---------------------------------------------------------------- writing


def _write_repaired(value: Any) -> bytes:
    try:
        return json.dumps(_repaired(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotWritable(f"cannot be written as JSON: {type(error).__name__}") from None


def _repaired(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub(_REPLACEMENT, value)
    if isinstance(value, dict):
        return {_key(key): _repaired(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_repaired(item) for item in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    raise TypeError


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError
    return _SURROGATE.sub(_REPLACEMENT, key)
