"""UID COPY (RFC 9051 section 6.4.7) and UID MOVE (RFC 6851), with the uids UIDPLUS tells (RFC 4315)."""

from dataclasses import dataclass

from gateway.upstream.imap import uidset
from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.lexer import Malformed, number_of
from gateway.upstream.imap.response import Status

MAX_COPIED = 1_000_000  # uids in one COPYUID: far above any set we send


@dataclass(frozen=True, slots=True)
class Copied:
    """Where the copies are: `uids[n]` of the source became `new_uids[n]`. All empty without UIDPLUS."""

    uidvalidity: int | None = None
    uids: tuple[int, ...] = ()
    new_uids: tuple[int, ...] = ()


class Copy(Command[Copied]):
    """Copy messages into another mailbox."""

    verb = "COPY"

    def __init__(self, uids: str, name: str) -> None:
        self._uids, self._name = uids, name
        self._copied: list[Copied] = []

    def line(self, dialect: Dialect) -> Line:
        return Line(dialect, f"UID {self.verb} {self._uids} ").mailbox(self._name)

    def on_status(self, status: Status) -> bool:
        if status.code != "COPYUID":  # MOVE tells it before the EXPUNGEs, untagged (RFC 6851 section 4.3)
            return False
        self._copied.append(_read(status))
        return True

    def result(self, status: Status) -> Copied:
        if status.code == "COPYUID":
            self._copied.append(_read(status))
        return Copied(
            uidvalidity=self._copied[0].uidvalidity if self._copied else None,
            uids=tuple(uid for copied in self._copied for uid in copied.uids),
            new_uids=tuple(uid for copied in self._copied for uid in copied.new_uids),
        )


class Move(Copy):
    """Move messages into another mailbox; what leaves is told by EXPUNGE or VANISHED."""

    verb = "MOVE"
    family = "MOVE"  # an untagged COPYUID names no command


def _read(status: Status) -> Copied:
    """Read `COPYUID 1795405334 1:2 6:7`. The sets correspond in their order, so they are not sorted (RFC 4315)."""
    words = status.arguments.split()
    if len(words) != 3 or (uidvalidity := number_of(words[0])) is None:
        raise Malformed("not a COPYUID")
    try:
        uids, new_uids = uidset.parse_ordered(words[1], MAX_COPIED), uidset.parse_ordered(words[2], MAX_COPIED)
    except ValueError:
        raise Malformed("not a COPYUID") from None
    if len(uids) != len(new_uids):
        raise Malformed("a COPYUID that does not add up")
    return Copied(uidvalidity, tuple(uids), tuple(new_uids))
