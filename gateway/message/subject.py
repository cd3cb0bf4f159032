"""The base subject (RFC 5256 section 2.1) and the collation keys of sorting.

Rule 1: the base subject is what the RFC's algorithm gives, no language more: "AW:" stays. Upstreams that sort and
        thread must agree with us.
Rule 2: every step cuts at an index and never copies the rest: a subject of many "Re:" stays linear.
"""

from __future__ import annotations

import re
from unicodedata import normalize

_BLANKS = re.compile(r"[ \t\r\n]+")
# RFC 5256 section 5; the white space is single blanks by then.
_REFWD = re.compile(r"(?:re|fwd?) ?(?:\[[^\[\]]*+\] ?)?:", re.IGNORECASE)
_LEADERS = re.compile(r"(?:[ \t\r\n]*+(?:re|fwd?)[ \t\r\n]*+:)*+", re.IGNORECASE)  # of a text as it came
_BLOB = re.compile(r"\[[^\[\]]*+\] ?")


def base_subject(text: str) -> str:
    """Return the base subject of a decoded Subject (its Text form)."""
    text = _BLANKS.sub(" ", text)
    start, end = 0, len(text)
    while True:
        end = _without_trailers(text, start, end)
        start = _without_leaders(text, start, end)
        if end - start >= 6 and text[end - 1] == "]" and text[start : start + 5].lower() == "[fwd:":
            start, end = start + 5, end - 1
            continue
        return text[start:end]


def thread_subject(text: str) -> str:
    """Return a base subject as Threads compare it: without white space, in one case (RFC 8621 section 3)."""
    if "[" in text or ")" in text:
        text = base_subject(text)
    elif ":" in text and (leaders := _LEADERS.match(text)) is not None:  # nothing else can be taken off
        text = text[leaders.end() :]
    return "".join(text.split()).casefold()


def _without_trailers(text: str, start: int, end: int) -> int:
    while end > start:
        if text[end - 1] == " ":
            end -= 1
        elif text[end - 1] == ")" and end - start >= 5 and text[end - 5 : end].lower() == "(fwd)":
            end -= 5
        else:
            break
    return end


def _without_leaders(text: str, start: int, end: int) -> int:
    """Repeat steps 3 and 4: take off leaders, and blobs as long as something is left."""
    while start < end:
        if text[start] == " ":
            start += 1
            continue
        last = after_blobs = start
        while (blob := _BLOB.match(text, after_blobs, end)) is not None:
            last, after_blobs = after_blobs, blob.end()
        refwd = _REFWD.match(text, after_blobs, end)
        if refwd is None:
            # No leader begins at any of these blobs; the last one stays if nothing else would.
            return after_blobs if after_blobs < end else last
        start = refwd.end()
    return start


def ascii_casemap(text: str) -> str:
    """Return the key of i;ascii-casemap (RFC 4790 section 9.2): compare keys by code point."""
    if text.isascii():
        return text.upper()
    return text.translate(_ASCII_UPPER)


_ASCII_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}


def unicode_casemap(text: str) -> str:
    """Return the key of i;unicode-casemap (RFC 5051 section 2): compare keys by code point."""
    if text.isascii():
        return text.upper()
    return text.translate(_TITLECASE)


class _Titlecase(dict[int, str]):
    """Code point -> titlecased and decomposed, filled as characters are met."""

    # A mailbox needs a few hundred characters; all of Unicode would be 100 MB.
    MAX_ENTRIES = 8192

    def __missing__(self, code: int) -> str:
        character = chr(code)
        # RFC 5051 takes the simple mapping of UnicodeData.txt; where Python's full one is longer there is none.
        title = character.title()
        if len(title) != 1:
            title = character
        # Hangul syllables decompose by arithmetic and have no mapping there.
        mapped = title if "\uac00" <= title <= "\ud7a3" else normalize("NFKD", title)
        if len(self) < self.MAX_ENTRIES:
            self[code] = mapped
        return mapped


_TITLECASE = _Titlecase()
