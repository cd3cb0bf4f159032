"""STATUS (RFC 9051 section 6.3.11)."""

from collections.abc import Sequence

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.mailbox import StatusItems
from gateway.upstream.imap.names import MailboxNames
from gateway.upstream.imap.response import Data, Status, parse_status_items


class StatusCommand(Command[StatusItems]):
    """Ask for counters of a mailbox without selecting it."""

    verb = "STATUS"

    def __init__(self, name: str, items: Sequence[str]) -> None:
        self._name, self._items = name, items
        self._names = MailboxNames()
        self._told: StatusItems | None = None

    def line(self, dialect: Dialect) -> Line:
        self._names = dialect.names
        return Line(dialect, "STATUS ").mailbox(self._name).raw(f" ({' '.join(self._items)})")

    def on_data(self, data: Data) -> bool:
        if data.kind != "STATUS" or self._told is not None:
            return False
        name, items = parse_status_items(data, self._names)
        if name != self._name and name.upper() != self._name.upper():
            return False
        self._told = items
        return True

    def result(self, status: Status) -> StatusItems:
        return self._told or {}
