"""A message's octets -> its MIME tree (RFC 2045, RFC 2046), numbered as IMAP numbers sections.

Rule 1: one pass: every line that begins with "--" is looked at once, every empty line is sought once, and no octet is
        copied but to be decoded and counted.
Rule 2: a line is a delimiter if it begins with "--" and the boundary (RFC 2046 section 5.1.1); of several boundaries
        that fit, the longest, then the innermost. An outer delimiter ends all that is inside.
Rule 3: what pretends to be a multipart and has no delimiter is text: nothing of a message may be out of reach.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.message.headers import Field, header_end, parse_fields, unfolded
from gateway.message.parameters import file_name, parse_content_type, parse_value
from gateway.message.part import Part
from gateway.message.transfer import decoder

# Dovecot's limits. Real mail nests below 10 and has a few hundred parts at most.
MAX_DEPTH: Final = 100
MAX_PARTS: Final = 10_000
# The octets decoded at a time to learn a part's size: bounds the memory, not the part.
_COUNTED_AT_ONCE: Final = 1 << 20

_COMMENT = re.compile(r"\([^()]*+\)")
_BLANKS = re.compile(r"[ \t\r\n]+")
_CONTENT_ID = re.compile(r"<([^<>]*+)>")


@dataclass(slots=True)
class _Open:
    """A part whose end is not yet known."""

    section: str
    header_start: int
    implicit_type: str
    body_start: int = -1  # -1: still in the header
    delimiter: bytes = b""  # with its two dashes; empty: no multipart
    has_delimiter: bool = False
    is_digest: bool = False
    subparts: list[Part] = field(default_factory=list)
    part: Part | None = None  # as its header describes it


class ParsedMessage:
    """A message and where its parts are. Offsets stand in for copies; the octets stay whole."""

    __slots__ = ("_data", "_spans", "fields", "header_block", "root")

    def __init__(self, data: bytes, root: Part, spans: dict[str, tuple[int, int, int]]) -> None:
        self._data, self._spans, self.root = data, spans, root
        self.header_block = data[: header_end(data)]
        self.fields: list[Field] = parse_fields(self.header_block)

    def section(self, section: str) -> bytes:
        """Return the encoded octets of a part's body; b"" where there is no such part."""
        _, start, end = self._spans.get(section, (0, 0, 0))
        return self._data[start:end]

    def part_header(self, section: str) -> bytes:
        """Return the raw header of a part with its empty line; the message's own where the part is its root."""
        start, end, _ = self._spans.get(section, (0, 0, 0))
        return self._data[start:end]


def parse_message(data: bytes) -> ParsedMessage:
    """Parse a message; anything is one."""
    return _Parser(data).run()


