"""LIST and LSUB: plain (RFC 3501) and extended (RFC 5258), with STATUS (RFC 5819) and MYRIGHTS (RFC 8440)."""

from collections.abc import Sequence

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.lexer import text_of
from gateway.upstream.imap.mailbox import ListEntry
from gateway.upstream.imap.names import MailboxNames
from gateway.upstream.imap.response import Data, Status, parse_list, parse_status_items


class ListMailboxes(Command[list[ListEntry]]):
    """List mailboxes. `options`: what goes into RETURN (…), in IMAP's own words; `subscribed`: LSUB."""

    verb = "LIST"
    family = "LIST"

    def __init__(self, reference: str, pattern: str, *, options: Sequence[str] = (), subscribed: bool = False) -> None:
        self._reference, self._pattern = reference, pattern
        self._options = options
        self._kind = "LSUB" if subscribed else "LIST"
        self._names = MailboxNames()
        self._entries: dict[str, ListEntry] = {}

    def line(self, dialect: Dialect) -> Line:
        self._names = dialect.names
        line = Line(dialect, f"{self._kind} ").mailbox(self._reference).raw(" ").pattern(self._pattern)
        return line.raw(f" RETURN ({' '.join(self._options)})") if self._options else line

    def on_data(self, data: Data) -> bool:
        if data.kind == self._kind:
            entry = parse_list(data, self._names)
            known = self._entries.get(entry.name)
            if known is None:
                self._entries[entry.name] = entry
            else:  # Dovecot may repeat a name, once for each reason to list it
                known.attributes |= entry.attributes
            return True
        if data.kind == "STATUS":
            name, items = parse_status_items(data, self._names)
            entry_of = self._entries.get(name)
            if entry_of is None or entry_of.status is not None:
                return False
            entry_of.status = items
            return True
        if data.kind == "MYRIGHTS":
            wire, rights = (*data.values(), None, None)[:2]
            entry_of = self._entries.get(self._names.decode(wire)) if isinstance(wire, bytes) else None
            if entry_of is not None:
                entry_of.rights = text_of(rights)
            return entry_of is not None
        return False

    def result(self, status: Status) -> list[ListEntry]:
        return list(self._entries.values())
