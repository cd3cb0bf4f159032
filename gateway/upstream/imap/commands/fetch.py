"""UID FETCH (RFC 9051 section 6.4.5, RFC 7162 section 3.1.4), streaming: nothing is kept."""

import re
from bisect import bisect_right
from collections.abc import Callable

from gateway.upstream.imap import uidset
from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.mailbox import Range
from gateway.upstream.imap.message import Has, Message
from gateway.upstream.imap.response import Data, Status, parse_vanished

_VOLATILE = int(Has.UID | Has.FLAGS | Has.MODSEQ)  # what a server also sends unasked
_UID = int(Has.UID)
_WORDS = re.compile(r"[A-Z0-9.-]+", re.IGNORECASE)


class Fetch(Command[list[Range]]):
    """Fetch items of a set of uids. The result: what VANISHED (EARLIER) said."""

    verb = "FETCH"
    takes_messages = True

    def __init__(
        self,
        uids: str,
        items: str,
        *,
        on_message: Callable[[Message], None],
        changed_since: int | None = None,
        vanished: bool = False,
    ) -> None:
        self._uids = uids
        self._items = items if items.startswith("(") else f"({items})"
        self._on_message = on_message
        self._changed_since = changed_since
        self._is_told_vanished = vanished
        self._vanished: list[Range] = []
        self._ranges: list[Range] | None = None
        # Only flags asked for: an unsolicited FETCH cannot be told from the answer, and is as true.
        self._asks_volatile = {word.upper() for word in _WORDS.findall(items)} <= {"UID", "FLAGS", "MODSEQ"}

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, f"UID FETCH {self._uids} {self._items}")
        if self._changed_since is not None:
            line.raw(f" (CHANGEDSINCE {self._changed_since}{' VANISHED' if self._is_told_vanished else ''})")
        return line

    def on_message(self, message: Message) -> bool:
        has = message.has
        if not has & _UID or not (self._asks_volatile or has & ~_VOLATILE):
            return False
        self._on_message(message)
        return True

    def covers(self, message: Message) -> bool:
        # Dovecot answers pipelined FETCHes one after another and completes them together: a tagged OK does not part them.
        if self._asks_volatile and message.has & ~_VOLATILE:
            return False
        if self._ranges is None:
            try:
                self._ranges = uidset.parse(self._uids.replace("*", str(uidset.MAX_UID)))
            except ValueError:
                return True
        # `n:*` names the last message even when n is past it, so anything may answer a set with `*`.
        at = bisect_right(self._ranges, (message.uid, uidset.MAX_UID)) - 1

        return (at >= 0 and self._ranges[at][1] >= message.uid) or "*" in self._uids

    def abandon(self) -> None:
        self._on_message = _ignore

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
