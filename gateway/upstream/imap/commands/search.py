"""UID SEARCH (RFC 9051 section 6.4.4); with ESEARCH the answer is a set of ranges that names its tag (RFC 4731)."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

from gateway.upstream.imap import uidset
from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.errors import ProtocolViolation
from gateway.upstream.imap.lexer import Malformed, lex_value
from gateway.upstream.imap.mailbox import Range
from gateway.upstream.imap.response import Data, Status


class Search(Command["SearchAnswer"]):
    """Search the selected mailbox. A str is a search key as it stands, bytes are a string of the user's."""

    verb = "SEARCH"
    is_patient = True

    def __init__(self, criteria: Sequence[str | bytes], *, extended: bool, charset: str | None = None) -> None:
        self._criteria, self._extended, self._charset = criteria, extended, charset
        self._tag = b""
        self._answer = SearchAnswer()
        self.family = None if extended else "SEARCH"

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, "UID SEARCH")
        if self._extended:
            line.raw(" RETURN (ALL)")
        if self._charset and not dialect.utf8:  # RFC 6855 section 3: no CHARSET once UTF8=ACCEPT is on
            line.raw(f" CHARSET {self._charset}")
        for key in self._criteria:
            line.raw(" ")
            if isinstance(key, bytes):
                line.string(key, quoted=True)
            else:
                line.raw(key)
        return line

    def sent_as(self, tag: bytes) -> None:
        self._tag = tag

    def on_data(self, data: Data) -> bool:
        if data.kind == "SEARCH":
            self._answer.numbers.append(data.rest.partition(b"(")[0])  # behind it: (MODSEQ n)
            return True
        if data.kind != "ESEARCH" or not self._extended:
            return False
        return self._read_extended(data.rest)

    def _read_extended(self, rest: bytes) -> bool:
        """Read `(TAG "a1") UID COUNT 5 ALL 1:5`; an answer without TAG is taken as ours."""
        pos = 0
        if rest.startswith(b"("):
            correlator, pos = lex_value(rest)
            if isinstance(correlator, list) and len(correlator) > 1 and correlator[1] != self._tag:
                return False
        words = rest[pos:].split()
        for name, value in pairwise(words):
            if name.upper() == b"ALL":
                try:
                    self._answer.ranges.extend(uidset.parse(value))
                except ValueError:
                    raise Malformed("not a set of uids") from None
        return True

    def result(self, status: Status) -> "SearchAnswer":
        return self._answer


class SearchAnswer:
    """What SEARCH said, not yet turned into ranges: a million numbers take too long to read in one go."""

    __slots__ = ("numbers", "ranges")

    def __init__(self) -> None:
        self.numbers: list[bytes] = []
        self.ranges: list[Range] = []


SLICE_OCTETS = 32 << 10  # of numbers: about a millisecond's work


async def to_ranges(answer: SearchAnswer) -> list[Range]:
    """Turn an answer into sorted disjoint ranges, leaving the event loop to others in between."""
    ranges = list(answer.ranges)
    for numbers in answer.numbers:
        start = 0
        while start < len(numbers):
            end = numbers.find(b" ", start + SLICE_OCTETS)
            end = len(numbers) if end < 0 else end
            try:
                ranges += uidset.from_uids(map(int, numbers[start:end].split()))
            except ValueError:
                raise ProtocolViolation("SEARCH told what are no numbers") from None
            start = end
            if start < len(numbers):
                await asyncio.sleep(0)
    return uidset.normalize(ranges)
