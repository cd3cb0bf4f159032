"""Marking the words of a search in a text (RFC 8621 section 5). Pure.

Rule 1: nothing is shown that is not in the text; where no word occurs the answer is None.
Rule 2: every `&`, `<` and `>` of the text is escaped, so that `<mark>` is the only markup.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from html import escape

OPEN, CLOSE, MORE = "<mark>", "</mark>", "…"
# What comes before the first match: enough to see what it is about, little enough that the match is seen.
LEAD_CHARACTERS = 50


def matcher(words: Iterable[str]) -> re.Pattern[str] | None:
    """Return what finds any of these words or phrases, in any case; None for no words."""
    # Longest first: of "foo" and "football" the alternation takes the first that fits.
    longest_first = sorted({_composed(word) for word in words if word.strip()}, key=len, reverse=True)
    forms = [r"\s+".join(re.escape(piece) for piece in word.split()) for word in longest_first]
    return re.compile("|".join(forms), re.IGNORECASE) if forms else None


def mark(text: str, words: re.Pattern[str] | None) -> str | None:
    """Return the whole text with its matches marked."""
    if words is None:
        return None
    text = _composed(text)
    if words.search(text) is None:
        return None
    return "".join(_form(piece, is_match) for piece, is_match in _pieces(text, 0, words))


def excerpt(text: str, words: re.Pattern[str] | None, *, max_octets: int) -> str | None:
    """Return the text around the first match, matches marked, in at most so many octets of UTF-8."""
    if words is None:
        return None
    text = " ".join(_composed(text).split())
    found = words.search(text)
    if found is None:
        return None
    start = _start(text, found.start())
    shown, room = "", max_octets - len(MORE.encode()) * 2
    is_cut = False
    for piece, is_match in _pieces(text, start, words):
        form = _form(piece, is_match)
        size = len(form.encode())
        if size > room:
            shown += _cut(piece, is_match, room)
            is_cut = True
            break
        shown, room = shown + form, room - size
    return (MORE if start else "") + shown + (MORE if is_cut else "")


def _start(text: str, match: int) -> int:
    """Return where an excerpt begins: at a word, a little before the match."""
    if match <= LEAD_CHARACTERS:
        return 0
    space = text.find(" ", match - LEAD_CHARACTERS, match)
    return match if space < 0 else space + 1


def _pieces(text: str, start: int, words: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
    """Yield the text from `start` on in pieces, and whether each is a match."""
    for found in words.finditer(text, start):
        if found.start() > start:
            yield text[start : found.start()], False
        yield found.group(), True
        start = found.end()
    if start < len(text):
        yield text[start:], False


def _form(piece: str, is_match: bool) -> str:
    escaped = escape(piece, quote=False)
    return f"{OPEN}{escaped}{CLOSE}" if is_match else escaped


def _cut(piece: str, is_match: bool, room: int) -> str:
    """Return as much of a piece as there is room for, without a character, an entity or a word cut in two."""
    if is_match:
        room -= len(OPEN) + len(CLOSE)
    end = 0
    while end < len(piece) and (room := room - len(escape(piece[end], quote=False).encode())) >= 0:
        end += 1
    kept = piece[:end]
    if is_match:
        return _form(kept, True) if kept else ""
    at_word = kept.rfind(" ")
    return escape(kept[:at_word] if at_word >= 0 else kept, quote=False)


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)
