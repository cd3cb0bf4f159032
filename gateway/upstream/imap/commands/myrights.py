"""MYRIGHTS (RFC 4314 section 3.5)."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.lexer import text_of
from gateway.upstream.imap.names import MailboxNames
from gateway.upstream.imap.response import Data, Status


class MyRights(Command[str | None]):
    """Ask what we may do with a mailbox: the letters of our rights."""

    verb = "MYRIGHTS"

    def __init__(self, name: str) -> None:
        self._name = name
        self._names = MailboxNames()
        self._rights: str | None = None

    def line(self, dialect: Dialect) -> Line:
        self._names = dialect.names
        return Line(dialect, "MYRIGHTS ").mailbox(self._name)

    def on_data(self, data: Data) -> bool:
        if data.kind != "MYRIGHTS":
            return False
        wire, rights = (*data.values(), None, None)[:2]
        if not isinstance(wire, bytes) or self._names.decode(wire) != self._name:
            return False
        self._rights = text_of(rights)
        return True

    def result(self, status: Status) -> str | None:
        return self._rights
