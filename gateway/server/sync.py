"""`jmap-gateway sync`: index an account now, from the command line."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.account.records import Need
from gateway.auth.caller import Caller, account_id
from gateway.config import Config
from gateway.jmap.errors import MethodError
from gateway.secret import Secret
from gateway.server.directory import Directory
from gateway.server.probe import credentials_of, provider_of
from gateway.server.serve import GC_THRESHOLDS
from gateway.store.sqlite import SqliteStore
from gateway.store.uploads import Uploads
from gateway.sync import parsing

STALL_LOOK_S = 0.001  # how often the event loop is asked whether it answers


@dataclass(frozen=True, slots=True)
class Indexed:
    """What an indexing took."""

    messages: int
    mailboxes: int
    seconds: float
    max_rss_kb: int
    loop_stall_ms: float  # the longest time the event loop did not answer


class _Progress:
    """A `sync.link.Meter` that shows how far the indexing is."""

    def __init__(self, show: Callable[[str, int, int], None]) -> None:
        self._show = show

    def swept(self, seconds: float, changed_mailboxes: int) -> None: ...
    def failed(self) -> None: ...
    def answered(self, age_s: float) -> None: ...
    def audited(self, found: int) -> None: ...

    def indexed(self, mailbox: str, done: int, total: int) -> None:
        self._show(mailbox, done, total)


async def sync_account(
    config: Config, login: str, password: Secret, progress: Callable[[str, int, int], None]
) -> Indexed:
    """Index every mailbox of a login. Raise `OSError` or `ValueError` with a text for people."""
    if config.store.redis_url is not None:
        raise ValueError("with redis_url the node that owns an account indexes it, once its client has come")
    gc.set_threshold(*GC_THRESHOLDS)
    provider = provider_of(config, login)
    store = await SqliteStore.open(config.store.data_dir)
    await parsing.wait_until_ready()
    try:
        directory = Directory(
            data_dir=config.store.data_dir,
            providers={provider.config.name: provider},
            uploads=Uploads(store, config.store.data_dir / "uploads"),
            sort_orders=store,
            meter=_Progress(progress),
        )
        name = provider.config.name
        identity = account_id(await store.key("account id"), name, login)
        caller = Caller(login, name, identity, credentials_of(provider, login, password))
        try:
            return await _index(directory, caller)
        except MethodError as error:
            raise OSError(error.description or error.kind) from error
        finally:
            await directory.aclose()
    finally:
        parsing.stop()
        await store.close()


async def _index(directory: Directory, caller: Caller) -> Indexed:
    account = (await directory.accounts_of(caller))[caller.account_id]
    stalls = [0.0]
    watching = asyncio.create_task(_watch_loop(stalls))
    begun = time.monotonic()
    await account.fresh(Need(known=True, everything=True))
    seconds = time.monotonic() - begun
    watching.cancel()
    with account.snapshot() as snapshot:
        rows = snapshot.mailboxes()
    return Indexed(
        messages=sum(row.mark.exists for row in rows if row.mark is not None),
        mailboxes=len(rows),
        seconds=seconds,
        max_rss_kb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        loop_stall_ms=max(stalls) * 1e3,
    )


async def _watch_loop(stalls: list[float]) -> None:
    while True:
        asked = time.monotonic()
        await asyncio.sleep(STALL_LOOK_S)
        stalls[0] = max(stalls[0], time.monotonic() - asked - STALL_LOOK_S)
