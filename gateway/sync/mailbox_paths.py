"""From a parent and a name to the path of a mailbox (RFC 9051 section 5.1), or the reason why there can be none. Pure.

Rule 1: what IMAP cannot carry, or what the tree would not show under that name, is refused before a command goes out.
What only some servers refuse (`%`, a leading dot, a long path) is left to the server.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from gateway.jmap.errors import SetError
from gateway.sync.tree import MAX_NAME_OCTETS, Namespaces, is_inbox

MAX_PATH_OCTETS = 4_000  # no server takes as much: it keeps a client's tree from making commands of any length
_NOT_NET_UNICODE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # RFC 5198 section 2


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where the account's own mailboxes are, and what parts the levels; None: there is one level."""

    namespaces: Namespaces
    delimiter: str | None

    def path(self, parent: str | None, name: str) -> str:
        """Return the path of a mailbox of this name below `parent`, or raise `invalidProperties`."""
        name = checked_name(name)
        if self.delimiter is not None and self.delimiter in name:
            raise _bad_name(f"has a {self.delimiter!r}, which parts the levels of a path on this mail server")
        if parent is None:
            if is_inbox(name):
                raise _bad_name("is that of the Inbox, in one spelling or another")
            path = self.namespaces.personal + name
            if self.namespaces.is_foreign(path):
                raise _bad_name("is where the mail server keeps mailboxes of others")
        elif self.delimiter is None:
            raise SetError("invalidProperties", "this mail server has one level of mailboxes", properties=["parentId"])
        else:
            path = parent + self.delimiter + name
        if len(path.encode()) > MAX_PATH_OCTETS:
            raise _bad_name("is too long together with those of its parents")
        return path

    def last_level(self, path: str) -> str:
        """Return the name of a mailbox as the server has it."""
        personal = self.namespaces.personal
        if path.startswith(personal) and len(path) > len(personal):
            path = path[len(personal) :]
        return path.rpartition(self.delimiter)[2] if self.delimiter is not None else path

    def is_below(self, path: str, ancestor: str) -> bool:
        """Tell whether a path is that of `ancestor` or of what is in its care."""
        return path == ancestor or (self.delimiter is not None and path.startswith(ancestor + self.delimiter))


def checked_name(name: str) -> str:
    """Return the name as Net-Unicode (RFC 5198: composed), or raise `invalidProperties`."""
    name = unicodedata.normalize("NFC", name)
    if not name:
        raise _bad_name("is empty")
    if any(unicodedata.category(character) in _NOT_NET_UNICODE for character in name):
        raise _bad_name("has a control character")
    if len(name.encode()) > MAX_NAME_OCTETS:
        raise _bad_name(f"is longer than {MAX_NAME_OCTETS} octets")
    return name


def _bad_name(fault: str) -> SetError:
    return SetError("invalidProperties", f"the name {fault}", properties=["name"])
