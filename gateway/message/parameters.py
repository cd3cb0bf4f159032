"""Content-Type, Content-Disposition and their parameters (RFC 2045 section 5.1, RFC 2183, RFC 2231).

Rule 1: a value that senders write wrong still means something: blanks in an unquoted file name, a missing quote,
        encoded words where RFC 2231 belongs, comments.
Rule 2: RFC 2231's `name*` wins over plain `name`: who sends both means the second for old readers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.message.charset import codec_name, decode_octets, guess
from gateway.message.encodedwords import decode_anywhere, to_nfc

# A field has a handful; each costs a little work.
MAX_PARAMETERS = 256

_COMMENT = re.compile(r"\([^()]*+\)")
_TOKEN = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]++"
_TYPE = re.compile(rf"[\s]*+({_TOKEN})\s*+/\s*+({_TOKEN})")
_VALUE = re.compile(rf"\s*+({_TOKEN})")
_PARAMETER = re.compile(
    rf"""[;\s]*+({_TOKEN})\s*+=\s*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|"?([^;]*+))|[^;]*+;|[^;]++""", re.DOTALL
)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_EXTENDED = re.compile(r"([^*]+)\*(?:([0-9]{1,3})(\*)?)?")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
# Their values are prose: blanks and parentheses in them are meant, quoted or not.
_NAMES = frozenset(("name", "filename"))


class Parameterized(NamedTuple):
    """A field value with parameters."""

    value: str  # lower case, no CFWS; "" where there is none
    parameters: Mapping[str, str]  # names in lower case


def parse_content_type(text: str) -> Parameterized:
    """Read an unfolded Content-Type; a type that is none is text/plain (RFC 2045 section 5.2)."""
    match = _TYPE.match(_without_leading_comments(text))
    if match is None:
        return Parameterized("text/plain", _parameters(text.partition(";")[2]))
    return Parameterized(f"{match[1]}/{match[2]}".lower(), _parameters(match.string[match.end() :]))


def parse_value(text: str) -> Parameterized:
    """Read any other unfolded field value with parameters: Content-Disposition."""
    match = _VALUE.match(_without_leading_comments(text))
    if match is None:
        return Parameterized("", _parameters(text.partition(";")[2]))
    return Parameterized(match[1].lower(), _parameters(match.string[match.end() :]))


def file_name(disposition: Mapping[str, str], content_type: Mapping[str, str]) -> str | None:
    """Return the `name` of a part (RFC 8621 section 4.1.4)."""
    for name in (disposition.get("filename"), content_type.get("name")):
        if name is not None and (shown := to_nfc(_CONTROLS.sub("", decode_anywhere(name)).strip())):
            return shown
    return None


def _without_leading_comments(text: str) -> str:
    return _COMMENT.sub(" ", text) if "(" in text.partition(";")[0] else text


def _parameters(text: str) -> dict[str, str]:
    pairs = []
    for match in islice(_PARAMETER.finditer(text), MAX_PARAMETERS):
        if match[1] is not None:
            key = match[1].lower()
            pairs.append((key, _QUOTED_PAIR.sub(r"\1", match[2]) if match[2] is not None else _unquoted(key, match[3])))
    return join_parameters(pairs)


def join_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Undo RFC 2231 in parameters that are taken apart already, as an IMAP server's BODYSTRUCTURE has them."""
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}  # name -> number -> (value, is percent-encoded)
    for key, value in pairs:
        extended = _EXTENDED.fullmatch(key)
        if extended is None:
            plain.setdefault(key, value)
        else:
            number = int(extended[2] or 0)
            is_encoded = extended[2] is None or extended[3] is not None
            pieces.setdefault(extended[1], {}).setdefault(number, (value, is_encoded))
    for key, numbered in pieces.items():
        if 0 in numbered:
            plain[key] = _joined(numbered)
    return plain


def _unquoted(key: str, value: str) -> str:
    """Return a value that has no quotes, or not both."""
    value = value.strip()
    if key.partition("*")[0] in _NAMES:
        return value.rstrip('"')
    return value.split(None, 1)[0].rstrip('"') if value else ""


def _joined(numbered: Mapping[int, tuple[str, bool]]) -> str:
    """Join the continuations of one parameter up to the first gap (RFC 2231 sections 3 and 4)."""
    first, is_encoded = numbered[0]
    codec = None
    if is_encoded and first.count("'") >= 2:
        charset, _, first = first.split("'", 2)
        codec = codec_name(charset)
    octets = []
    number, value = 0, first
    while True:
        octets.append(unquote_to_bytes(value) if is_encoded else value.encode("utf-8", "replace"))
        number += 1
        if number not in numbered:
            break
        value, is_encoded = numbered[number]
    data = b"".join(octets)
    return guess(data) if codec is None else decode_octets(data, codec)[0]
