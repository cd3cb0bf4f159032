"""Change whom a mailbox is shared with, by ACL (RFC 4314).

Rule 1: rights that have no name in JMAP stay as they are.
Rule 2: the tree is read again after each write: what it shows is what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.jmap.errors import SetError
from gateway.sync.acl import AclReader, owners_of
from gateway.sync.link import Link
from gateway.sync.refresh import Refresher
from gateway.sync.refusal import refusal
from gateway.sync.rights import letters_of
from gateway.upstream.imap import CommandFailed, Connection
from gateway.upstream.imap.commands.acl import DeleteAcl, GetAcl, SetAcl


class AclWriter:
    """Changes whom a mailbox is shared with."""

    def __init__(self, link: Link, refresher: Refresher, reader: AclReader) -> None:
        self._link, self._refresher, self._reader = link, refresher, reader

    async def change(self, mailbox_id: str, changes: Mapping[str, frozenset[str] | None]) -> None:
        """Give identifiers these rights, or (None) none any more. Raise SetError, ImapError.

        All or nothing, as far as the server lets what was done be taken back.
        """
        owners = owners_of(self._link)
        if any(identifier in owners or identifier.startswith(("-", "#")) for identifier in changes):
            raise SetError("invalidProperties", "shareWith has whom it belongs to", properties=["shareWith"])
        async with self._link.turn:
            row = self._link.mailboxes().get(mailbox_id)
            if row is None:
                raise SetError("notFound")
            path, failed, done = row.facts.path, None, list[str]()
            async with self._link.connection(shares=True) as connection:
                try:
                    before = await connection.run(GetAcl(path))
                    is_old = not any(name.startswith("RIGHTS=") for name in connection.capabilities)
                    for identifier, rights in changes.items():
                        kept = before.get(identifier, "")
                        letters = None if rights is None else letters_of(rights, kept, is_old=is_old)
                        await _put(connection, path, identifier, letters)
                        done.append(identifier)
                except CommandFailed as error:
                    failed = error
                    for identifier in done:
                        await _put(connection, path, identifier, before.get(identifier))
            self._reader.forget(path)
            await self._refresher.sweep()
            if failed is not None:
                raise refusal(failed, properties=["shareWith"])


async def _put(connection: Connection, path: str, identifier: str, letters: str | None) -> None:
    if letters:
        await connection.run(SetAcl(path, identifier, letters))
    else:
        await connection.run(DeleteAcl(path, identifier))
