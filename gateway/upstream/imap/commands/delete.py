"""DELETE (RFC 9051 section 6.3.5)."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line


class Delete(Command[None]):
    """Delete a mailbox and what is in it."""

    verb = "DELETE"

    def __init__(self, name: str) -> None:
        self._name = name

    def line(self, dialect: Dialect) -> Line:
        return Line(dialect, "DELETE ").mailbox(self._name)
