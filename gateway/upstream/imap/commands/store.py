"""UID STORE (RFC 9051 6.4.6) with UNCHANGEDSINCE (RFC 7162 3.1.3). Never plain `FLAGS`: it loses what others set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.upstream.imap import uidset
from gateway.upstream.imap.commands.message_command import MessageCommand
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.mailbox import Range
from gateway.upstream.imap.message import Message
from gateway.upstream.imap.response import Status


@dataclass(slots=True)
class Stored:
    """What STORE told."""

    modified: list[Range] = field(default_factory=list)  # not stored: changed since UNCHANGEDSINCE
    uids: list[int] = field(default_factory=list)  # of which a FETCH response came


class Store(MessageCommand[Stored]):
    """Add or take away flags; the FETCH responses (new flags, MODSEQ) go to `on_message`."""

    verb = "STORE"

    def __init__(
        self,
        uids: str,
        operation: Literal["+", "-"],
        flags: Sequence[str],
        *,
        on_message: Callable[[Message], None] | None = None,
        unchanged_since: int | None = None,
    ) -> None:
        super().__init__(uids, only_flags=True)
        self._operation, self._flags = operation, flags
        self._on_message = on_message
        self._unchanged_since = unchanged_since
        self._stored = Stored()

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, f"UID STORE {self._uids} ")
        if self._unchanged_since is not None:
            line.raw(f"(UNCHANGEDSINCE {self._unchanged_since}) ")
        return line.raw(f"{self._operation}FLAGS (").flags(self._flags).raw(")")

    def on_message(self, message: Message) -> bool:
        self._stored.uids.append(message.uid)
        if self._on_message is not None:
            self._on_message(message)
        return True

    def abandon(self) -> None:
        self._on_message = None

    def result(self, status: Status) -> Stored:
        if status.code == "MODIFIED":
            self._stored.modified = uidset.parse_lenient(status.arguments)
        return self._stored
