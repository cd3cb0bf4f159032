"""UID EXPUNGE (RFC 4315), and EXPUNGE (RFC 9051 section 6.4.3) for servers that know no better."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line


class UidExpunge(Command[None]):
    """Remove those of these messages that are flagged \\Deleted. What went is told by EXPUNGE or VANISHED."""

    verb = "EXPUNGE"

    def __init__(self, uids: str) -> None:
        self._uids = uids

    def line(self, dialect: Dialect) -> Line:
        return Line(dialect, f"UID EXPUNGE {self._uids}")


class ExpungeAll(Command[None]):
    """EXPUNGE, for servers without UIDPLUS: removes everything flagged \\Deleted, whoever flagged it."""

    verb = "EXPUNGE"
    alone = True  # EXPUNGE responses carry sequence numbers
