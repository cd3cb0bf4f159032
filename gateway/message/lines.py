"""Octets brought to the line ends of a message, CRLF, and what a transfer encoding has to know of them. Streaming.

Rule 1: a bare LF or a bare CR ends a line, as a reader would have it, and becomes CRLF; a NUL is dropped.
Rule 2: a stream may be cut anywhere, between CR and LF too.
"""

from __future__ import annotations

import re

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class LineEnds:
    """Takes octets in pieces and gives them back with CRLF line ends. Counts what it gives."""

    __slots__ = ("_ends_in_cr", "_line_octets", "has_8bit", "has_changed", "longest_line_octets", "size_octets")

    def __init__(self) -> None:
        self._ends_in_cr = False
        self._line_octets = 0
        self.has_8bit = False
        self.has_changed = False  # anything was not as it should be
        self.longest_line_octets = 0  # without its line end
        self.size_octets = 0

    def feed(self, data: bytes) -> bytes:
        """Take a piece; return what is certain by now."""
        if self._ends_in_cr:
            data = b"\r" + data
        self._ends_in_cr = data.endswith(b"\r")
        return self._take(data[:-1] if self._ends_in_cr else data)

    def finish(self) -> bytes:
        """Return the rest: a last CR is a line end."""
        rest = self._take(b"\r") if self._ends_in_cr else b""
        self._ends_in_cr = False
        return rest

    def _take(self, data: bytes) -> bytes:
        given = data
        if b"\0" in data:
            data = data.replace(b"\0", b"")
        crlf = data.count(b"\r\n")
        if data.count(b"\n") != crlf or data.count(b"\r") != crlf:
            data = _BARE.sub(b"\r\n", data)
        self.has_changed = self.has_changed or data is not given
        self.has_8bit = self.has_8bit or not data.isascii()
        self.size_octets += len(data)
        lines = data.split(b"\r\n")
        lengths = list(map(len, lines))
        lengths[0] += self._line_octets
        self._line_octets = lengths[-1]
        self.longest_line_octets = max(self.longest_line_octets, *lengths)
        return data
