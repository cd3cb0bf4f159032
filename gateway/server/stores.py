"""Where user state is: in a file, or with Redis in one place for all nodes, with what nodes agree on beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.config import Config
from gateway.store.api import LeaseStore, Mirror, OutgoingStore, Signals, UserStore
from gateway.store.outgoing import OutgoingFiles
from gateway.store.redis_leases import RedisLeases
from gateway.store.redis_link import RedisLink
from gateway.store.redis_mirror import RedisMirror
from gateway.store.redis_outgoing import RedisOutgoing
from gateway.store.redis_signals import RedisSignals
from gateway.store.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class Shared:
    """What several nodes share."""

    leases: LeaseStore
    mirror: Mirror
    signals: Signals


@dataclass(frozen=True, slots=True)
class Stores:
    user: UserStore
    outgoing: OutgoingStore
    shared: Shared | None = None  # None: without Redis


@asynccontextmanager
async def stores(config: Config, *, is_shared: bool) -> AsyncIterator[Stores]:
    """Open the stores; close them at the end. Raise `StoreError`.

    `is_shared`: other workers have the same file open.
    """
    address = config.store.redis_url
    if address is None:
        store = await SqliteStore.open(config.store.data_dir, is_shared=is_shared)
        try:
            yield Stores(store, OutgoingFiles(config.store.data_dir / "outbox"))
        finally:
            await store.close()
        return
    link = RedisLink(address, config.store.redis_ca_file)
    signals = RedisSignals(link)
    try:
        leases = RedisLeases(link)
        await signals.start()
        outgoing = RedisOutgoing(link, leases.held)
        yield Stores(await _user_store(config, link), outgoing, Shared(leases, RedisMirror(link), signals))
    finally:
        await signals.aclose()
        await link.close()


async def _user_store(config: Config, link: RedisLink) -> UserStore:
    import os
    from pathlib import Path

    return await SqliteStore.open(Path(os.environ["TEST_SHARED_DB"]), is_shared=True)
