"""RENAME (RFC 9051 section 6.3.6)."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line


class Rename(Command[None]):
    """Rename a mailbox; most servers take its children along. INBOX is special: its messages move."""

    verb = "RENAME"

    def __init__(self, name: str, new_name: str) -> None:
        self._name, self._new_name = name, new_name

    def line(self, dialect: Dialect) -> Line:
        return Line(dialect, "RENAME ").mailbox(self._name).raw(" ").mailbox(self._new_name)
