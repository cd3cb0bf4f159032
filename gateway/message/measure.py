"""A message that somebody else has made, measured before it is stored anew (RFC 8621 section 4.8).

Rule 1: line ends become CRLF and NULs go, which no mail store holds otherwise. Nothing else is changed.
Rule 2: a message is read once to measure it and once more for each reading; a small one is kept instead.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from gateway.message.build import ContentChanged
from gateway.message.dates import parse_date, to_epoch
from gateway.message.headers import Field, header_end, parse_fields, unfolded
from gateway.message.lines import LineEnds

KEPT_OCTETS = 256 * 1024  # most messages are smaller: they are read once
MAX_HEADER_OCTETS = 1024 * 1024  # of a header we look into; no server takes one as long

# One of these is in whatever is a message; without it, it is a text with a colon in its first line.
_KNOWN = frozenset(
    (
        "from", "sender", "reply-to", "to", "cc", "bcc", "date", "subject", "message-id", "in-reply-to", "references",
        "received", "return-path", "mime-version", "content-type", "resent-from", "resent-date",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """A message and what was learnt by reading it. `octets` may be called again."""

    octets: Callable[[], AsyncGenerator[bytes, None]]
    size_octets: int
    has_utf8_headers: bool
    fields: tuple[Field, ...]

    @property
    def is_message(self) -> bool:
        return any(name.lower() in _KNOWN for name, _value in self.fields)

    @property
    def received_at_s(self) -> int | None:
        """Return the time of the most recent Received field, the first; None where there is none."""
        for name, value in self.fields:
            if name.lower() == "received":
                date = parse_date(unfolded(value).rpartition(";")[2])
                return None if date is None else to_epoch(date)
        return None


async def measure(open: Callable[[], AsyncGenerator[bytes, None]]) -> Measured:
    """Read a message through. `open` may be called again later."""
    lines, header, kept = LineEnds(), bytearray(), bytearray()
    is_small = True
    async with aclosing(open()) as chunks:
        async for chunk in chunks:
            octets = lines.feed(chunk)
            if len(header) < MAX_HEADER_OCTETS:
                header += octets
            if is_small:
                kept += octets
                is_small = len(kept) <= KEPT_OCTETS
    rest = lines.finish()
    header += rest
    kept += rest
    block = bytes(header[: min(header_end(bytes(header)), MAX_HEADER_OCTETS)])
    first_line = block.partition(b"\r\n")[0]
    # A message begins with a field: what comes after a line of something else is not its header.
    fields = tuple(parse_fields(block)) if parse_fields(first_line) else ()
    size_octets = lines.size_octets

    async def again() -> AsyncGenerator[bytes, None]:
        lines = LineEnds()
        async with aclosing(open()) as chunks:
            async for chunk in chunks:
                if octets := lines.feed(chunk):
                    if lines.size_octets > size_octets:
                        break
                    yield octets
        if rest := lines.finish():
            yield rest
        if lines.size_octets != size_octets:
            raise ContentChanged

    async def whole() -> AsyncGenerator[bytes, None]:
        yield bytes(kept)

    return Measured(whole if is_small else again, size_octets, _is_utf8(block), fields)


def _is_utf8(header: bytes) -> bool:
    """Tell whether a header is in RFC 6532's UTF-8; what is 8-bit otherwise is stored as plain octets."""
    try:
        return not header.isascii() and bool(header.decode("utf-8"))
    except UnicodeDecodeError:
        return False
