"""One JMAP account: its index, the owner task that makes every write, and its backend.

Rule 1: nothing changes the index but a batch, and batches are applied one after another.
Rule 2: a read on the event loop costs a few milliseconds at most; what can take longer runs in a thread (`read`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from gateway.account.backend import Backend
from gateway.account.query import EmailQuery, QueryChanges, QueryResult
from gateway.account.records import Applied, Batch, Need
from gateway.account.snapshot import Snapshot
from gateway.account.uploads import Uploads

T = TypeVar("T")


class Account:
    """An account as methods, sync and push see it. `open()` before use, `aclose()` after."""

    def __init__(
        self,
        *,
        id: str,
        name: str,
        login: str,
        path: Path,
        make_backend: Callable[[Account], Backend],
        uploads: Uploads,
        is_personal: bool = True,
        is_read_only: bool = False,
        capabilities: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.id, self.name, self.login = id, name, login
        self.is_personal, self.is_read_only = is_personal, is_read_only
        self.capabilities: dict[str, dict[str, Any]] = capabilities or {}
        self.uploads = uploads
        self.backend: Backend = make_backend(self)

    async def open(self) -> None:
        """Open the index; a corrupt one or one of another schema is dropped and a new one begun."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the backend, finish the batch under way and let go of the index."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of the idle connections to the index; they come back when needed."""
        raise NotImplementedError

    async def fresh(self, need: Need) -> None:
        """Bring the index up to date as far as `need` says."""
        await self.backend.refresh(need)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open a consistent read view, on the event loop's thread; never await inside."""
        raise NotImplementedError

    async def read(self, work: Callable[[Snapshot], T]) -> T:
        """Run `work` on a snapshot in a thread, for reads of more than a few milliseconds."""
        raise NotImplementedError

    async def apply(self, batch: Batch) -> Applied:
        """Apply a batch whole, after those asked for before it. Return what it changed."""
        raise NotImplementedError

    def subscribe(self, callback: Callable[[Applied], None]) -> Callable[[], None]:
        """Call `callback` after each batch that a client can see; return the function that ends this."""
        raise NotImplementedError

    async def query_emails(self, query: EmailQuery) -> QueryResult:
        """Answer Email/query (RFC 8621 section 4.4). The mailboxes asked for must be fresh (`fresh`)."""
        raise NotImplementedError

    async def email_query_changes(
        self,
        query: EmailQuery,
        since_query_state: str,
        *,
        max_changes: int | None = None,
        up_to_id: str | None = None,
    ) -> QueryChanges:
        """Answer Email/queryChanges (RFC 8621 section 4.5); `query.calculate_total` counts, its page does not."""
        raise NotImplementedError
