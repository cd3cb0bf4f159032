"""SELECT, EXAMINE (RFC 9051 section 6.3.2) with CONDSTORE and QRESYNC (RFC 7162), and UNSELECT (RFC 3691)."""

from collections.abc import Callable

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.mailbox import Selected
from gateway.upstream.imap.message import Has, Message
from gateway.upstream.imap.response import Data, Status, parse_vanished
from gateway.upstream.imap.selected import apply_code, apply_data

_UID = int(Has.UID)


class Select(Command[Selected]):
    """Open a mailbox. While it is in flight every response concerns the new mailbox, but those before `OK [CLOSED]`.

    What is sent behind it is meant for the new mailbox: if it cannot be opened none is, and the rest fails with BAD.
    """

    verb = "SELECT"
    leads = True
    takes_messages = True

    def __init__(
        self,
        name: str,
        *,
        read_only: bool,
        qresync: tuple[int, int, str | None] | None = None,
        condstore: bool = False,
        on_fetch: Callable[[Message], None] | None = None,
    ) -> None:
        self.selected = Selected(name, read_only=read_only)
        self._qresync, self._condstore = qresync, condstore
        self._on_fetch = on_fetch or self.selected.fetched.append

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, "EXAMINE " if self.selected.read_only else "SELECT ").mailbox(self.selected.name)
        if self._qresync is not None:
            uidvalidity, modseq, known = self._qresync
            line.raw(f" (QRESYNC ({uidvalidity} {modseq}{' ' + known if known else ''}))")
        elif self._condstore:
            line.raw(" (CONDSTORE)")
        return line

    def on_data(self, data: Data) -> bool:
        if data.kind == "VANISHED":
            earlier, uids = parse_vanished(data)
            if earlier:
                self.selected.vanished.extend(uids)
                return True
        return apply_data(self.selected, data)

    def on_message(self, message: Message) -> bool:
        if not message.has & _UID:
            return False
        self._on_fetch(message)
        return True

    def abandon(self) -> None:
        self._on_fetch = _ignore

    def on_status(self, status: Status) -> bool:
        if status.code == "CLOSED":  # what came until now was the old mailbox's
            kept = self.selected
            kept.exists, kept.flags = 0, ()
            kept.vanished.clear()
            kept.fetched.clear()
            return True
        return apply_code(self.selected, status)

    def result(self, status: Status) -> Selected:
        apply_code(self.selected, status)
        return self.selected


class Unselect(Command[None]):
    """Leave the mailbox and expunge nothing."""

    verb = "UNSELECT"
    alone = True


def _ignore(message: Message) -> None:
    """Take what nobody waits for."""
