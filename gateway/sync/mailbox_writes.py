"""Create, change and destroy mailboxes over IMAP (RFC 8621 section 2.5).

Rule 1: the tree is read again after each write, within the same turn; what it shows is the answer, not the tagged OK:
Courier says OK to the RENAME of what is not there, and a connection that breaks says nothing at all.
Rule 2: a change that could be carried out in part only is taken back, and then refused.
Rule 3: a subscription belongs to a name (RFC 9051 section 6.3.7), so a RENAME leaves it behind: it is made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from gateway.account.backend import MailboxChange, NewMailbox
from gateway.account.records import MailboxFacts
from gateway.jmap.errors import SetError
from gateway.sync.link import Link
from gateway.sync.listing import Lister
from gateway.sync.mailbox_paths import Hierarchy
from gateway.sync.refresh import Refresher
from gateway.sync.refusal import refusal
from gateway.sync.roles import ATTRIBUTES, role_of_name
from gateway.sync.schedule import Schedule
from gateway.sync.tree import Move
from gateway.upstream.imap import CommandFailed, ImapError
from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.commands.create import Create
from gateway.upstream.imap.commands.delete import Delete
from gateway.upstream.imap.commands.rename import Rename
from gateway.upstream.imap.commands.setmetadata import SetMetadata
from gateway.upstream.imap.commands.subscribe import Subscribe, Unsubscribe

# Between looks at a server that has just cut us off: the pool's own first pause after a failure is a second at most.
LOOK_AGAIN_S = (0.1, 1.0, 2.0)
SPECIAL_USE_ENTRY = "/private/specialuse"  # RFC 6154 section 4

_GONE = SetError("serverFail", "the mailbox is not what the mail server said it would be")


class MailboxWrites:
    """Writes to the tree of one account."""

    def __init__(self, link: Link, refresher: Refresher, lister: Lister, schedule: Schedule) -> None:
        self._link, self._refresher, self._lister, self._schedule = link, refresher, lister, schedule
        self._hierarchy: Hierarchy | None = None

    # ------------------------------------------------------------ create

    async def create(self, new: NewMailbox) -> str:
        """Create a mailbox and return its id. Raises SetError, ImapError."""
        async with self._link.turn:
            hierarchy, before = await self._known_hierarchy(), self._mailboxes()
            parent = None
            if new.parent_id is not None and (parent := before.get(new.parent_id)) is None:
                raise _no_parent()
            path = hierarchy.path(parent.path if parent else None, new.name)
            _check_free(before, path, hierarchy.last_level(path), new.parent_id, ["name"])
            facts = await self._link.facts()
            attribute = ATTRIBUTES.get(new.role or "") if "CREATE-SPECIAL-USE" in facts.capabilities else None
            if new.role is not None and attribute is None and role_of_name(new.name) != new.role:
                raise _bad_role()
            error = await self._attempt(Create(path, special_use=attribute))
            if error is None:
                await self._dress(path, new.is_subscribed, new.sort_order)
            await self._look_again()
            made = self._at(path)
            if made is None or isinstance(error, CommandFailed):
                if error is None:  # made, but nowhere that the tree shows
                    await self._attempt(Delete(path))
                    raise _GONE
                raise refusal(error, properties=["role" if error.code == "USEATTR" else "name"], path=path)
            if not _agrees(made, new.is_subscribed, new.sort_order):
                await self._dress(path, new.is_subscribed, new.sort_order)
                await self._look_again()
                made = self._still(made)
            if new.role is not None and made.role != new.role:
                await self._take_back(Delete(path))
                raise _bad_role()
            return made.id

    # ------------------------------------------------------------ change

    async def change(self, change: MailboxChange) -> None:
        """Rename, move, (un)subscribe, order a mailbox or give it a role. Raises SetError, ImapError."""
        async with self._link.turn:
            hierarchy, before = await self._known_hierarchy(), self._mailboxes()
            old = before.get(change.mailbox_id)
            if old is None:
                raise SetError("notFound")
            path = self._new_path(hierarchy, before, old, change)
            if change.sets_role and change.role != old.role:
                await self._set_role(old, change.role)
            if path != old.path:
                try:
                    await self._rename(hierarchy, before, old, path, change)
                except SetError:
                    if change.sets_role and change.role != old.role:
                        await self._set_role(self._still(old), old.role)
                    raise
            for _attempt in range(2):  # a connection may have been cut in between
                if _agrees(self._still(old), change.is_subscribed, change.sort_order):
                    return
                await self._dress(path, change.is_subscribed, change.sort_order)
                await self._look_again()
            now = self._still(old)
            if not _agrees(now, change.is_subscribed, change.sort_order):
                await self._dress(path, old.is_subscribed, None)
                if path != old.path:
                    await self._rename(hierarchy, self._mailboxes(), now, old.path, change)
                raise SetError("forbidden", "the mail server refused to keep this with the mailbox")

    def _new_path(
        self, hierarchy: Hierarchy, before: Mapping[str, MailboxFacts], old: MailboxFacts, change: MailboxChange
    ) -> str:
        parent_id = change.parent_id if change.moves else old.parent_id
        is_renamed = change.name is not None and change.name != old.name
        if parent_id == old.parent_id and not is_renamed:
            return old.path
        if hierarchy.namespaces.is_inbox(old.path):
            raise SetError("forbidden", "the Inbox stays what and where it is")
        parent = None
        if parent_id is not None:
            if (parent := before.get(parent_id)) is None:
                raise _no_parent()
            if hierarchy.is_below(parent.path, old.path):
                raise SetError("invalidProperties", "a mailbox cannot be below itself", properties=["parentId"])
        name = change.name if is_renamed and change.name is not None else hierarchy.last_level(old.path)
        path = hierarchy.path(parent.path if parent else None, name)
        others = {id: facts for id, facts in before.items() if id != old.id}
        shown = hierarchy.last_level(path) if is_renamed else old.name
        _check_free(others, path, shown, parent_id, _properties(change))
        return path

    async def _rename(
        self,
        hierarchy: Hierarchy,
        before: Mapping[str, MailboxFacts],
        old: MailboxFacts,
        path: str,
        change: MailboxChange,
    ) -> None:
        """Rename a mailbox and all below it; their subscriptions go with them."""
        move = Move(old.path, path, hierarchy.delimiter)
        subtree = [facts for facts in before.values() if hierarchy.is_below(facts.path, old.path)]
        self._refresher.expect(move)
        async with self._schedule.left_alone([facts.id for facts in subtree]):
            error = await self._attempt(Rename(old.path, path))
            if error is None:
                await self._resubscribe(subtree, move)
            self._link.forget(lambda selected: hierarchy.is_below(selected, old.path))
            await self._look_again()
        now = self._mailboxes()
        if old.id not in now:
            raise SetError("notFound")
        if now[old.id].path != path:
            raise refusal(error, properties=_properties(change), path=path) if error is not None else _GONE
        # Where a RENAME is not one step (Cyrus), one that was cut short leaves some below the old path.
        left = [facts for facts in subtree if facts.id in now and hierarchy.is_below(now[facts.id].path, old.path)]
        for facts in sorted(left, key=lambda facts: facts.path):
            self._refresher.expect(Move(facts.path, move.follow(facts.path), hierarchy.delimiter))
            await self._attempt(Rename(facts.path, move.follow(facts.path)))
        is_moved = bool(left)
        for _attempt in range(2):  # a connection may have been cut in between, again
            if is_moved:
                await self._look_again()
                now = self._mailboxes()
            left = [one for one in subtree if one.id in now and now[one.id].is_subscribed != one.is_subscribed]
            if not left:
                return
            await self._resubscribe(left, move)
            is_moved = True
        await self._look_again()

    async def _resubscribe(self, subtree: Sequence[MailboxFacts], move: Move) -> None:
        commands: list[Command[Any]] = []
        for facts in subtree:
            if facts.is_subscribed:
                commands += [Subscribe(move.follow(facts.path)), Unsubscribe(facts.path)]
            elif self._is_subscribed(facts.id):
                commands.append(Unsubscribe(move.follow(facts.path)))
        await self._attempt_all(commands)

    def _is_subscribed(self, id: str) -> bool:
        facts = self._mailboxes().get(id)
        return facts is not None and facts.is_subscribed

    async def _set_role(self, facts: MailboxFacts, role: str | None) -> None:
        """Mark a mailbox with a special use where the server lets us (RFC 6154 section 4), or raise SetError."""
        offered = (await self._link.facts()).capabilities
        attribute = ATTRIBUTES.get(role or "")
        if not {"METADATA", "SPECIAL-USE"} <= offered or (role is not None and attribute is None):
            raise _bad_role()
        error = await self._attempt(SetMetadata(facts.path, SPECIAL_USE_ENTRY, attribute))
        await self._look_again()
        if self._still(facts).role == role:
            return
        if error is None:  # a name may give a role too, and the first of two mailboxes keeps it
            await self._take_back(SetMetadata(facts.path, SPECIAL_USE_ENTRY, ATTRIBUTES.get(facts.role or "")))
        raise refusal(error, properties=["role"]) if error is not None else _bad_role()

    # ------------------------------------------------------------ destroy

    async def destroy(self, mailbox_id: str, *, remove_emails: bool) -> None:
        """Remove a mailbox that has no children. Raises SetError, ImapError."""
        async with self._link.turn:
            hierarchy, before = await self._known_hierarchy(), self._mailboxes()
            facts = before.get(mailbox_id)
            if facts is None:
                raise SetError("notFound")
            if hierarchy.namespaces.is_inbox(facts.path):
                raise SetError("forbidden", "the Inbox cannot be destroyed")
            if any(other.parent_id == mailbox_id for other in before.values()):
                raise SetError("mailboxHasChild")
            if not remove_emails and facts.is_selectable and await self._has_email(facts.path):
                raise SetError("mailboxHasEmail")
            async with self._schedule.left_alone([mailbox_id]):
                # Some servers delete nothing that is selected somewhere.
                self._link.forget(lambda selected: hierarchy.is_below(selected, facts.path))
                error = await self._attempt(Delete(facts.path))
                if not isinstance(error, CommandFailed) and facts.is_subscribed:
                    await self._attempt_all([Unsubscribe(facts.path)])
                await self._look_again()
            now = self._mailboxes().get(mailbox_id)
            if now is None or (error is None and facts.is_selectable and not now.is_selectable):
                await self._lister.keep_stored({facts.path: None})
                return
            raise refusal(error) if error is not None else _GONE

    async def _has_email(self, path: str) -> bool:
        """Tell whether a mailbox holds what a client can see. Asked of the server: an index may be seconds old."""
        try:
            async with self._link.connection() as connection:
                if (await connection.status(path, ["MESSAGES"])).get("MESSAGES") == 0:
                    return False
                await connection.select(path)
                return bool(await connection.search(["UNDELETED"]))
        except CommandFailed as error:
            await self._look_again()
            if self._at(path) is None:
                raise SetError("notFound") from None
            raise refusal(error) from error

    # ------------------------------------------------------------ what all share

    async def _attempt(self, command: Command[Any]) -> ImapError | None:
        """Send a command; return what went wrong. Raises ImapError only if the command was not sent."""
        async with self._link.connection() as connection:
            try:
                await connection.run(command)
            except ImapError as error:
                return error
        return None

    async def _attempt_all(self, commands: Sequence[Command[Any]]) -> None:
        """Send commands whose failure the next look at the tree shows."""
        with suppress(ImapError):
            async with self._link.connection() as connection:
                await asyncio.gather(*map(connection.run, commands), return_exceptions=True)

    async def _take_back(self, command: Command[Any]) -> None:
        with suppress(ImapError):  # what is there is told by the look
            await self._attempt(command)
        await self._look_again()

    async def _dress(self, path: str, is_subscribed: bool | None, sort_order: int | None) -> None:
        """Give a mailbox what a server does not keep with it. Whether it took it, the next look tells."""
        if is_subscribed is not None:
            await self._attempt_all([Subscribe(path) if is_subscribed else Unsubscribe(path)])
        if sort_order is not None:
            with suppress(ImapError):
                await self._lister.keep_sort_order(path, sort_order)

    async def _look_again(self) -> None:
        """Read the tree anew into the index, on another connection if need be."""
        for pause_s in LOOK_AGAIN_S:
            try:
                await self._refresher.sweep()
            except ImapError:
                await asyncio.sleep(pause_s)
            else:
                return
        try:
            await self._refresher.sweep()
        except ImapError as error:
            raise SetError("serverFail", "the mail server went away: if this was done is not known") from error

    async def _known_hierarchy(self) -> Hierarchy:
        if self._hierarchy is None:
            async with self._link.connection() as connection:
                namespaces = await self._link.namespaces(connection)
                # RFC 9051 section 6.3.9: with an empty name LIST tells the delimiter alone.
                entries = await connection.list_mailboxes(namespaces.personal, "")
            self._hierarchy = Hierarchy(namespaces, entries[0].delimiter if entries else None)
        return self._hierarchy

    def _mailboxes(self) -> dict[str, MailboxFacts]:
        return {id: row.facts for id, row in self._link.mailboxes().items()}

    def _at(self, path: str) -> MailboxFacts | None:
        return next((facts for facts in self._mailboxes().values() if facts.path == path and facts.is_selectable), None)

    def _still(self, facts: MailboxFacts) -> MailboxFacts:
        now = self._mailboxes().get(facts.id)
        if now is None:
            raise SetError("notFound")
        return now


def _check_free(
    mailboxes: Mapping[str, MailboxFacts], path: str, name: str, parent_id: str | None, properties: Sequence[str]
) -> None:
    """Refuse a path that is taken, and a name that a sibling has (RFC 8621 section 2, `name`)."""
    for facts in mailboxes.values():
        if facts.path == path or (facts.parent_id == parent_id and facts.name == name):
            raise SetError("alreadyExists", "a sibling has this name", properties=properties, existingId=facts.id)


def _agrees(facts: MailboxFacts, is_subscribed: bool | None, sort_order: int | None) -> bool:
    return is_subscribed in (None, facts.is_subscribed) and sort_order in (None, facts.sort_order)


def _properties(change: MailboxChange) -> list[str]:
    return (["name"] if change.name is not None else []) + (["parentId"] if change.moves else [])


def _no_parent() -> SetError:
    return SetError("invalidProperties", "there is no such parent", properties=["parentId"])


def _bad_role() -> SetError:
    return SetError("invalidProperties", "the mail server gives no mailbox this role", properties=["role"])
