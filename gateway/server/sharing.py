"""What a login is told of sharing (RFC 9670): who shares with it, and each change of what it may do there.

Rule 1: section 1.4 lets the Session show only accounts in which something is subscribed. Here all are shown: IMAP
servers subscribe nobody to what is shared, and most clients know no other way to find it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from gateway.account.account import Account
from gateway.account.principals import (
    ANYONE,
    PRINCIPALS,
    Principal,
    RightsChange,
    keep_principals,
    notify,
    principal_id,
)
from gateway.jmap.capability import MAIL_SHARE, PRINCIPALS_OWNER
from gateway.jmap.capability import PRINCIPALS as PRINCIPALS_URI
from gateway.jmap.objects.mailbox import RIGHTS

MAX_IDENTIFIERS = 1000  # whom the mailboxes of a login are shared with, all together

Seen = Mapping[str, tuple[str, frozenset[str]]]  # mailbox id -> its name and rights


def rights_in(account: Account) -> Seen:
    """Return what may be done with each mailbox of an account, as far as its index knows."""
    with account.snapshot() as snapshot:
        return {row.facts.id: (row.facts.name, row.facts.rights) for row in snapshot.mailboxes()}


def changed_rights(account_id: str, before: Seen, after: Seen) -> list[RightsChange]:
    """Return what is different. Pure."""
    changes = []
    for id in [*before, *(id for id in after if id not in before)]:
        old, new = before.get(id), after.get(id)
        if old is None or new is None or old[1] != new[1]:
            (name, _rights) = new or old or ("", frozenset())
            changes.append(RightsChange(account_id, id, name, _shown(old), _shown(new)))
    return changes


def _shown(seen: tuple[str, frozenset[str]] | None) -> dict[str, bool] | None:
    return None if seen is None else {right: right in seen[1] for right in RIGHTS}


def _identifiers(account: Account) -> set[str]:
    with account.snapshot() as snapshot:
        return {identifier for row in snapshot.mailboxes() for identifier, _rights in row.facts.shares}


class Sharing:
    """Of one login. It keeps the Principals and ShareNotifications in the login's own account."""

    def __init__(self, own: Account) -> None:
        self._own = own
        self._seen: dict[str, Seen] = {}
        self._owners: dict[str, str | None] = {}  # account id -> owner
        self._is_first = PRINCIPALS not in own.user_records.states
        self._lock = asyncio.Lock()
        self._kept: dict[str, tuple[str, ...]] = {}

    def offer(self) -> None:
        """Give the own account its capabilities."""
        self._own.capabilities[MAIL_SHARE] = {}
        self._own.capabilities[PRINCIPALS_URI] = {"currentUserPrincipalId": principal_id(self._own.name)}
        self._own.capabilities[PRINCIPALS_OWNER] = self._owner_capability(self._own.name)

    def opened(self, account: Account, owner: str | None, before: Seen) -> None:
        """Begin with an account of others; `before` is what its index knew from an earlier time."""
        self._seen[account.id], self._owners[account.id] = before, owner
        if owner is not None:
            account.capabilities[MAIL_SHARE] = {}
            account.capabilities[PRINCIPALS_OWNER] = self._owner_capability(owner)

    async def follow(self, account: Account) -> None:
        """Tell what has changed in an account of others."""
        await self._tell(account.id, rights_in(account))

    async def gone(self, account_id: str) -> None:
        """Tell that an account of others may not be seen any more."""
        await self._tell(account_id, {})
        self._seen.pop(account_id, None)
        self._owners.pop(account_id, None)

    async def known(self) -> set[str]:
        """Return the accounts of others that were seen the last time, in this process or an earlier one."""
        view = await self._own.user_records.look(PRINCIPALS, None)
        return {id for record in view.by_id.values() for id in record["accountIds"]} - {self._own.id}

    async def keep(self, shared: Iterable[Account]) -> None:
        """Make the Principals those that can be known now; `shared` are the accounts of others."""
        async with self._lock:
            others = list(shared)
            accounts: dict[str, tuple[str, ...]] = {ANYONE: (), self._own.name: (self._own.id,)}
            for account in others:
                if (owner := self._owners.get(account.id)) is not None:
                    accounts[owner] = (*accounts.get(owner, ()), account.id)
            for identifier in sorted(set().union(*map(_identifiers, [self._own, *others])))[:MAX_IDENTIFIERS]:
                accounts.setdefault(identifier, ())
            if accounts == self._kept:
                return
            emails = {name: name for name in accounts if "@" in name}
            if addresses := self._own.own_addresses.identities():
                emails[self._own.name] = addresses[0]
            found = [Principal(name, ids, emails.get(name)) for name, ids in accounts.items()]
            await keep_principals(self._own.user_records, found)
            self._kept = accounts
            self._is_first = False

    async def _tell(self, account_id: str, after: Seen) -> None:
        async with self._lock:
            before = self._seen.get(account_id)
            if before is None:
                return  # let go of meanwhile
            self._seen[account_id] = after
            if self._is_first:
                return
            owner = self._owners.get(account_id)
            # IMAP does not say who it was; mostly it is who owns it.
            entity = {
                "name": owner or "",
                "email": owner if owner is not None and "@" in owner else None,
                "principalId": None if owner is None else principal_id(owner),
            }
            await notify(self._own.user_records, changed_rights(account_id, before, after), entity)

    def _owner_capability(self, name: str) -> dict[str, str]:
        return {"accountIdForPrincipal": self._own.id, "principalId": principal_id(name)}
