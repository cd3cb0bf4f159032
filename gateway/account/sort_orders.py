"""Where the `sortOrder` of mailboxes is kept when the upstream has no place for it: user state, not the index.

Rule 1: it is kept by path, the one name of a mailbox that outlives the index whatever the upstream offers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class SortOrders(Protocol):
    async def sort_orders(self, account_id: str) -> Mapping[str, int]:
        """Return the sort orders that were set, by path."""

    async def put_sort_orders(self, account_id: str, orders: Mapping[str, int | None]) -> None:
        """Set sort orders by path, or (None) forget them; all or none, durable on return."""
