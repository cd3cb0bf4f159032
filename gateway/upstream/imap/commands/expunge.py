"""UID EXPUNGE (RFC 4315), and EXPUNGE (RFC 9051 section 6.4.3) for servers that know no better."""

from gateway.upstream.imap import uidset
from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.response import Data, Status, parse_vanished
from gateway.upstream.imap.uidset import Range


class UidExpunge(Command[list[Range]]):
    """Remove those of these messages that are flagged \\Deleted. The result: what VANISHED said meanwhile.

    That is every message that went, of these or others, if QRESYNC is enabled; without it nothing.
    """

    verb = "EXPUNGE"

    def __init__(self, uids: str) -> None:
        self._uids = uids
        self._vanished: list[Range] = []

    def line(self, dialect: Dialect) -> Line:
        return Line(dialect, f"UID EXPUNGE {self._uids}")

    def on_data(self, data: Data) -> bool:
        if data.kind == "VANISHED":
            is_earlier, uids = parse_vanished(data)
            if not is_earlier:
                self._vanished += uids
        return False  # the selected mailbox has to learn of it too

    def result(self, status: Status) -> list[Range]:
        return uidset.normalize(self._vanished)


class ExpungeAll(Command[None]):
    """EXPUNGE, for servers without UIDPLUS: removes everything flagged \\Deleted, whoever flagged it."""

    verb = "EXPUNGE"
    alone = True  # EXPUNGE responses carry sequence numbers
