"""Thread/get and Thread/changes (RFC 8621 section 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.account.account import Account
from gateway.account.records import Changes
from gateway.account.snapshot import Snapshot
from gateway.jmap.declare import DataType
from gateway.jmap.method import Registry
from gateway.jmap.objects.thread import THREAD
from gateway.methods import standard
from gateway.methods.reach import EVERYTHING, KNOWN, is_complete


class ThreadView:
    """The threads of one snapshot: the ids of their Emails, oldest first."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def state(self) -> str:
        return self._snapshot.state("Thread")

    def records(self, ids: Sequence[str] | None, *, at_most: int) -> Mapping[str, Sequence[str]]:
        return self._snapshot.threads(self._snapshot.thread_ids(at_most + 1) if ids is None else ids)

    def changes(self, since: str, *, at_most: int) -> Changes:
        return self._snapshot.changes("Thread", since, at_most)


class ThreadSource:
    """Threads for the standard methods."""

    data_type: DataType = THREAD
    getters: Mapping[str, Callable[[Sequence[str]], Any]] = {"emailIds": list}
    tells_updated_properties = False

    @asynccontextmanager
    async def look(self, account: Account, ids: Sequence[str] | None = ()) -> AsyncIterator[ThreadView]:
        await account.fresh(KNOWN if ids is not None else EVERYTHING)
        if ids and not _knows(account, ids):
            # It may be in a mailbox that nobody has asked for yet.
            await account.fresh(EVERYTHING)
        with account.snapshot() as snapshot:
            yield ThreadView(snapshot)


def _knows(account: Account, ids: Sequence[str]) -> bool:
    with account.snapshot() as snapshot:
        return len(snapshot.threads(ids)) == len(ids) or is_complete(snapshot)


def register(registry: Registry) -> None:
    standard.register(registry, ThreadSource(), {"get": standard.get, "changes": standard.changes})
