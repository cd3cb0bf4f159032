"""Commands on their way out: atoms, quoted strings, literals (RFC 9051 section 4, RFC 7888). Pure.

Rule 1: nothing a caller passes can end a line: CR, LF and NUL are refused in text, and a string that holds CR or LF
    travels as a literal. NUL fits in no string at all (RFC 9051 section 4.3) and is refused.
Rule 2: a synchronizing literal is followed by `WAIT`: nothing goes out until the server says `+`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from gateway.upstream.imap.names import MailboxNames

MAX_QUOTED_OCTETS = 1_000  # longer strings go as literals: servers bound their lines, not their literals
LITERAL_MINUS_OCTETS = 4_096  # RFC 7888 section 5

_ATOM = re.compile(rb"[A-Za-z0-9!#$&'+,\-./:;<=>?@^_`|~]+")  # no `[`: some servers read a section into it
_LINE_BREAKERS = re.compile(rb"[\r\n\0]")
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")
_FLAG = re.compile(r"\\?[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")
_TO_ESCAPE = re.compile(rb'(["\\])')


class Unencodable(ValueError):
    """A value that no IMAP command can carry, or that would break out of its line."""


class Wait(Enum):
    """A point in a command where the server must speak first."""

    WAIT = 0


WAIT: Final = Wait.WAIT


@dataclass(frozen=True, slots=True)
class Stream:
    """A literal that is read while it is sent; its source must give exactly `octets` octets."""

    octets: int
    source: AsyncIterable[bytes]


Piece = bytes | Stream | Wait


class LiteralMode(Enum):
    """Which literals need not wait."""

    SYNCHRONIZING = 0
    MINUS = 1  # LITERAL-
    PLUS = 2  # LITERAL+


@dataclass(slots=True)
class Dialect:
    """What the connection speaks."""

    names: MailboxNames = field(default_factory=MailboxNames)
    literals: LiteralMode = LiteralMode.SYNCHRONIZING

    @property
    def utf8(self) -> bool:
        """Quoted strings may hold UTF-8 (RFC 6855 section 3)."""
        return self.names.utf8


class Line:
    """Build one command: `Line(dialect).raw("STATUS ").mailbox(name).raw(" (UIDNEXT)")`."""

    __slots__ = ("_dialect", "_pieces", "_text")

    def __init__(self, dialect: Dialect, text: str = "") -> None:
        self._dialect = dialect
        self._pieces: list[Piece] = []
        self._text: list[bytes] = []
        self.raw(text)

    def raw(self, text: str | bytes) -> Line:
        """Add text as it stands: our own words, and items or sets from callers; it cannot end the line."""
        octets = text.encode() if isinstance(text, str) else text
        if _LINE_BREAKERS.search(octets):
            raise Unencodable("CR, LF or NUL in a command")
        self._text.append(octets)
        return self

    def mailbox(self, name: str) -> Line:
        """Add a mailbox name."""
        try:
            return self.string(self._dialect.names.encode(name))
        except UnicodeError:
            raise Unencodable("a mailbox name with a lone surrogate") from None

    def pattern(self, pattern: str) -> Line:
        """Add a LIST pattern: a mailbox name with `*` and `%`."""
        try:
            return self.string(self._dialect.names.encode(pattern), quoted=True)
        except UnicodeError:
            raise Unencodable("a pattern with a lone surrogate") from None

    def string(self, value: str | bytes, *, quoted: bool = False) -> Line:
        """Add a string: as an atom (unless `quoted`), quoted, or as a literal, whatever is shortest and safe."""
        try:
            octets = value.encode() if isinstance(value, str) else value
        except UnicodeError:
            raise Unencodable("a string with a lone surrogate") from None
        if 0 in octets:
            raise Unencodable("NUL in a string")
        if len(octets) <= MAX_QUOTED_OCTETS:
            if not quoted and _ATOM.fullmatch(octets) and octets.upper() != b"NIL":
                self._text.append(octets)
                return self
            if _QUOTABLE.fullmatch(octets) or (self._dialect.utf8 and _is_quotable_utf8(octets)):
                self._text.append(b'"' + _TO_ESCAPE.sub(rb"\\\1", octets) + b'"')
                return self
        return self.literal(octets)

    def flags(self, flags: Sequence[str]) -> Line:
        """Add flags, separated by spaces; each is an atom, with a backslash before it or not."""
        for flag in flags:
            if not _FLAG.fullmatch(flag):
                raise Unencodable("not a flag")
        return self.raw(" ".join(flags))

    def literal(self, value: bytes, *, is_binary: bool = False) -> Line:
        """Add octets as a literal (`is_binary`: a literal8, RFC 3516)."""
        self._announce(len(value), is_binary=is_binary)
        self._text.append(value)
        return self

    def stream(self, value: Stream, *, is_binary: bool = False) -> Line:
        """Add a literal whose octets come while it is sent."""
        self._announce(value.octets, is_binary=is_binary)
        self._flush()
        self._pieces.append(value)
        return self

    def _announce(self, octets: int, *, is_binary: bool = False) -> None:
        mode = self._dialect.literals
        waits = mode is LiteralMode.SYNCHRONIZING or (mode is LiteralMode.MINUS and octets > LITERAL_MINUS_OCTETS)
        self._text.append(b"%s{%d%s}\r\n" % (b"~" if is_binary else b"", octets, b"" if waits else b"+"))
        if waits:
            self._flush()
            self._pieces.append(WAIT)

    def _flush(self) -> None:
        if self._text:
            self._pieces.append(b"".join(self._text))
            self._text.clear()

    def pieces(self, tag: bytes) -> list[Piece]:
        """Return the whole command with its tag and CRLF."""
        self._text.append(b"\r\n")
        self._flush()
        first = self._pieces[0]
        # A command begins with text: its verb.
        self._pieces[0] = tag + b" " + first if isinstance(first, bytes) else first
        return self._pieces


def _is_quotable_utf8(octets: bytes) -> bool:
    if b"\r" in octets or b"\n" in octets:
        return False
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
