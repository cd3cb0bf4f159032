"""Where a response ends (RFC 9051 sections 2.2.2 and 4.3): octets in, whole responses out, literals included. No I/O.

Rule 1: linear. Whatever the cuts, no octet is looked at twice: not a literal's, not those of a line in the making.
Rule 2: only untagged data responses carry literals. The text of OK, NO, BAD, BYE, of tagged and of continuation
    responses may end in `{5}` and means nothing by it.
Rule 3: bounded: a line, a literal and a response have limits; what exceeds them raises `ProtocolViolation`, because
    where the next response would begin cannot be known.
Rule 4: a large literal goes to a sink, chunk by chunk; `{0}` stands in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.upstream.imap.errors import ProtocolViolation

MAX_LINE_OCTETS = 1 << 20  # a legal BODYSTRUCTURE exceeds 8 KiB by far; nothing legal but uid lists exceeds this
MAX_UIDS_LINE_OCTETS = 32 << 20  # SEARCH without ESEARCH: 11 octets for each of three million messages
LARGE_LITERAL_OCTETS = 64 << 10  # from here on a literal is worth a sink
MAX_LITERAL_OCTETS = 128 << 20  # kept in memory; above what mail servers accept as one message (Exchange: 150 MB)
MAX_SUNK_OCTETS = 4 << 30  # IMAP's own limit for a literal (RFC 9051: number; number64 only with BINARY and APPEND)
MAX_RESPONSE_OCTETS = 160 << 20  # the largest literal and its company

LiteralSink = Callable[[bytes], None]
OpenLiteral = Callable[[bytes, int], LiteralSink | None]  # (the line up to the literal, its octets)

_LITERAL = re.compile(rb"(?:^|[ (])~?\{(\d{1,12})\+?\}$")
_STATUS = re.compile(rb"\* (?:OK|NO|BAD|BYE|PREAUTH)\b", re.IGNORECASE)
_MESSAGE = re.compile(rb"\* \d{1,10} FETCH \([^{\r\n]{1,2000}+(?<= )\{(\d{1,4})\}\r\n")
_UIDS = re.compile(rb"\* (?:SEARCH|SORT|ESEARCH|VANISHED|THREAD) ", re.IGNORECASE)
_TAIL = 24  # octets in which a literal's announcement fits
_BRACE = 0x7D
_LF = 0x0A


class Scanner:
    """Feed it what arrives; it returns the responses that are complete, without their last CRLF."""

    __slots__ = ("_body", "_line", "_need", "_open_literal", "_sink")

    def __init__(self, open_literal: OpenLiteral | None = None) -> None:
        self._open_literal = open_literal
        self._body = bytearray()  # of the response in the making: whole lines and literals
        self._line = bytearray()  # its current line, without CRLF
        self._need = 0  # octets missing from the current literal
        self._sink: LiteralSink | None = None

    @property
    def is_idle(self) -> bool:
        """Tell whether no response has begun."""
        return not (self._body or self._line)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the responses that `data` completes."""
        out: list[bytes] = []
        pos = 0 if self.is_idle else self._resume(data, 0, out)
        while pos < len(data):
            pos = self._scan(data, pos, out)
            if pos < len(data):
                pos = self._resume(data, pos, out)
        return out

    def _scan(self, data: bytes, start: int, out: list[bytes]) -> int:
        """Cut whole responses out of `data`; keep the beginning of the last. Return where to resume."""
        find, message = data.find, _MESSAGE.match
        pos = start
        while True:
            # By far the most frequent: one small literal, and the end behind it.
            while pos == start and (match := message(data, start)) is not None:
                after = match.end() + int(match[1])
                if data[after : after + 3] != b")\r\n":
                    break
                out.append(data[start : after + 1])
                start = pos = after + 3
            end = find(b"\r\n", pos)
            if end < 0:
                break
            if end - pos > MAX_LINE_OCTETS:
                _check_line(data[start : start + 16], end - pos)
            if end > pos and data[end - 1] == _BRACE:
                octets = _announced(data[start : start + 16], data[max(pos, end - _TAIL) : end])
                if octets is not None:
                    after = end + 2 + octets
                    if octets < LARGE_LITERAL_OCTETS and after <= len(data):
                        pos = after
                        continue
                    self._keep(data[start:pos])
                    self._begin_literal(data[pos:end], octets)
                    return end + 2
            out.append(data[start:end])
            start = pos = end + 2
        self._keep(data[start:pos])
        return self._extend_line(data, pos)

    def _resume(self, data: bytes, pos: int, out: list[bytes]) -> int:
        """Go on with the response in the making, up to its end or the end of `data`."""
        while pos < len(data):
            if self._need:
                pos = self._fill_literal(data, pos)
                continue
            if data[pos] == _LF and self._line.endswith(b"\r"):
                del self._line[-1]
                end, after = pos, pos + 1
            else:
                end = data.find(b"\r\n", pos)
                after = end + 2
                if end < 0:
                    return self._extend_line(data, pos)
            self._line += data[pos:end]
            line = bytes(self._line)
            head = bytes(self._body[:16]) or line[:16]
            _check_line(head, len(line))
            octets = _announced(head, line[-_TAIL:]) if line.endswith(b"}") else None
            self._line.clear()
            if octets is None:
                out.append(bytes(self._body) + line if self._body else line)
                self._body = bytearray()  # not clear(): that would keep the largest response's memory
                return after
            self._begin_literal(line, octets)
            pos = after
        return pos

    def _extend_line(self, data: bytes, pos: int) -> int:
        self._line += data[pos:]
        if len(self._line) > MAX_LINE_OCTETS:
            _check_line(bytes(self._body[:16] or self._line[:16]), len(self._line))
        return len(data)

    def _begin_literal(self, line: bytes, octets: int) -> None:
        sink = None
        if octets >= LARGE_LITERAL_OCTETS and self._open_literal is not None:
            sink = self._open_literal(line, octets)
        if octets > (MAX_LITERAL_OCTETS if sink is None else MAX_SUNK_OCTETS):
            raise ProtocolViolation(f"a literal of {octets} octets")
        self._need, self._sink = octets, sink
        self._keep((line if sink is None else line[: line.rindex(b"{")] + b"{0}") + b"\r\n")

    def _fill_literal(self, data: bytes, pos: int) -> int:
        piece = data[pos : pos + self._need]
        if self._sink is None:
            self._keep(piece)
        else:
            self._sink(piece)
        self._need -= len(piece)
        return pos + len(piece)

    def _keep(self, piece: bytes) -> None:
        self._body += piece
        if len(self._body) > MAX_RESPONSE_OCTETS:
            raise ProtocolViolation("a response without end")


def _check_line(head: bytes, octets: int) -> None:
    if octets > MAX_LINE_OCTETS and (octets > MAX_UIDS_LINE_OCTETS or not _UIDS.match(head)):
        raise ProtocolViolation("a line without end")


def _announced(head: bytes, tail: bytes) -> int | None:
    """Return the size of the literal that a line announces, if it does."""
    match = _LITERAL.search(tail)
    if match is None or not head.startswith(b"* ") or _STATUS.match(head):
        return None
    return int(match[1])
