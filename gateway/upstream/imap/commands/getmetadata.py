"""GETMETADATA (RFC 5464 section 4.2) of one mailbox."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.lexer import text_of
from gateway.upstream.imap.names import MailboxNames
from gateway.upstream.imap.response import Data, Status


class GetMetadata(Command[str | None]):
    """Ask for one entry of one mailbox; the result is its value, None where there is none."""

    verb = "GETMETADATA"

    def __init__(self, name: str, entry: str) -> None:
        self._name, self._entry = name, entry
        self._names = MailboxNames()
        self._value: str | None = None

    def line(self, dialect: Dialect) -> Line:
        self._names = dialect.names
        return Line(dialect, "GETMETADATA ").mailbox(self._name).raw(" ").string(self._entry)

    def on_data(self, data: Data) -> bool:
        if data.kind != "METADATA":
            return False
        wire, entries = (*data.values(), None, None)[:2]
        if not isinstance(wire, bytes) or self._names.decode(wire) != self._name or not isinstance(entries, list):
            return False  # without a list: it only tells which entries changed (section 4.4.2)
        for key, value in zip(entries[::2], entries[1::2], strict=False):
            if (text_of(key) or "").lower() == self._entry.lower():  # entry names have no case (section 3.2)
                self._value = text_of(value)
        return True

    def result(self, status: Status) -> str | None:
        return self._value
