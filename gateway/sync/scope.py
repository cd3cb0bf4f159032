"""Which of a login's mailboxes make up one account (RFC 2342): its own, those of one other user, or those of one shared
namespace. Pure.

Rule 1: of the prefixes that fit a path the longest counts. Where the empty one is that of a shared namespace, the
INBOX is personal all the same.
Rule 2: in the namespace of other users the first level is a user, and its path that user's INBOX: so it is on Dovecot
and on Cyrus.
Rule 3: what nobody can look into makes no account.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.sync.tree import Namespaces, is_under

if TYPE_CHECKING:
    from gateway.upstream.imap import ListEntry
    from gateway.upstream.imap import Namespaces as Told

_NOT_TO_BE_SELECTED = frozenset({"\\noselect", "\\nonexistent"})


@dataclass(frozen=True, slots=True)
class Scope:
    """`prefix` begins every path of the account but that of its root, with the delimiter at its end; "" for one's own.

    `owner`: the user, as the server spells it, whose mailboxes they are; None: one's own, or everybody's.
    """

    prefix: str = ""
    delimiter: str | None = None
    owner: str | None = None
    is_personal: bool = True

    @property
    def root(self) -> str:
        """The path above all of a scope that is not personal: an owner's INBOX, or a name that only has children."""
        return self.prefix.removesuffix(self.delimiter or "")

    @property
    def name(self) -> str:
        """What people call it."""
        return self.owner or self.root or "Shared"

    @property
    def patterns(self) -> tuple[str, ...]:
        """What LIST is asked for."""
        if self.is_personal:
            return ("*",)
        return (self.root, f"{self.prefix}*") if self.owner is not None else (f"{self.prefix}*",)

    def holds(self, path: str, told: Told) -> bool:
        """Tell whether a path is of this scope."""
        return scope_of(path, told) == self

    def namespaces(self, told: Told) -> Namespaces:
        """Return how the tree of this account is to be read."""
        if self.is_personal:
            return personal_namespaces(told)
        return Namespaces(self.prefix, (), self.root if self.owner is not None else None)


PERSONAL = Scope()


def personal_namespaces(told: Told) -> Namespaces:
    """Return where the account's own mailboxes are, and where those of others."""
    personal = told.personal[0].prefix if told.personal else ""
    return Namespaces(personal, tuple(namespace.prefix for namespace in [*told.others, *told.shared]))


def scope_of(path: str, told: Told) -> Scope | None:
    """Return the scope of a path; None: it is above them (`Other Users` itself)."""
    personal = personal_namespaces(told)
    best, is_of_users = None, False
    for spaces, of_users in ((told.others, True), (told.shared, False)):
        for space in spaces:
            if is_under(path, space.prefix) and (best is None or len(space.prefix) > len(best.prefix)):
                best, is_of_users = space, of_users
    if best is None or not personal.is_foreign(path):
        return PERSONAL
    if not is_of_users:
        return Scope(best.prefix, best.delimiter, is_personal=False)
    rest = path[len(best.prefix) :]
    owner = rest.partition(best.delimiter)[0] if best.delimiter else rest
    if not owner or not best.delimiter:
        return None
    return Scope(f"{best.prefix}{owner}{best.delimiter}", best.delimiter, owner, is_personal=False)


def scopes_of(entries: Iterable[ListEntry], told: Told) -> list[Scope]:
    """Return the scopes of others that have a mailbox which can be selected, in order of their prefixes."""
    found = {scope_of(entry.name, told) for entry in entries if not entry.attributes & _NOT_TO_BE_SELECTED}
    return sorted((scope for scope in found if scope is not None and not scope.is_personal), key=lambda one: one.prefix)


def foreign_patterns(told: Told) -> Sequence[str]:
    """Return what LIST is asked for to learn of all that is not one's own."""
    return tuple(f"{space.prefix}*" for space in [*told.others, *told.shared])
