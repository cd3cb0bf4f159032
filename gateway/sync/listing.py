"""Ask the upstream for all mailboxes and what is to be known of each, and make the tree of it.

Rule 1: LIST with STATUS is one round trip. What it cannot tell (MAILBOXID on Cyrus, MYRIGHTS without LIST-MYRIGHTS,
METADATA) is asked once for each mailbox that is new, or new under its path, and not in every sweep. What others grant
they may take back: the rights in their mailboxes are asked for again after a while.
Rule 2: a sort order is METADATA's (RFC 5464) where the server keeps it, else user state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import TypeVar

from gateway.account.records import MailboxRow
from gateway.account.sort_orders import SortOrders
from gateway.sync.acl import AclReader
from gateway.sync.identity import Identity
from gateway.sync.link import Link
from gateway.sync.plan import Seen
from gateway.sync.rights import rights_of
from gateway.sync.scope import Scope
from gateway.sync.tree import KnownMailbox, Listed, Move, Tree, build_tree
from gateway.upstream.imap import CommandFailed, Connection, ListEntry
from gateway.upstream.imap.commands.getmetadata import GetMetadata
from gateway.upstream.imap.commands.myrights import MyRights
from gateway.upstream.imap.commands.setmetadata import SetMetadata

# The one entry for it that there is: Cyrus keeps the sortOrder of its own JMAP here, and allows no other vendor's.
SORT_ORDER_ENTRY = "/private/vendor/cmu/cyrus-imapd/sortorder"
MAX_SORT_ORDER = 2**31 - 1  # RFC 8621 section 2
RIGHTS_S = 30.0  # so old may be what is known of the rights in others' mailboxes
MAX_ASKED_AT_ONCE = 256  # mailboxes that are asked about side by side: bounds the tasks of a first contact

T = TypeVar("T")


class Lister:
    """Looks at the tree of one account."""

    def __init__(self, link: Link, sort_orders: SortOrders | None = None) -> None:
        self._link, self._store = link, sort_orders
        self._stored: dict[str, int] | None = None
        # By path alone: Courier 5.0 says the time for the UIDVALIDITY of a mailbox that was never selected.
        self._rights: dict[str, str | None] = {}
        self._rights_at = float("-inf")
        self._orders: dict[str, int | None] = {}  # as METADATA tells
        self.may_create_top_level = True
        self.acls = AclReader(link)

    async def look(self, rows: Mapping[str, MailboxRow], moves: Sequence[Move] = ()) -> Tree:
        """Ask for all mailboxes and their numbers. `moves`: RENAMEs of which the index does not know yet."""
        facts = await self._link.facts()
        items = ["MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ"]
        if facts.identity is Identity.GUID:
            items.append("X-GUID")
        returns = ["SPECIAL-USE", "SUBSCRIBED"]
        if "LIST-MYRIGHTS" in facts.capabilities:
            returns.append("MYRIGHTS")
        known = [
            KnownMailbox(row.facts.id, row.facts.path, row.mark.uidvalidity, row.mark.uidnext)
            if row.mark
            else KnownMailbox(row.facts.id, row.facts.path, 0, 0)
            for row in rows.values()
        ]
        async with self._link.connection(shares=True) as connection:
            namespaces = await self._link.namespaces(connection)
            entries = await self._link.listed(connection, returns=returns, status=items)
            listed = [_listed(entry) for entry in entries]
            if facts.identity is Identity.OBJECTID:
                listed = await _with_ids(connection, listed, known)
            if "ACL" in facts.capabilities and "LIST-MYRIGHTS" not in facts.capabilities:
                listed = await self._with_rights(connection, listed)
            listed = await self.acls.add(connection, listed)
            orders = await self._sort_orders(connection, listed)
        is_told = facts.identity is not Identity.GUID
        self.may_create_top_level = _may_create_below(self._link.scope, listed, is_told=is_told)
        subscribed = frozenset(entry.name for entry in entries if "\\subscribed" in entry.attributes)
        tree = build_tree(listed, known, namespaces, subscribed, moves, orders)
        if await self._follow(rows, tree):
            orders |= self._stored or {}
            tree = build_tree(listed, known, namespaces, subscribed, moves, orders)
        self._forget_replaced(rows, tree)
        return tree

    async def keep_sort_order(self, path: str, sort_order: int | None) -> None:
        """Keep the sort order of a mailbox where it outlives us; None: forget it. Raises ImapError."""
        async with self._link.connection() as connection:
            value = None if sort_order is None else str(sort_order)
            is_kept = False
            if "METADATA" in connection.capabilities:
                try:
                    await connection.run(SetMetadata(path, SORT_ORDER_ENTRY, value))
                    is_kept = True
                except CommandFailed:
                    pass  # offered, and not for this: user state has a place
        self._orders.pop(path, None)
        await self.keep_stored({path: None if is_kept else sort_order})

    async def keep_stored(self, orders: Mapping[str, int | None]) -> None:
        """Change the sort orders in user state, where there is a change."""
        stored = await self._load_stored()
        changes = {path: order for path, order in orders.items() if stored.get(path) != order}
        if not changes:
            return
        if self._store is not None:
            await self._store.put_sort_orders(self._link.account.id, changes)
        for path, order in changes.items():
            if order is None:
                del stored[path]
            else:
                stored[path] = order

    async def _load_stored(self) -> dict[str, int]:
        if self._stored is None:
            told = {} if self._store is None else await self._store.sort_orders(self._link.account.id)
            self._stored = dict(told)
        return self._stored

    async def _follow(self, rows: Mapping[str, MailboxRow], tree: Tree) -> bool:
        """Let the sort orders in user state go with mailboxes that were renamed; return whether any did."""
        stored = await self._load_stored()
        if not stored:
            return False
        changes: dict[str, int | None] = {}
        for facts in tree.facts:
            row = rows.get(facts.id)
            if row is not None and row.facts.path != facts.path and row.facts.path in stored:
                changes.setdefault(row.facts.path, None)
                changes[facts.path] = stored[row.facts.path]
        await self.keep_stored(changes)
        return bool(changes)

    def _forget_replaced(self, rows: Mapping[str, MailboxRow], tree: Tree) -> None:
        """Ask anew in the next look about paths where there is another mailbox now."""
        before = {row.facts.path: id for id, row in rows.items()}
        for facts in tree.facts:
            if before.get(facts.path, facts.id) != facts.id:
                self._rights.pop(facts.path, None)
                self._orders.pop(facts.path, None)

    async def _with_rights(self, connection: Connection, listed: list[Listed]) -> list[Listed]:
        async def ask(entry: Listed) -> str | None:
            return await connection.run(MyRights(entry.path))

        if not self._link.scope.is_personal and time.monotonic() - self._rights_at > RIGHTS_S:
            self._rights.clear()
            self._rights_at = time.monotonic()
        await _ask_new(listed, self._rights, ask)
        return [replace(entry, rights=self._rights.get(entry.path)) for entry in listed]

    async def _sort_orders(self, connection: Connection, listed: list[Listed]) -> dict[str, int]:
        """Return the sort orders that were set, by path; those in user state are there because METADATA failed."""

        async def ask(entry: Listed) -> int | None:
            value = await connection.run(GetMetadata(entry.path, SORT_ORDER_ENTRY))
            is_number = value is not None and value.isascii() and value.isdigit() and len(value) <= 10
            return min(int(value), MAX_SORT_ORDER) if value is not None and is_number else None

        orders: dict[str, int] = {}
        if "METADATA" in connection.capabilities:
            await _ask_new(listed, self._orders, ask)
            for entry in listed:
                if (order := self._orders.get(entry.path)) is not None:
                    orders[entry.path] = order
        return orders | await self._load_stored()


def _may_create_below(scope: Scope, listed: Sequence[Listed], *, is_told: bool) -> bool:
    """Tell whether a mailbox can be created beside those at the top.

    For that another user's INBOX is what it is created in; not so on Dovecot, whose root has rights that nobody can
    ask for (`is_told`). Of a shared namespace nothing is known before it is tried.
    """
    if scope.owner is None:
        return True
    root = next((entry for entry in listed if entry.path == scope.root and entry.seen is not None), None)
    return is_told and root is not None and (root.rights is None or "mayCreateChild" in rights_of(root.rights))


async def _ask_new(
    listed: Sequence[Listed],
    told: MutableMapping[str, T | None],
    ask: Callable[[Listed], Awaitable[T | None]],
) -> None:
    """Ask about those that nothing is told of yet, and forget those that are gone. Refused is: nothing to tell."""

    async def one(entry: Listed) -> None:
        try:
            told[entry.path] = await ask(entry)
        except CommandFailed:
            told[entry.path] = None

    present = {entry.path for entry in listed if entry.seen is not None}
    for key in told.keys() - present:
        del told[key]
    new = [entry for entry in listed if entry.seen is not None and entry.path not in told]
    for start in range(0, len(new), MAX_ASKED_AT_ONCE):
        results = await asyncio.gather(*map(one, new[start : start + MAX_ASKED_AT_ONCE]), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


def _number(value: int | str | None) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: int | str | None) -> str | None:
    return value if isinstance(value, str) else None


def _listed(entry: ListEntry) -> Listed:
    status = entry.status
    if status is None:
        return Listed(entry.name, entry.delimiter, entry.attributes, rights=entry.rights)
    seen = Seen(
        _number(status.get("UIDVALIDITY")),
        _number(status.get("UIDNEXT")),
        _number(status.get("HIGHESTMODSEQ")),
        _number(status.get("MESSAGES")),
    )
    return Listed(
        entry.name,
        entry.delimiter,
        entry.attributes,
        seen,
        _number(status.get("UNSEEN")),
        _text(status.get("MAILBOXID")),
        _text(status.get("X-GUID")),
        entry.rights,
    )


async def _with_ids(connection: Connection, listed: list[Listed], known: Sequence[KnownMailbox]) -> list[Listed]:
    """Ask for the MAILBOXID of each mailbox that is new, or new under its path.

    One by one: of several in one LIST-STATUS, Cyrus 3.6 answers with memory it has freed.
    """
    recognised = {(mailbox.path, mailbox.uidvalidity) for mailbox in known}

    async def with_id(entry: Listed) -> Listed:
        if entry.seen is None or (entry.path, entry.seen.uidvalidity) in recognised:
            return entry
        try:
            status = await connection.status(entry.path, ["MAILBOXID"])
        except CommandFailed:
            return entry  # gone meanwhile
        return replace(entry, mailbox_id=_text(status.get("MAILBOXID")))

    return list(await asyncio.gather(*map(with_id, listed)))
