"""Where user state is: in a file, or with Redis in one place for all nodes, with what nodes agree on beside it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from gateway.account import uploads as account_uploads
from gateway.auth.login import Proofs
from gateway.config import Config
from gateway.store.api import LeaseStore, Mirror, OutgoingStore, Signals, StoreError, UserStore
from gateway.store.outgoing import OutgoingFiles
from gateway.store.redis_leases import RedisLeases
from gateway.store.redis_link import RedisLink
from gateway.store.redis_mirror import RedisMirror
from gateway.store.redis_outgoing import RedisOutgoing
from gateway.store.redis_proofs import RedisProofs
from gateway.store.redis_settings import read_settings, warnings_of
from gateway.store.redis_signals import RedisSignals
from gateway.store.redis_store import RedisStore
from gateway.store.redis_uploads import RedisUploads
from gateway.store.sqlite import SqliteStore
from gateway.store.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Shared:
    """What several nodes share."""

    leases: LeaseStore
    mirror: Mirror
    signals: Signals
    proofs: Proofs


class KeptUploads(account_uploads.Uploads, Protocol):
    """Uploads that expire."""

    async def sweep(self) -> int:
        """Remove what has expired; return how many there were. Every few minutes."""


@dataclass(frozen=True, slots=True)
class Stores:
    user: UserStore
    uploads: KeptUploads
    outgoing: OutgoingStore
    shared: Shared | None = None  # None: without Redis


log = logging.getLogger(__name__)


@asynccontextmanager
async def stores(config: Config, *, worker: int | None = None) -> AsyncIterator[Stores]:
    """Open the stores; close them at the end. Raise `StoreError`.

    `worker`: the number of this process where others have the same files open.
    """
    lifetime_s, quota_octets = config.limits.upload_lifetime_h * 3600, config.limits.upload_quota
    address = config.store.redis_url
    if address is None:
        store = await SqliteStore.open(config.store.data_dir, is_shared=worker is not None)
        try:
            yield Stores(
                store,
                Uploads(
                    store,
                    config.store.data_dir / "uploads",
                    lifetime_s=lifetime_s,
                    quota_octets=quota_octets,
                    incoming=f"incoming-{worker}" if worker is not None else "incoming",
                ),
                OutgoingFiles(config.store.data_dir / "outbox"),
            )
        finally:
            await store.close()
        return
    link = RedisLink(address, config.store.redis_ca_file)
    signals = RedisSignals(link)
    try:
        leases = RedisLeases(link)
        if not worker:  # else the first worker tells
            for warning in await _warnings(link):
                log.warning("Redis", extra={"warning": warning})
        user = await RedisStore.open(link, leases.held, config.store.data_dir)
        leases.on_join = user.put_back_keys
        await signals.start()
        yield Stores(
            user,
            RedisUploads(link, leases.held, lifetime_s=lifetime_s, quota_octets=quota_octets),
            RedisOutgoing(link, leases.held),
            Shared(leases, RedisMirror(link), signals, RedisProofs(link)),
        )
    finally:
        await signals.aclose()
        await link.close()


async def check_redis(config: Config) -> list[str]:
    """Return what is unwise about the Redis of a configuration, or why it cannot be asked."""
    assert config.store.redis_url is not None
    link = RedisLink(config.store.redis_url, config.store.redis_ca_file)
    try:
        return await _warnings(link)
    finally:
        await link.close()


async def _warnings(link: RedisLink) -> list[str]:
    try:
        found = [warning for settings in await read_settings(link) for warning in warnings_of(settings)]
    except StoreError as error:
        return [f"{error}; whether it keeps what it is given is not known"]
    return [f"Redis at {link.address}: {warning}" for warning in dict.fromkeys(found)]
