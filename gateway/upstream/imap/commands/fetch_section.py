"""UID FETCH of one section of one message, its octets handed on as they come (RFC 9051 6.4.5; BINARY: RFC 3516)."""

import re
from collections.abc import Callable, Mapping

from gateway.upstream.imap.commands.message_command import MessageCommand
from gateway.upstream.imap.encode import Dialect, Line, Unencodable
from gateway.upstream.imap.errors import SectionMissing
from gateway.upstream.imap.message import Message
from gateway.upstream.imap.response import Status
from gateway.upstream.imap.scanner import LiteralSink

_SECTION = re.compile(r"[A-Za-z0-9.]*(?: \([A-Za-z0-9 !#$&'*+./^_`|~-]*\))?")
_ANNOUNCED_UID = re.compile(rb"[ (]UID (\d+) ")


class FetchSection(MessageCommand[int]):
    """Fetch a section into `write`. The result: how many octets it had."""

    verb = "FETCH"

    def __init__(
        self, uid: int, section: str, *, write: Callable[[bytes], None], partial: tuple[int, int] | None, binary: bool
    ) -> None:
        if not _SECTION.fullmatch(section):
            raise Unencodable("not a section")
        super().__init__(str(uid), only_flags=False)
        self._uid, self._section = uid, section
        self._write = write
        self._partial = partial
        self._name = "BINARY" if binary else "BODY"
        self._key = section.partition(" (")[0].upper()
        self.section = f"{self._name}[{self._key}]"
        self._octets: int | None = None
        self._found = False

    def line(self, dialect: Dialect) -> Line:
        origin = f"<{self._partial[0]}.{self._partial[1]}>" if self._partial else ""
        return Line(dialect, f"UID FETCH {self._uid} (UID {self._name}.PEEK[{self._section}]{origin})")

    def open_literal(self, line: bytes, octets: int) -> LiteralSink | None:
        uid = _ANNOUNCED_UID.search(line)
        if self._octets is not None or (uid is not None and int(uid[1]) != self._uid):
            return None
        if f"{self._name}[{self._section}]".upper().encode() not in line.upper():
            return None
        self._octets = octets
        return self._take

    def _take(self, octets: bytes) -> None:
        self._write(octets)

    def covers(self, message: Message) -> bool:
        return message.uid == self._uid and self._key in self._told(message)

    def _told(self, message: Message) -> Mapping[str, bytes | None]:
        return message.binary if self._name == "BINARY" else message.sections

    def abandon(self) -> None:
        self._write = _ignore

    def on_message(self, message: Message) -> bool:
        if self._octets is None:
            octets = self._told(message)[self._key]
            if octets is None:
                return True
            self._octets = len(octets)
            self._write(octets)
        self._found = True
        return True

    def result(self, status: Status) -> int:
        if not self._found or self._octets is None:
            raise SectionMissing("the section is not there any more", status.code)
        return self._octets


def _ignore(octets: bytes) -> None:
    """Take what nobody waits for."""