class _Parser:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.spans: dict[str, tuple[int, int, int]] = {}
        # Root first. All but the last are multiparts; the last may be a leaf or still in its header.
        self.stack: list[_Open] = []
        self.prefixes: tuple[bytes, ...] = ()
        self.count = 0
        self.root: Part | None = None

    def run(self) -> ParsedMessage:
        data, find = self.data, self.data.find
        self._begin(_Open("", 0, "text/plain"))
        empty_line = header_end(data)
        line = 0 if data.startswith(b"--") else find(b"\n--") + 1 or len(data)
        while True:
            top = self.stack[-1]
            if top.body_start < 0:
                if empty_line <= top.header_start:
                    empty_line = header_end(data, top.header_start)
                if empty_line <= line or not self.prefixes:
                    self._end_header(top, empty_line)
                    continue
            if line >= len(data) or not self.prefixes:
                break
            if data.startswith(self.prefixes, line):
                self._delimiter(line)
            line = find(b"\n--", line) + 1 or len(data)
        self._close_to(0, len(data))
        assert self.root is not None
        return ParsedMessage(data, self.root, self.spans)

    def _begin(self, part: _Open) -> None:
        self.count += 1
        self.stack.append(part)

    def _end_header(self, part: _Open, body_start: int) -> None:
        part.body_start = body_start
        self._describe(part, body_start)

    def _describe(self, part: _Open, header_stop: int) -> None:
        described, boundary = describe(
            part.section, parse_fields(self.data[part.header_start : header_stop]), part.implicit_type
        )
        if described.is_multipart and len(self.stack) >= MAX_DEPTH:
            described, boundary = _as_type(described, "application/octet-stream"), ""
        elif described.is_multipart and not boundary:
            described = _as_type(described, "text/plain")
        part.part = described
        if described.is_multipart:
            part.delimiter = b"--" + boundary.encode("utf-8", "replace")
            part.is_digest = described.type == "multipart/digest"
            self._note_prefixes()

    def _note_prefixes(self) -> None:
        # Past the limit no boundary is looked for: the rest stays in the last part.
        is_full = self.count >= MAX_PARTS
        self.prefixes = () if is_full else tuple(part.delimiter for part in self.stack if part.delimiter)

    def _delimiter(self, line: int) -> None:
        """End what the delimiter line at `line` ends, and begin the part that follows it."""
        data = self.data
        depth, length = -1, 0
        for index, part in enumerate(self.stack):
            if part.delimiter and len(part.delimiter) >= length and data.startswith(part.delimiter, line):
                depth, length = index, len(part.delimiter)
        frame = self.stack[depth]
        frame.has_delimiter = True
        stop = line - 2 if data[line - 2 : line - 1] == b"\r" and line > 1 else line - 1
        self._close_to(depth + 1, stop)
        after = line + length
        if data.startswith(b"--", after):
            # What follows is the epilogue, unless an outer delimiter says otherwise: nothing can match this again.
            frame.delimiter = b""
            self._note_prefixes()
            return
        start = data.find(b"\n", after) + 1 or len(data)
        number = len(frame.subparts) + 1
        section = f"{frame.section}.{number}" if frame.section else str(number)
        self._begin(_Open(section, start, "message/rfc822" if frame.is_digest else "text/plain"))
        self._note_prefixes()

    def _close_to(self, depth: int, stop: int) -> None:
        """Close all open parts from the innermost to the one at `depth`; their content ends at `stop`."""
        while len(self.stack) > depth:
            part = self.stack.pop()
            if part.body_start < 0:
                # A delimiter came before the empty line: there is a header only.
                self._end_header(part, max(stop, part.header_start))
            closed = self._close(part, max(stop, part.body_start))
            if self.stack:
                self.stack[-1].subparts.append(closed)
            else:
                self.root = closed
        self._note_prefixes()

    def _close(self, open_part: _Open, stop: int) -> Part:
        part, start = open_part.part, open_part.body_start
        assert part is not None
        is_root = not self.stack
        if part.is_multipart and not open_part.has_delimiter:
            part = _as_type(part, "text/plain")
        section = "1" if is_root and not part.is_multipart else part.section
        octets = stop - start
        span = (open_part.header_start, start, stop)
        self.spans[section] = span
        if is_root:
            self.spans[""] = span
        decoded = octets if part.is_multipart else self._decoded_octets(start, stop, part.encoding)
        subparts = tuple(open_part.subparts)
        return replace(part, section=section, encoded_octets=octets, decoded_octets=decoded, subparts=subparts)

    def _decoded_octets(self, start: int, stop: int, encoding: str) -> int:
        if encoding not in ("base64", "quoted-printable"):
            return stop - start
        decode = decoder(encoding)
        count = 0
        for at in range(start, stop, _COUNTED_AT_ONCE):
            count += len(decode.feed(self.data[at : min(at + _COUNTED_AT_ONCE, stop)]))
        return count + len(decode.finish())


def describe(section: str, fields: list[Field], implicit_type: str = "text/plain") -> tuple[Part, str]:
    """Return what a part's header says of it, sizes unknown, and its boundary ("": none).

    Of fields that occur twice the first counts, as for IMAP servers.
    """
    found: dict[str, str] = {}
    for name, raw in fields:
        lower = name.lower()
        if lower.startswith("content-") and lower not in found:
            found[lower] = unfolded(raw)
    content_type = found.get("content-type")
    kind = parse_content_type(content_type) if content_type is not None else None
    disposition = parse_value(found.get("content-disposition", ""))
    type_ = kind.value if kind is not None else implicit_type
    charset = kind.parameters.get("charset") if kind is not None else None
    part = Part(
        section=section,
        type=type_,
        charset=charset or ("us-ascii" if kind is None or type_.startswith("text/") else None),
        name=file_name(disposition.parameters, kind.parameters if kind is not None else {}),
        disposition=disposition.value or None,
        cid=_content_id(found.get("content-id")),
        language=_languages(found.get("content-language")),
        location=_BLANKS.sub("", found.get("content-location", "")) or None,
        encoding=parse_value(found.get("content-transfer-encoding", "")).value or "7bit",
    )
    return part, kind.parameters.get("boundary", "").rstrip() if kind is not None else ""


def _content_id(value: str | None) -> str | None:
    if value is None:
        return None
    match = _CONTENT_ID.search(value)
    return _BLANKS.sub("", match[1] if match is not None else _COMMENT.sub("", value)).strip("<>") or None


def _languages(value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return tuple(tag for tag in _BLANKS.sub("", _COMMENT.sub("", value)).split(",") if tag) or None


def _as_type(part: Part, type_: str) -> Part:
    charset = part.charset or ("us-ascii" if type_.startswith("text/") else None)
    return replace(part, type=type_, charset=charset)
