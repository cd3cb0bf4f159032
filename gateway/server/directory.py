"""The accounts that are open on this node: opened when a caller comes, closed after a while without one.

Rule 1: an account is opened once, however many requests come for it at the same time.
Rule 2: the newest proven credentials of a caller serve all further logins upstream; they are kept in memory only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gateway.account.account import Account
from gateway.account.index import Index
from gateway.account.scripts import Scripts
from gateway.account.sort_orders import SortOrders
from gateway.account.uploads import Uploads
from gateway.auth.caller import Caller
from gateway.jmap.capability import BLOB, MAIL, blob_account_capability, mail_account_capability
from gateway.jmap.errors import MethodError
from gateway.jmap.limits import Limits
from gateway.jmap.objects.email import EMAIL
from gateway.server.offers import LOOK_S, Offers
from gateway.server.sieve import advertise
from gateway.server.upstreams import Provider, own_addresses
from gateway.store.api import Lease, Mirror, RecordStore, StoreError
from gateway.sync.imap_backend import ImapBackend
from gateway.sync.link import Meter
from gateway.sync.rush import Rush
from gateway.sync.scope import PERSONAL, Scope
from gateway.sync.sieve.scripts import SieveScripts
from gateway.upstream.imap import Pool

DEFAULT_LIMITS = Limits()
IDLE_S = 1800.0  # without a request: longer than a mail client waits between two looks
RELEASE_S = 60.0  # without a request: the index's own connections come back in a millisecond
LOOK_ROUND_S = 30.0


class Owned(Protocol):
    """Which accounts this process owns, where it is not the only one."""

    mirror: Mirror | None  # where each of them is mirrored

    def is_ours(self, account_id: str) -> bool: ...

    def lease(self, account_id: str) -> Lease | None:
        """Return by what an account is owned; None where there are no leases. Raise `MethodError`."""

    async def adopt(self, account_id: str, login_id: str) -> Lease | None:
        """Return the same for an account of others that a login sees, whose own account is owned."""

    def lose(self, account_id: str) -> None:
        """Close an account as one that is lost."""


@dataclass(slots=True)
class _Entry:
    caller: Caller  # as it came last
    used_at_s: float
    opening: asyncio.Task[Account] = field(init=False)
    own: Account | None = None
    offers: Offers | None = None  # set with the account that is the login's own
    stops: list[Callable[[], None]] = field(default_factory=list)  # called when it is closed
    is_released: bool = False

    @property
    def accounts(self) -> dict[str, Account]:
        """The accounts that are open: the login's own first."""
        if self.own is None:
            return {}
        return {self.own.id: self.own, **(self.offers.shared if self.offers is not None else {})}


