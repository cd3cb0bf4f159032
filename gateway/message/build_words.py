"""Encoded words and parameters for writing (RFC 2047, RFC 2231).

Rule 1: an encoded word has at most 75 characters and never cuts a character in two.
Rule 2: what is plain ASCII stays readable; only the words from the first that is not to the last one are encoded.
Rule 3: no control character comes through, not even encoded: a reader may decode before it looks for line ends.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from urllib.parse import quote

MAX_WORD = 75  # characters of an encoded word (RFC 2047 section 2)
MAX_PLAIN_WORD = 500  # characters: a longer word could not be folded, and lines end at 998 octets
MAX_QUOTED = 70  # characters of a quoted string: it stands on one line
MAX_PIECE = 55  # characters of one piece of a parameter: with its name it stands on one line

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_PLAIN = re.compile("[ -~]*")
_WORDS = re.compile(" *[^ ]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")
# Section 5, rule 3: what may stand in an encoded word anywhere, in a phrase too.
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_OVERHEAD = len("=?UTF-8?Q??=")


def clean(text: str) -> str:
    """Return a text on one line: control characters become a blank."""
    return _CONTROLS.sub(" ", text)


def text_words(text: str, *, first_room: int = MAX_WORD) -> list[str]:
    """Return an unstructured value as words, each with the blanks before it. A line may end before any of them."""
    text = clean(text)
    if not text:
        return []
    words = [(match.start(), match.end()) for match in _WORDS.finditer(text)]
    bad = [(start, end) for start, end in words if not _is_plain_word(text[start:end])]
    if text[0] != " " and text[-1] != " " and not bad:
        return _spaced(" " + text)
    start = bad[0][0] if bad and text[0] != " " else 0
    end = bad[-1][1] if bad and text[-1] != " " else len(text)
    if not bad:  # blanks at an end only
        start, end = 0, len(text)
    while start < end and text[start] == " " and start > 0:
        start += 1
    before, after = text[:start], text[end:]
    gap = before[len(before.rstrip(" ")) :] or " "
    room = first_room if not before.strip(" ") else MAX_WORD
    encoded = list(encoded_words(text[start:end], first_room=room))
    return [
        *(_spaced(" " + before.rstrip(" ")) if before.strip(" ") else ()),
        gap + encoded[0],
        *(" " + word for word in encoded[1:]),
        *_spaced(after),
    ]


def phrase_words(text: str, *, first_room: int = MAX_WORD) -> list[str]:
    """Return a display name as words of a phrase: atoms, a quoted string, or encoded words; [] for an empty one."""
    text = clean(text).strip(" ")
    if not text:
        return []
    if _PLAIN.fullmatch(text) and "=?" not in text and len(text) <= MAX_QUOTED:
        if _ATOMS.fullmatch(text):
            return text.split(" ")
        return [quoted(text)]
    return list(encoded_words(text, first_room=first_room))


def quoted(text: str) -> str:
    """Return printable ASCII as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def encoded_words(text: str, *, first_room: int = MAX_WORD) -> Iterator[str]:
    """Yield encoded words that together stand for a text, the first of at most `first_room` characters."""
    octets = text.encode("utf-8", "replace")
    escaped = sum(1 for octet in octets if octet not in _Q_SAFE and octet != 32)
    is_q = 3 * escaped + len(octets) - escaped <= (len(octets) + 2) // 3 * 4
    room = max(first_room, 32) - _OVERHEAD
    piece, cost = "", 0
    for character in text:
        data = character.encode("utf-8", "replace")
        more = sum(1 if octet in _Q_SAFE or octet == 32 else 3 for octet in data) if is_q else len(data)
        whole = cost + more
        if piece and (whole if is_q else (whole + 2) // 3 * 4) > room:
            yield _encoded(piece, is_q)
            piece, cost, room = "", 0, MAX_WORD - _OVERHEAD
        piece += character
        cost += more
    yield _encoded(piece, is_q)


def _encoded(text: str, is_q: bool) -> str:
    octets = text.encode("utf-8", "replace")
    if not is_q:
        return f"=?UTF-8?B?{binascii.b2a_base64(octets, newline=False).decode('ascii')}?="
    payload = "".join("_" if octet == 32 else chr(octet) if octet in _Q_SAFE else f"={octet:02X}" for octet in octets)
    return f"=?UTF-8?Q?{payload}?="


def _is_plain_word(word: str) -> bool:
    return _PLAIN.fullmatch(word) is not None and "=?" not in word and len(word) <= MAX_PLAIN_WORD


def _spaced(text: str) -> list[str]:
    return _WORDS.findall(text)


def parameter(name: str, value: str) -> list[str]:
    """Return a parameter as words, each to follow a ";": plain, quoted, or in pieces (RFC 2231 sections 3 and 4)."""
    value = _CONTROLS.sub("", value)
    if _TOKEN.fullmatch(value) and len(value) <= MAX_PIECE:
        return [f"{name}={value}"]
    if _PLAIN.fullmatch(value) and "=?" not in value and len(value) <= MAX_PIECE:
        return [f"{name}={quoted(value)}"]
    encoded = quote(value.encode("utf-8", "replace"), safe="!#$&+-.^_`|~")
    pieces = [""]
    for piece in re.findall(r"(?:%[0-9A-F]{2})+?|[^%]", encoded):
        if len(pieces[-1]) + len(piece) > MAX_PIECE - (7 if len(pieces) == 1 else 0):
            pieces.append("")
        pieces[-1] += piece
    if len(pieces) == 1:
        return [f"{name}*=utf-8''{pieces[0]}"]
    pieces[0] = "utf-8''" + pieces[0]
    return [f"{name}*{number}*={piece}" for number, piece in enumerate(pieces)]
