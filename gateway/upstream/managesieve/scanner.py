"""Where a line ends (RFC 5804 section 4): octets in, whole lines out, literals included. No I/O.

Rule 1: a line that ends in `{5}` outside of quotes goes on after five octets. Quoted strings hold no line break, so
    what ends in a brace cannot be quoted.
Rule 2: linear: no octet is looked at twice, whatever the cuts.
Rule 3: bounded: a line and a literal have limits; what exceeds them raises `ProtocolViolation`, because where the next
    line would begin cannot be known.
"""

from __future__ import annotations

import re

from gateway.upstream.managesieve.errors import ProtocolViolation

MAX_LINE_OCTETS = 64 << 10  # a quoted string has 1024 octets at most; Cyrus lists 40 extensions in 700
MAX_LITERAL_OCTETS = 4 << 20  # a script; Pigeonhole takes 1 MiB by default
MAX_LITERALS = 8  # in one line; no response of the grammar has more than three

_LITERAL = re.compile(rb"(?:^|[ (])\{(\d{1,10})\+?\}$")
_TAIL = 16  # octets in which a literal's announcement fits


class Scanner:
    """Feed it what arrives; it returns the lines that are complete, without their last CRLF."""

    __slots__ = ("_body", "_line", "_literals", "_need")

    def __init__(self) -> None:
        self._body = bytearray()  # of the line in the making: all that ends in a literal
        self._line = bytearray()  # what came since
        self._need = 0  # octets missing from the current literal
        self._literals = 0

    @property
    def is_idle(self) -> bool:
        """Tell whether no line has begun."""
        return not (self._body or self._line or self._need)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes."""
        out: list[bytes] = []
        pos = 0
        while pos < len(data):
            if self._need:
                piece = data[pos : pos + self._need]
                self._body += piece
                self._need -= len(piece)
                pos += len(piece)
                continue
            end = data.find(b"\n", pos)
            piece = data[pos:] if end < 0 else data[pos : end + 1]
            pos += len(piece)
            if len(self._line) + len(piece) > MAX_LINE_OCTETS:
                raise ProtocolViolation("a line without end")
            self._line += piece
            if end >= 0:
                self._end_line(out)
        return out

    def _end_line(self, out: list[bytes]) -> None:
        if not self._line.endswith(b"\r\n"):
            raise ProtocolViolation("a line break without CR")
        match = _LITERAL.search(self._line[-_TAIL - 2 : -2])
        if match is None:
            out.append(bytes(self._body) + bytes(self._line[:-2]))
            self._body, self._literals = bytearray(), 0
        else:
            self._need = int(match[1])
            self._literals += 1
            if self._need > MAX_LITERAL_OCTETS or self._literals > MAX_LITERALS:
                raise ProtocolViolation(f"a literal of {self._need} octets")
            self._body += self._line
        self._line.clear()
