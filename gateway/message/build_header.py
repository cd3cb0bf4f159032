"""Header fields from the forms of RFC 8621 section 4.1.2: the way back of `headers`.

RFC 5322, RFC 2047, RFC 6532.

Rule 1: nothing that a client gives ends a field or begins another: CR, LF and NUL come through in no form; a Raw value
may be folded, as a whole field is.
Rule 2: lines have at most 78 octets where the value has a place to fold, and never more than 998 octets.
Rule 3: an address that is none is kept as well as it can be: a draft may be half finished (section 4.6).
Rule 4: text is ASCII with encoded words. Only an address, an id or a URL that is not ASCII itself is written in UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from gateway.message.build_words import clean, phrase_words, quoted, text_words

MAX_LINE: Final = 78  # the RFC counts characters; so none is wider (RFC 5322 section 2.1.1)
MAX_LINE_OCTETS: Final = 998
MAX_NAME: Final = 100  # characters of a field's name: the rest of its first line has to hold a word

_CONTROLS = re.compile("[\x00-\x1f\x7f]")
_FOLDED = re.compile("\r?\n(?=[ \t]+[^ \t\r\n])")
_FIELD = re.compile(rb"[!-9;-~]+:[^\r\n\0]*(?:\r\n[ \t][^\r\n\0]*)*\r\n")
_ADDR_SPEC = re.compile(
    r'(?:[^\s"(),:;<>@\[\]\\\x00-\x1f\x7f]+|"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*")'
    r"@(?:[^\s\"(),:;<>@\[\]\\\x00-\x1f\x7f]+|\[[^\[\]\\\s]*\])"
)
_BARE = re.compile(r'[^\s"(),:;<>\[\]\\\x00-\x1f\x7f]+')
_ENCLOSED = re.compile("[^\x00-\x20<>\x7f]+")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})T(\d{2}:\d{2}:\d{2})(?:\.\d+)?(?:Z|([+-]\d{2}):(\d{2}))")


class HeaderValueError(ValueError):
    """A value cannot stand in a header field; the text is a phrase that follows the property's name."""


def encode_field(name: str, form: str, value: Any) -> bytes:
    """Return a whole field with its line end from a value in one of the forms, already of the form's type."""
    if len(name) > MAX_NAME:
        raise HeaderValueError("has too long a field name")
    field = _raw(name, value) if form == "Raw" else fold(name, _WORDS_OF[form](name, value))
    if _FIELD.fullmatch(field) is None or max(map(len, field.split(b"\r\n"))) > MAX_LINE_OCTETS:
        raise HeaderValueError("cannot stand in a header field")
    return field


def is_empty(form: str, value: Any) -> bool:
    """Tell whether there is no field at all: null, or an empty list."""
    return value is None or (form not in ("Raw", "Text") and not value)


def fold(name: str, words: Sequence[str]) -> bytes:
    """Return a field whose lines end before words; each word brings the blanks before it."""
    lines = [name.encode() + b":"]
    for word in words or [" "]:
        octets = word.encode("utf-8", "replace")
        if len(lines[-1]) + len(octets) > MAX_LINE and len(lines[-1]) > len(name) + 1:
            lines.append(octets)
        else:
            lines[-1] += octets
    return b"\r\n".join([*lines, b""])


def _raw(name: str, value: str) -> bytes:
    """Return a field whose value stands as it is given, its folding included."""
    lines = _FOLDED.split(value)
    if any(_CONTROLS.search(line.replace("\t", " ")) for line in lines):
        raise HeaderValueError("holds a control character, or a line end that folds nothing")
    return (f"{name}:" + "\r\n".join(lines) + "\r\n").encode("utf-8", "replace")


def _first_room(name: str) -> int:
    return MAX_LINE - len(name) - 2


def _text(name: str, value: str) -> list[str]:
    return text_words(value, first_room=_first_room(name))


def _addresses(name: str, value: Sequence[Mapping[str, Any]]) -> list[str]:
    return _separated([_address(address, first_room=_first_room(name)) for address in value], ",")


def _groups(name: str, value: Sequence[Mapping[str, Any]]) -> list[str]:
    items: list[list[str]] = []
    for group in value:
        addresses = [_address(address, first_room=_first_room(name)) for address in group["addresses"]]
        if group.get("name") is None:
            items += addresses
            continue
        words = [" " + word for word in phrase_words(group["name"], first_room=_first_room(name)) or ['""']]
        words[-1] += ":"
        words += _separated(addresses, ",")
        words[-1] += ";"
        items.append(words)
    return _separated(items, ",")


def _separated(items: Sequence[list[str]], separator: str) -> list[str]:
    for words in items[:-1]:
        words[-1] += separator
    return [word for words in items for word in words]


def _address(address: Mapping[str, Any], *, first_room: int) -> list[str]:
    email = _email(address["email"])
    words = [" " + word for word in phrase_words(address.get("name") or "", first_room=first_room)]
    if not words:
        return [" " + email]
    return [*words, f" <{email}>"]


def _email(email: str) -> str:
    """Return an addr-spec; what is none becomes something that is read as one."""
    email = email.strip(" \t\r\n")
    if _CONTROLS.search(email):
        raise HeaderValueError("has an address with a control character")
    if _ADDR_SPEC.fullmatch(email) or _BARE.fullmatch(email):
        return email
    local, at, domain = email.rpartition("@")
    if at and _ADDR_SPEC.fullmatch(f"x@{domain}"):
        return f"{quoted(local)}@{domain}"
    return quoted(clean(email))


def _enclosed(value: Sequence[str], separator: str, what: str) -> list[str]:
    if not all(_ENCLOSED.fullmatch(item) for item in value):
        raise HeaderValueError(f"has {what} with a blank, a control character or an angle bracket")
    return _separated([[f" <{item}>"] for item in value], separator)


def _date(_name: str, value: str) -> list[str]:
    match = _DATE.fullmatch(value)
    if match is None:
        raise HeaderValueError("is not a Date")
    year, month, day, time, hours, minutes = match.groups()
    weekday = _DAYS[date(int(year), int(month), int(day)).weekday()]
    # Readers know of no zone past a day; RFC 3339 has none.
    zone = f"{hours}{minutes}" if hours else "+0000"
    return [f" {weekday}, {int(day)} {_MONTHS[int(month) - 1]} {year} {time} {zone}"]


_WORDS_OF: Final[Mapping[str, Callable[[str, Any], list[str]]]] = {
    "Text": _text,
    "Addresses": _addresses,
    "GroupedAddresses": _groups,
    "MessageIds": lambda _name, value: _enclosed(value, "", "an id"),
    "Date": _date,
    "URLs": lambda _name, value: _enclosed(value, ",", "a URL"),
}
