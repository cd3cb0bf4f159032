"""SETMETADATA (RFC 5464 section 4.3) of one mailbox."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line


class SetMetadata(Command[None]):
    """Set one entry of one mailbox; None removes it."""

    verb = "SETMETADATA"

    def __init__(self, name: str, entry: str, value: str | None) -> None:
        self._name, self._entry, self._value = name, entry, value

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, "SETMETADATA ").mailbox(self._name).raw(" (").string(self._entry).raw(" ")
        # Quoted: a server need not take an atom for a value.
        return (line.raw("NIL") if self._value is None else line.string(self._value, quoted=True)).raw(")")
