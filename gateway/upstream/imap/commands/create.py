"""CREATE (RFC 9051 section 6.3.4) with a special use (RFC 6154 section 3); MAILBOXID of the new one (RFC 8474)."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.response import Status


class Create(Command[str | None]):
    """Create a mailbox; the result is its MAILBOXID where the server tells it."""

    verb = "CREATE"

    def __init__(self, name: str, *, special_use: str | None = None) -> None:
        self._name, self._special_use = name, special_use

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, "CREATE ").mailbox(self._name)
        return line.raw(f" (USE ({self._special_use}))") if self._special_use else line

    def result(self, status: Status) -> str | None:
        return status.arguments.strip(b"()").decode("latin-1") if status.code == "MAILBOXID" else None
