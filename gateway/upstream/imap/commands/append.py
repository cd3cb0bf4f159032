"""APPEND (RFC 9051 section 6.3.12), its message streamed; UTF8 literals (RFC 6855 section 4); APPENDUID (RFC 4315)."""

from collections.abc import AsyncIterable, Sequence
from time import gmtime
from typing import NamedTuple

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line, Stream
from gateway.upstream.imap.lexer import number_of
from gateway.upstream.imap.response import Status

# strftime's %b follows the locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Appended(NamedTuple):
    """Where the message is now; None without UIDPLUS."""

    uidvalidity: int | None
    uid: int | None


class Append(Command[Appended]):
    """Add a message of exactly `octets` octets to a mailbox."""

    verb = "APPEND"
    is_patient = True  # servers check, index and copy before they answer

    def __init__(
        self,
        name: str,
        message: bytes | AsyncIterable[bytes],
        *,
        octets: int,
        flags: Sequence[str] = (),
        internaldate_s: int | None = None,
        has_utf8_headers: bool = False,
    ) -> None:
        self._name, self._message, self._octets = name, message, octets
        self._flags, self._internaldate_s = flags, internaldate_s
        self._has_utf8_headers = has_utf8_headers

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, "APPEND ").mailbox(self._name).raw(" ")
        if self._flags:
            line.raw("(").flags(self._flags).raw(") ")
        if self._internaldate_s is not None:
            line.raw(f"{format_internaldate(self._internaldate_s)} ")
        # Only where it must be: Courier 5.0 enables UTF8=ACCEPT and answers this form with NO.
        is_utf8 = self._has_utf8_headers and dialect.utf8
        if is_utf8:
            line.raw("UTF8 (")
        if isinstance(self._message, bytes):
            line.literal(self._message, is_binary=is_utf8)
        else:
            line.stream(Stream(self._octets, self._message), is_binary=is_utf8)
        return line.raw(")") if is_utf8 else line

    def result(self, status: Status) -> Appended:
        words = status.arguments.split() if status.code == "APPENDUID" else []
        return Appended(number_of(words[0]), number_of(words[1])) if len(words) == 2 else Appended(None, None)


def format_internaldate(seconds: int) -> str:
    """Write an instant as a quoted date-time in UTC."""
    moment = gmtime(seconds)
    return (
        f'"{moment.tm_mday:2d}-{_MONTHS[moment.tm_mon - 1]}-{moment.tm_year:04d}'
        f' {moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d} +0000"'
    )
