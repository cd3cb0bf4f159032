"""UID FETCH (RFC 9051 section 6.4.5, RFC 7162 section 3.1.4), streaming: nothing is kept."""

import re
from collections.abc import Callable

from gateway.upstream.imap.commands.message_command import MessageCommand
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.mailbox import Range
from gateway.upstream.imap.message import Message
from gateway.upstream.imap.response import Data, Status, parse_vanished

_VOLATILE = frozenset({"UID", "FLAGS", "MODSEQ"})
# More than what servers send unasked, so that it can be an answer; the uid is what tells whose.
_NEW = re.compile(
    rb"\* \d{1,20} FETCH \(UID (\d{1,10}) FLAGS \([^()\"{]*+\)(?: MODSEQ \(\d{1,20}\))? INTERNALDATE "
).match
_WORDS = re.compile(r"[A-Z0-9.-]+", re.IGNORECASE)


class Fetch(MessageCommand[list[Range]]):
    """Fetch items of a set of uids. The result: what VANISHED (EARLIER) said."""

    verb = "FETCH"

    def __init__(
        self,
        uids: str,
        items: str,
        *,
        on_message: Callable[[Message], None],
        changed_since: int | None = None,
        vanished: bool = False,
        octets: list[bytes] | None = None,
    ) -> None:
        super().__init__(uids, only_flags={word.upper() for word in _WORDS.findall(items)} <= _VOLATILE)
        self._items = items if items.startswith("(") else f"({items})"
        self._on_message = on_message
        self._changed_since = changed_since
        self._is_told_vanished = vanished
        self._vanished: list[Range] = []
        self._octets = octets
        self.takes_octets = octets is not None

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, f"UID FETCH {self._uids} {self._items}")
        if self._changed_since is not None:
            line.raw(f" (CHANGEDSINCE {self._changed_since}{' VANISHED' if self._is_told_vanished else ''})")
        return line

    def on_message(self, message: Message) -> bool:
        self._on_message(message)
        return True

    def take_octets(self, raw: bytes) -> bool:
        whole = _NEW(raw)
        if whole is None or not self.names(int(whole[1])):
            return False
        if self._octets is not None:
            self._octets.append(raw)
        return True

    def abandon(self) -> None:
        self._on_message, self._octets = _ignore, None

    def on_data(self, data: Data) -> bool:
        if data.kind != "VANISHED":
            return False
        earlier, uids = parse_vanished(data)
        if earlier:
            self._vanished.extend(uids)
        return earlier

    def result(self, status: Status) -> list[Range]:
        return self._vanished


def _ignore(message: Message) -> None:
    """Take what nobody waits for."""
