"""NAMESPACE (RFC 2342)."""

from typing import Final

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.lexer import Value, text_of
from gateway.upstream.imap.mailbox import Namespace, Namespaces
from gateway.upstream.imap.names import MailboxNames
from gateway.upstream.imap.response import Data, Status

OF_USERS: Final = "#shared."  # Courier's own word; below it stands one level for each user


class NamespaceCommand(Command[Namespaces]):
    """Ask for the prefixes of personal, other users' and shared mailboxes.

    Courier calls shared what RFC 2342 section 2 calls other users': it is put right here.
    """

    verb = "NAMESPACE"

    def __init__(self) -> None:
        self._names = MailboxNames()
        self._told = Namespaces()
        self.users_among_shared = False  # the quirk

    def line(self, dialect: Dialect) -> Line:
        self._names = dialect.names
        return Line(dialect, "NAMESPACE")

    def on_data(self, data: Data) -> bool:
        if data.kind != "NAMESPACE":
            return False
        personal, others, shared = [self._read(value) for value in (*data.values(), None, None, None)[:3]]
        users = tuple(space for space in shared if space.prefix == OF_USERS)
        self.users_among_shared = bool(users)
        self._told = Namespaces(personal, others + users, tuple(space for space in shared if space not in users))
        return True

    def _read(self, value: Value) -> tuple[Namespace, ...]:
        if not isinstance(value, list):
            return ()
        return tuple(
            Namespace(self._names.decode(entry[0]), text_of(entry[1]) or None)  # NIL delimiter: a flat namespace
            for entry in value
            if isinstance(entry, list) and len(entry) >= 2 and isinstance(entry[0], bytes)
        )

    def result(self, status: Status) -> Namespaces:
        return self._told
