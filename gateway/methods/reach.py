"""How much of the account a method must find up to date, and how it tells that an id cannot turn up any more."""

from __future__ import annotations

from gateway.account.records import Need
from gateway.account.snapshot import Snapshot

TREE = Need()
KNOWN = Need(known=True)
EVERYTHING = Need(known=True, everything=True)


def is_complete(snapshot: Snapshot) -> bool:
    """Tell whether every mailbox is indexed: an id that is not there does not exist.

    Asked only after a miss: it reads all mailboxes.
    """
    rows = snapshot.mailboxes()
    return bool(rows) and all(row.mark is not None and row.mark.is_indexed for row in rows if row.facts.is_selectable)
