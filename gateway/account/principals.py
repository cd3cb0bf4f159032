"""Who shares with a login, and what it was told of that: records of its own account (RFC 9670).

Rule 1: the mail server has no directory that anybody could ask. Known are the login itself, the owners of what it
may see, whom its mailboxes are shared with, and "anyone"; each has an id made of its name.
Rule 2: what is new to the gateway is not news: what a login could see when it came first is told of to nobody.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.account.ids import digest_id
from gateway.account.user_records import Record, UserRecords

PRINCIPALS: Final = "Principal"
NOTIFICATIONS: Final = "ShareNotification"
ANYONE: Final = "anyone"  # RFC 4314 section 2: everybody
# Dovecot: every login, without those that come without one. Names with "$" and "group:" are of groups, too.
_GROUPS = frozenset({ANYONE, "authenticated"})
MAX_NOTIFICATIONS: Final = 200  # the oldest make room (section 3 allows it)


@dataclass(frozen=True, slots=True)
class Principal:
    """One person or group, as the mail server spells it."""

    name: str
    account_ids: tuple[str, ...]
    email: str | None = None

    def record(self) -> Record:
        return {
            "type": "group" if self.name in _GROUPS or self.name.startswith(("$", "group:")) else "individual",
            "name": self.name,
            "email": self.email,
            "accountIds": list(self.account_ids),  # not shown: `accounts` is made of it
        }


@dataclass(frozen=True, slots=True)
class RightsChange:
    """What a login may do with one Mailbox of others has changed; None: it may not even see it."""

    account_id: str
    mailbox_id: str
    name: str
    old: Mapping[str, bool] | None
    new: Mapping[str, bool] | None


def principal_id(name: str) -> str:
    """Return the id of a principal, the same in the accounts of all who know it."""
    return digest_id("P", name)


async def keep_principals(records: UserRecords, principals: Iterable[Principal]) -> None:
    """Make the records those of these principals; nothing is written where nothing changed."""
    view = await records.look(PRINCIPALS, None)
    found = {principal_id(one.name): one.record() for one in principals}
    writes: dict[str, Record | None] = {id: None for id in view.by_id if id not in found}
    writes |= {id: record for id, record in found.items() if view.by_id.get(id) != record}
    if writes:
        await records.write(PRINCIPALS, writes)


async def notify(records: UserRecords, changes: Iterable[RightsChange], changed_by: Mapping[str, Any]) -> None:
    """Tell of changed rights; `changed_by` is an Entity (RFC 9670 section 3)."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    serial = time.time_ns()
    new: dict[str, Record | None] = {}
    for number, change in enumerate(changes):
        new[digest_id("N", change.account_id, change.mailbox_id, f"{serial}.{number}")] = {
            "created": now,
            "changedBy": dict(changed_by),
            "objectType": "Mailbox",
            "objectAccountId": change.account_id,
            "objectId": change.mailbox_id,
            "oldRights": None if change.old is None else dict(change.old),
            "newRights": None if change.new is None else dict(change.new),
            "name": change.name,
        }
    if not new:
        return
    view = await records.look(NOTIFICATIONS, None)
    excess = len(view.by_id) + len(new) - MAX_NOTIFICATIONS
    if excess > 0:  # in the order in which they were created
        new = dict.fromkeys(list(view.by_id)[:excess]) | dict(list(new.items())[-MAX_NOTIFICATIONS:])
    await records.write(NOTIFICATIONS, new)
