"""GETACL, SETACL and DELETEACL (RFC 4314 sections 3.1 to 3.3)."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.lexer import text_of
from gateway.upstream.imap.names import MailboxNames
from gateway.upstream.imap.response import Data, Status


class GetAcl(Command[dict[str, str]]):
    """Ask who may do what with a mailbox: letters of rights by identifier."""

    verb = "GETACL"

    def __init__(self, name: str) -> None:
        self._name = name
        self._names = MailboxNames()
        self._acl: dict[str, str] = {}

    def line(self, dialect: Dialect) -> Line:
        self._names = dialect.names
        return Line(dialect, "GETACL ").mailbox(self._name)

    def on_data(self, data: Data) -> bool:
        if data.kind != "ACL":
            return False
        values = data.values()
        wire, pairs = (values[0], values[1:]) if values else (None, [])
        if not isinstance(wire, bytes) or self._names.decode(wire) != self._name:
            return False
        for identifier, rights in zip(pairs[::2], pairs[1::2], strict=False):
            if name := text_of(identifier):
                self._acl[name] = text_of(rights) or ""
        return True

    def result(self, status: Status) -> dict[str, str]:
        return self._acl


class SetAcl(Command[None]):
    """Give an identifier exactly these rights."""

    verb = "SETACL"

    def __init__(self, name: str, identifier: str, rights: str) -> None:
        self._name, self._identifier, self._rights = name, identifier, rights

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, "SETACL ").mailbox(self._name).raw(" ").string(self._identifier)
        # Quoted: letters that begin with + or - would be added or taken away.
        return line.raw(" ").string(self._rights, quoted=True)


class DeleteAcl(Command[None]):
    """Take all rights from an identifier."""

    verb = "DELETEACL"

    def __init__(self, name: str, identifier: str) -> None:
        self._name, self._identifier = name, identifier

    def line(self, dialect: Dialect) -> Line:
        return Line(dialect, "DELETEACL ").mailbox(self._name).raw(" ").string(self._identifier)