class Directory:
    """Opens and closes accounts.

    `attach` adds to an account that was opened what is not of IMAP, `detach` ends it. `refused` is called with an
    account id when its credentials were refused upstream, `brought` with a caller whose credentials are new here. An
    account for which `is_needed` is not closed.
    An account that this process does not own (`owned`) is not opened.
    `regrouped` is called with a login's account id and all its accounts when some of others have come or gone.
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        providers: Mapping[str, Provider],
        uploads: Uploads,
        sort_orders: SortOrders,
        records: RecordStore | None = None,
        limits: Limits = DEFAULT_LIMITS,
        meter: Meter | None = None,
        refused: Callable[[str], None] = lambda _account_id: None,
        brought: Callable[[Caller], None] = lambda _caller: None,
        is_needed: Callable[[str], bool] = lambda _account_id: False,
        attach: Callable[[Account, Caller], Awaitable[None]] | None = None,
        detach: Callable[[Account], Awaitable[None]] | None = None,
        regrouped: Callable[[str, Mapping[str, Account]], None] = lambda _account_id, _accounts: None,
    ) -> None:
        self._directory = data_dir / "accounts"
        self._providers, self._uploads, self._meter = providers, uploads, meter
        self._refused, self._brought, self._is_needed = refused, brought, is_needed
        self.owned: Owned | None = None  # set before anything comes in; None: there is no other process
        self._attach, self._detach, self._regrouped = attach, detach, regrouped
        self._sort_orders, self._records, self._limits = sort_orders, records, limits
        self._entries: dict[str, _Entry] = {}
        self._rush = Rush()

    async def accounts_of(self, caller: Caller) -> Mapping[str, Account]:
        """Return the accounts of a caller by id, open."""
        entry = self._entries.get(caller.account_id)
        if entry is None:
            if self.owned is not None and not self.owned.is_ours(caller.account_id):
                raise MethodError("serverUnavailable", "another node serves the account")
            entry = _Entry(caller, time.monotonic())
            entry.opening = asyncio.create_task(self._open(caller, entry))
            self._entries[caller.account_id] = entry
            self._brought(caller)
        elif entry.caller is not caller and entry.caller.credentials != caller.credentials:
            self._brought(caller)
        entry.caller, entry.used_at_s, entry.is_released = caller, time.monotonic(), False
        if entry.own is None:
            try:
                entry.own = await asyncio.shield(entry.opening)
            except BaseException:
                if entry.opening.done() and self._entries.get(caller.account_id) is entry:
                    del self._entries[caller.account_id]
                raise
        if entry.offers is not None:
            with nullcontext() if entry.offers.has_looked else self._rush.opening():
                await entry.offers.learn()
        return entry.accounts

    async def opened(self, account_id: str) -> Mapping[str, Account] | None:
        """Return the accounts that go with this one if they are open; None if not."""
        caller = self.caller_of(account_id)
        return await self.accounts_of(caller) if caller is not None else None

    def caller_of(self, account_id: str) -> Caller | None:
        """Return the caller whose account this is, with the newest credentials, while it is open."""
        entry = self._entries.get(account_id)
        return entry.caller if entry is not None else None

    def account_of(self, account_id: str) -> Account | None:
        """Return an account if it is open."""
        entry = self._entries.get(account_id)
        return entry.accounts.get(account_id) if entry is not None else None

    def accounts(self) -> list[Account]:
        """Return every account that is open."""
        return [account for entry in self._entries.values() for account in entry.accounts.values()]

    async def close_idle(self) -> None:
        """Close what nobody uses, again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_ROUND_S)
            now = time.monotonic()
            for account_id, entry in list(self._entries.items()):
                if entry.own is None:
                    continue
                if now - entry.used_at_s > IDLE_S and not self._is_needed(account_id):
                    del self._entries[account_id]
                    await self._close(entry)
                elif now - entry.used_at_s > RELEASE_S and not entry.is_released:
                    entry.is_released = True
                    for account in entry.accounts.values():
                        account.release()

    async def close(self, account_id: str) -> None:
        """Close the accounts that go with this one, if they are open."""
        entry = self._entries.pop(account_id, None)
        if entry is not None:
            await self._close(entry)

    async def aclose(self) -> None:
        """Close every account."""
        entries, self._entries = list(self._entries.values()), {}
        await asyncio.gather(*map(self._close, entries))

    async def _open(self, caller: Caller, entry: _Entry) -> Account:
        with self._rush.opening():
            return await self._open_own(caller, entry)

    async def _open_own(self, caller: Caller, entry: _Entry) -> Account:
        provider = self._providers[caller.upstream]
        await asyncio.to_thread(self._directory.mkdir, mode=0o700, parents=True, exist_ok=True)
        pool = provider.pool(lambda: entry.caller.credentials)
        own = await self._open_account(entry, pool, caller.account_id, PERSONAL)
        if self._attach is not None:
            await self._attach(own, caller)
        if provider.sieve is not None:
            await provider.sieve.first_look()
            entry.stops.append(provider.sieve.subscribe(lambda: advertise(own)))
            advertise(own)
        entry.offers = Offers(
            own,
            lambda id, scope: self._open_account(entry, pool, id, scope),
            interval_s=LOOK_S if provider.config.max_staleness_s else 0.0,
            sees_others=provider.config.shared_accounts,
            changed=lambda: self._regrouped(caller.account_id, entry.accounts),
            drop=self._drop_index,
        )
        return own

    def _lost(self, account_id: str) -> None:
        """An account cannot keep its mirror: close it; whoever wants it opens it anew."""
        if self.owned is not None:
            self.owned.lose(account_id)

    async def _adopt(self, account_id: str, login_id: str) -> Lease | None:
        assert self.owned is not None
        try:
            return await self.owned.adopt(account_id, login_id)
        except StoreError as error:
            raise MethodError("serverUnavailable", "the account cannot be opened for now") from error

    async def _drop_index(self, account_id: str) -> None:
        await asyncio.to_thread(Index(self._directory / f"{account_id}.db").drop)

    async def _open_account(self, entry: _Entry, pool: Pool, id: str, scope: Scope) -> Account:
        """Open an account of a caller: its own, or with another scope one of others that it may see."""
        caller = entry.caller
        provider = self._providers[caller.upstream]
        lease = None
        if self.owned is not None:
            lease = self.owned.lease(id) if scope.is_personal else await self._adopt(id, caller.account_id)
        account = Account(
            id=id,
            name=caller.login if scope.is_personal else scope.name,
            login=caller.login,
            path=self._directory / f"{id}.db",
            make_backend=lambda account: ImapBackend(
                account,
                pool,
                max_staleness_s=provider.config.max_staleness_s,
                meter=self._meter,
                sort_orders=self._sort_orders,
                on_refused=lambda: self._refused(caller.account_id),
                scope=scope,
                rush=self._rush,
            ),
            uploads=self._uploads,
            is_personal=scope.is_personal,
            capabilities={
                MAIL: mail_account_capability(email_sort_options=EMAIL.sort_properties),
                BLOB: blob_account_capability(self._limits),
            },
            records=self._records,
            own_addresses=own_addresses(provider.config, caller.login) if scope.is_personal else None,
            make_scripts=self._scripts_maker(provider, entry) if scope.is_personal else None,
            mirror=self.owned.mirror if lease is not None and self.owned is not None else None,
            lease=lease,
            lost=lambda: self._lost(caller.account_id),
        )
        await account.open()
        return account

    def _scripts_maker(self, provider: Provider, entry: _Entry) -> Callable[[Account], Scripts] | None:
        """Return what makes the port to an account's Sieve scripts, where its upstream has some."""
        sieve = provider.sieve
        if sieve is None:
            return None
        return lambda account: SieveScripts(
            account,
            provider.sieve_connection(lambda: entry.caller.credentials),
            max_staleness_s=provider.config.max_staleness_s,
            facts=lambda: sieve.facts,
            on_facts=lambda: advertise(account),
        )

    async def _close(self, entry: _Entry) -> None:
        if entry.offers is not None:
            await entry.offers.aclose()
        with suppress(Exception):  # an account that never opened is told to whoever opened it
            own = await entry.opening
            for stop in entry.stops:
                stop()
            if self._detach is not None:
                await self._detach(own)
            await own.aclose()
