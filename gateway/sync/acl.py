"""Whom mailboxes are shared with, by ACL (RFC 4314).

Rule 1: it is asked where we hold the right to administer (`a`), and only once a client wants to know; then again after
a while, for others may change it too.
Rule 2: what is not the sharing of one owner with others is left alone: the owner's own entry, negative rights, and
identifiers that stand for no one in particular to share with (`owner`, `administrators`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.sync.link import Link
from gateway.sync.rights import rights_of
from gateway.sync.tree import Listed
from gateway.upstream.imap import CommandFailed, Connection
from gateway.upstream.imap.commands.acl import GetAcl

AGAIN_S = 60.0  # so old may be what is known of whom a mailbox is shared with
MAX_AT_ONCE = 256  # mailboxes that are asked about side by side
MAX_IDENTIFIERS = 200  # of one mailbox; the mail-sharing draft wants a limit (section 3.5)
MAX_IDENTIFIER_CHARACTERS = 255

Shares = tuple[tuple[str, tuple[str, ...]], ...]
# Courier 5.0, of a mailbox that nobody has shared:  * ACL "INBOX.Team" "owner" "acdilrsw" "administrators" "acdilrsw"
_NOBODY = frozenset({"owner", "administrators"})


class AclReader:
    """Reads the ACLs of one account into its tree."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._told: dict[str, Shares] = {}
        self._asked_at = float("-inf")
        self.is_wanted = False

    def forget(self, path: str | None = None) -> None:
        """Ask anew in the next look: about one mailbox, or all."""
        if path is None:
            self._told.clear()
        else:
            self._told.pop(path, None)

    async def add(self, connection: Connection, listed: Sequence[Listed]) -> list[Listed]:
        """Return the mailboxes with whom they are shared with. Raises ImapError."""
        if not self.is_wanted:
            return list(listed)
        if time.monotonic() - self._asked_at > AGAIN_S:
            self.forget()
            self._asked_at = time.monotonic()
        asked = [entry for entry in listed if entry.seen is not None and "a" in (entry.rights or "")]
        new = [entry.path for entry in asked if entry.path not in self._told]
        for start in range(0, len(new), MAX_AT_ONCE):
            found = await asyncio.gather(
                *(self._ask(connection, path) for path in new[start : start + MAX_AT_ONCE]), return_exceptions=True
            )
            for one in found:
                if isinstance(one, BaseException):
                    raise one
        return [replace(entry, shares=self._told.get(entry.path, ()) if entry in asked else ()) for entry in listed]

    async def _ask(self, connection: Connection, path: str) -> None:
        try:
            acl = await connection.run(GetAcl(path))
        except CommandFailed:
            acl = {}
        self._told[path] = shares_of(acl, owners_of(self._link))


def owners_of(link: Link) -> frozenset[str]:
    """Return the names that an ACL may have for the owner of the account's mailboxes."""
    login = link.scope.owner or link.account.login
    return frozenset((login, login.partition("@")[0]))


def shares_of(acl: Mapping[str, str], owners: frozenset[str]) -> Shares:
    """Return whom an ACL lets do what, in a set order. Pure."""
    found = {
        identifier: tuple(sorted(rights_of(letters)))
        for identifier, letters in acl.items()
        if identifier not in owners | _NOBODY
        and not identifier.startswith(("-", "#"))
        and len(identifier) <= MAX_IDENTIFIER_CHARACTERS
    }
    return tuple(sorted((identifier, rights) for identifier, rights in found.items() if rights))[:MAX_IDENTIFIERS]
