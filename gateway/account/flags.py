r"""IMAP flags to JMAP keywords (RFC 8621 section 4.1.1), and the interning of their combinations.

Rule 1: \Seen, \Flagged, \Answered and \Draft are $seen, $flagged, $answered and $draft; any other flag is its name in
lower case, without the characters that a keyword must not hold. \Recent and \Deleted are no keywords.
Rule 2: of an email at several places the keywords are the union, except that $seen holds only if every place has it.
Rule 3: a combination gets its number when it is first seen and keeps it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

import orjson

MAX_FLAGS = 200  # of one message: each filter on a keyword reads every combination
MAX_KEYWORD_OCTETS = 255  # RFC 8621 section 4.1.1
MAX_CACHED = 20_000  # combinations as sent; past this a mailbox uses flags as a database: begin again
_SYSTEM = {"\\seen": "$seen", "\\flagged": "$flagged", "\\answered": "$answered", "\\draft": "$draft"}
_NO_KEYWORD = {"\\recent", "\\deleted"}
_ALLOWED = {chr(code) for code in range(0x21, 0x7F)} - set('(){]%*"\\')


def keyword_of(flag: str) -> str | None:
    """Return the keyword of an IMAP flag; None for a flag that is none."""
    lower = flag.lower()
    if known := _SYSTEM.get(lower):
        return known
    if lower in _NO_KEYWORD:
        return None
    return "".join(character for character in lower if character in _ALLOWED)[:MAX_KEYWORD_OCTETS] or None


def keywords_of(flags: Iterable[str]) -> tuple[str, ...]:
    """Return the keywords of one place, sorted."""
    return tuple(sorted({keyword for flag in flags if (keyword := keyword_of(flag)) is not None}))


def union(places: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Return the keywords of an email at several places."""
    sets = [set(keywords) for keywords in places]
    together = set().union(*sets)
    if not all("$seen" in keywords for keywords in sets):
        together.discard("$seen")
    return tuple(sorted(together))


class FlagSet(NamedTuple):
    """A combination of flags: its number, that of its keywords, and whether it hides the message."""

    num: int
    keywords: int
    is_deleted: bool


class FlagSets:
    """The interned combinations, for the one writer of an index."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._by_flags: dict[tuple[str, ...], FlagSet] = {}
        self._keywordsets: dict[tuple[str, ...], int] = {}

    def forget(self) -> None:
        """Drop what is remembered: after a rollback some numbers are void."""
        self._by_flags.clear()
        self._keywordsets.clear()

    def get(self, flags: tuple[str, ...]) -> FlagSet:
        """Return the combination of these flags as sent, a new one if need be."""
        known = self._by_flags.get(flags)
        return known if known is not None else self._intern(flags)

    def _intern(self, flags: tuple[str, ...]) -> FlagSet:
        if len(self._by_flags) >= MAX_CACHED:
            self._by_flags.clear()
        stored = sorted({flag for flag in flags if flag.lower() != "\\recent"})[:MAX_FLAGS]
        text = orjson.dumps(stored).decode()
        row = self._connection.execute(
            "SELECT num, keywords, is_deleted FROM flagset WHERE flags = ?", (text,)
        ).fetchone()
        if row is None:
            is_deleted = any(flag.lower() == "\\deleted" for flag in flags)
            keywords = self.keywordset(keywords_of(stored))
            cursor = self._connection.execute(
                "INSERT INTO flagset (flags, keywords, is_deleted) VALUES (?, ?, ?)", (text, keywords, is_deleted)
            )
            row = (cursor.lastrowid, keywords, is_deleted)
        known = self._by_flags[flags] = FlagSet(row[0], row[1], bool(row[2]))
        return known

    def keywordset(self, keywords: tuple[str, ...]) -> int:
        """Return the number of a sorted combination of keywords, a new one if need be."""
        if (known := self._keywordsets.get(keywords)) is not None:
            return known
        if len(self._keywordsets) >= MAX_CACHED:
            self._keywordsets.clear()
        text = orjson.dumps(keywords).decode()
        row = self._connection.execute("SELECT num FROM keywordset WHERE keywords = ?", (text,)).fetchone()
        if row is None:
            is_unread = "$seen" not in keywords and "$draft" not in keywords
            cursor = self._connection.execute(
                "INSERT INTO keywordset (keywords, is_unread) VALUES (?, ?)", (text, is_unread)
            )
            row = (cursor.lastrowid,)
        num = self._keywordsets[keywords] = int(row[0])
        return num

    def keywords(self, num: int) -> tuple[str, ...]:
        """Return the combination of keywords with this number."""
        (text,) = self._connection.execute("SELECT keywords FROM keywordset WHERE num = ?", (num,)).fetchone()
        return tuple(orjson.loads(text))
