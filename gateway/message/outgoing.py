"""A stored message on its way out (RFC 8621 section 7.5): CRLF line ends, no Bcc. Streaming.

Rule 1: Bcc and Resent-Bcc go whole, with their folded lines, however often they are there; nothing else is changed.
Rule 2: the header is held until it is complete, and no longer than `MAX_HEADER_OCTETS`: what is longer is refused,
        for a Bcc beyond that would go out.
"""

from __future__ import annotations

import re

from gateway.message.headers import Field, header_end, parse_fields
from gateway.message.lines import LineEnds

MAX_HEADER_OCTETS = 1024 * 1024  # no server takes one as long

_BLIND = re.compile(rb"^(?:resent-)?bcc[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)", re.IGNORECASE | re.MULTILINE)


class HeaderTooLong(ValueError):
    """The header does not end in time."""


class Outgoing:
    """Takes a message in pieces and gives back what goes out. What it learnt is there after `finish`."""

    def __init__(self) -> None:
        self._lines = LineEnds()
        self._header: bytearray | None = bytearray()
        self.fields: tuple[Field, ...] = ()  # all of them, Bcc included
        self.has_utf8_headers = False
        self.size_octets = 0

    @property
    def is_8bit(self) -> bool:
        """Tell whether there are octets beyond ASCII anywhere."""
        return self._lines.has_8bit

    def feed(self, data: bytes) -> bytes:
        """Take a piece; return what goes out by now. Raise `HeaderTooLong`."""
        return self._given(self._take(self._lines.feed(data)))

    def finish(self) -> bytes:
        """Return the rest."""
        octets = self._take(self._lines.finish())
        if self._header is not None:
            octets += self._end_header(len(self._header))
        return self._given(octets)

    def _given(self, octets: bytes) -> bytes:
        self.size_octets += len(octets)
        return octets

    def _take(self, octets: bytes) -> bytes:
        if self._header is None:
            return octets
        seen = max(0, len(self._header) - 4)
        self._header += octets
        if self._header.startswith(b"\r\n") or self._header.find(b"\r\n\r\n", seen) >= 0:
            return self._end_header(header_end(bytes(self._header)))
        if len(self._header) > MAX_HEADER_OCTETS:
            raise HeaderTooLong
        return b""

    def _end_header(self, end: int) -> bytes:
        assert self._header is not None
        block, rest = bytes(self._header[:end]), bytes(self._header[end:])
        self._header = None
        if len(block) > MAX_HEADER_OCTETS:
            raise HeaderTooLong
        self.fields = tuple(parse_fields(block))
        block = _BLIND.sub(b"", block)
        self.has_utf8_headers = _is_utf8(block)
        return block + rest


def _is_utf8(block: bytes) -> bool:
    """Tell whether a header is in RFC 6532's UTF-8; what is 8-bit otherwise goes as it is."""
    try:
        return not block.isascii() and bool(block.decode("utf-8"))
    except UnicodeDecodeError:
        return False
