"""Mailbox/get, /changes, /query, /queryChanges (RFC 8621 section 2): everything is in the account's tree."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.account.account import Account
from gateway.account.principals import principal_id
from gateway.account.records import Changes, MailboxRow
from gateway.account.snapshot import Snapshot
from gateway.jmap import types
from gateway.jmap.arguments import Argument
from gateway.jmap.capability import MAIL_SHARE
from gateway.jmap.declare import DataType
from gateway.jmap.method import Arguments, Context, Registry
from gateway.jmap.objects.mailbox import MAILBOX, RIGHTS, SHARE_RIGHTS
from gateway.message.subject import unicode_casemap
from gateway.methods import mailbox_tree, standard, standard_query
from gateway.methods.reach import TREE
from gateway.methods.standard_query import Predicate, Rules, Sort

GETTERS: Mapping[str, Callable[[MailboxRow], Any]] = {
    "name": lambda row: row.facts.name,
    "parentId": lambda row: row.facts.parent_id,
    "role": lambda row: row.facts.role,
    "sortOrder": lambda row: row.facts.sort_order,
    "totalEmails": lambda row: row.total_emails,
    "unreadEmails": lambda row: row.unread_emails,
    "totalThreads": lambda row: row.total_threads,
    "unreadThreads": lambda row: row.unread_threads,
    "myRights": lambda row: {right: right in row.facts.rights for right in RIGHTS},
    "isSubscribed": lambda row: row.facts.is_subscribed,
}


# The same for a request that uses the mail-sharing draft.
SHARE_GETTERS: Mapping[str, Callable[[MailboxRow], Any]] = {
    **GETTERS,
    "myRights": lambda row: _rights(row.facts.rights),
    "shareWith": lambda row: share_with(row) or None,
}


def share_with(row: MailboxRow) -> dict[str, dict[str, bool]]:
    """Return whom a Mailbox is shared with: rights by the id of a Principal."""
    return {principal_id(identifier): _rights(rights) for identifier, rights in row.facts.shares}


def _rights(held: Collection[str]) -> dict[str, bool]:
    return {right: right in held for right in SHARE_RIGHTS}


class MailboxView:
    """The mailboxes of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def state(self) -> str:
        return self._snapshot.state("Mailbox")

    def records(self, ids: Sequence[str] | None, *, at_most: int) -> dict[str, MailboxRow]:
        rows = {row.facts.id: row for row in self._snapshot.mailboxes()}
        if ids is None:
            return dict(sorted(rows.items(), key=_natural_order))
        return {id: rows[id] for id in ids if id in rows}

    def changes(self, since: str, *, at_most: int) -> Changes:
        return self._snapshot.changes("Mailbox", since, at_most)


def _natural_order(item: tuple[str, MailboxRow]) -> tuple[int, Any, str]:
    # RFC 8621 section 2, `sortOrder`: equal ones by name.
    id, row = item
    return row.facts.sort_order, unicode_casemap(row.facts.name), id


def _arrange(
    rows: Mapping[str, MailboxRow], matches: Predicate[MailboxRow], sort: Sort, arguments: Arguments
) -> list[str]:
    ids = [id for id, row in rows.items() if matches(row)]
    if arguments["filterAsTree"]:
        ids = mailbox_tree.with_ancestors_only(rows, ids)
    return mailbox_tree.in_tree_order(rows, ids, sort) if arguments["sortAsTree"] else sort(ids)


def _affected(rows: Mapping[str, MailboxRow], changed: set[str], arguments: Arguments) -> set[str]:
    # In a tree a mailbox moves, comes or goes with its ancestors.
    if arguments["sortAsTree"] or arguments["filterAsTree"]:
        return mailbox_tree.with_descendants(rows, changed)
    return changed


class MailboxSource:
    """Mailboxes for the standard methods."""

    data_type: DataType = MAILBOX
    tells_updated_properties = True
    rules: Rules[MailboxRow] = Rules(
        conditions={
            "parentId": lambda row, value: row.facts.parent_id == value,
            "name": lambda row, value: unicode_casemap(value) in unicode_casemap(row.facts.name),
            "role": lambda row, value: row.facts.role == value,
            "hasAnyRole": lambda row, value: (row.facts.role is not None) is value,
            "isSubscribed": lambda row, value: row.facts.is_subscribed is value,
        },
        sort_keys={
            "sortOrder": lambda row, fold: row.facts.sort_order,
            "name": lambda row, fold: fold(row.facts.name),
            # Top level first; then the children of one parent stay together.
            "parentId": lambda row, fold: row.facts.parent_id or "",
            "role": lambda row, fold: row.facts.role or "",
        },
        strings=frozenset({"name"}),
        arguments={
            "sortAsTree": Argument(types.is_boolean, default=False),
            "filterAsTree": Argument(types.is_boolean, default=False),
        },
        arrange=_arrange,
        affected=_affected,
    )

    def __init__(self, using: frozenset[str] = frozenset()) -> None:
        self._shows_shares = MAIL_SHARE in using
        self.getters = SHARE_GETTERS if self._shows_shares else GETTERS

    @asynccontextmanager
    async def look(self, account: Account, ids: Sequence[str] | None = ()) -> AsyncIterator[MailboxView]:
        if self._shows_shares and MAIL_SHARE in account.capabilities:
            await account.backend.load_shares()
        await account.fresh(TREE)
        with account.snapshot() as snapshot:
            yield MailboxView(snapshot)


def register(registry: Registry) -> None:
    standard.register(
        registry,
        MailboxSource(),
        {
            "changes": standard.changes,
            "query": standard_query.query,
            "queryChanges": standard_query.query_changes,
            "get": _get,
        },
    )


async def _get(_source: MailboxSource, context: Context, arguments: Arguments) -> Arguments:
    """Mailbox/get; what it shows depends on what the request uses."""
    return await standard.get(MailboxSource(context.using), context, arguments)
