"""Everything that tells clients of changes, put together: the bus, tickets, push subscriptions and their delivery."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.account.account import Account
from gateway.auth.caller import Caller
from gateway.auth.login import Authenticator
from gateway.auth.ticket import Tickets
from gateway.config import Config
from gateway.jmap.capability import WEBPUSH_VAPID
from gateway.metrics import Metrics
from gateway.push.bus import Bus
from gateway.push.courier import Courier
from gateway.push.guard import Guard
from gateway.push.post import Poster
from gateway.push.subscriptions import Subscriptions
from gateway.push.vapid import Vapid
from gateway.server.directory import Directory
from gateway.server.kept import KeptLogins, open_vault
from gateway.server.refusals import Refusals
from gateway.server.upstreams import Provider, upstream_login
from gateway.store.api import UserStore
from gateway.upstream.imap import OAuthCredentials
from gateway.web.streams import Streams

DAY_S = 86_400

log = logging.getLogger(__name__)


class Push:
    """One for the gateway. `directory` is set before anything comes in; `start()` then goes on where it was left."""

    directory: Directory

    def __init__(
        self,
        config: Config,
        store: UserStore,
        upstreams: Mapping[str, Provider],
        authenticator: Authenticator,
        kept: KeptLogins,
        *,
        vapid: Vapid,
        tickets: Tickets | None,
        poster: Poster,
        metrics: Metrics,
    ) -> None:
        self._store, self._authenticator, self.kept = store, authenticator, kept
        self.tell_revoked: Callable[[str], Awaitable[None]] | None = None  # tells other nodes
        self._is_master = {name: provider.config.auth == "master" for name, provider in upstreams.items()}
        self._tasks: set[asyncio.Task[None]] = set()
        self.vapid, self.tickets = vapid, tickets
        self.bus, self.streams = Bus(), Streams()
        self.subscriptions = Subscriptions(
            store,
            poster.guard,
            first_made=self._first_made,
            last_gone=kept.drop,
            max_lifetime_s=config.push.max_lifetime_d * DAY_S,
            max_of_a_login=config.push.max_per_login,
        )
        self.courier = self.subscriptions.courier = Courier(
            store=store,
            bus=self.bus,
            poster=poster,
            accounts_of=self._accounts_of,
            gone=self.subscriptions.end,
            on_push=metrics.push_done,
        )
        self._refusals = Refusals(upstreams, lambda account_id: self.directory.caller_of(account_id), self._revoked)
        metrics.gauge("streams_open", "Event streams and WebSockets that are open", self.streams.count)
        metrics.gauge("push_subscriptions", "Push subscriptions", self.courier.count)

    async def owners(self) -> set[str]:
        """Return the accounts that have subscriptions."""
        return set(await self._store.subscription_owners())

    async def begin(self, account_id: str) -> None:
        """Go on with the subscriptions of one account."""
        if await self.courier.begin(account_id):
            self.kept.load([account_id])

    async def end(self, account_id: str) -> None:
        """Leave one account to another node."""
        self.bus.end(account_id)
        await self.courier.end(account_id)

    async def aclose(self) -> None:
        await self.courier.aclose()
        await self._refusals.aclose()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def capabilities(self) -> dict[str, dict[str, Any]]:
        """Return what the Session tells beside the capabilities of the accounts."""
        return {WEBPUSH_VAPID: self.vapid.capability()}

    def refused(self, account_id: str) -> None:
        """The upstream has refused this account's credentials."""
        self._authenticator.refused(account_id)
        self._refusals.told(account_id)

    def brought(self, caller: Caller) -> None:
        """A caller has come whose credentials are new."""
        self.courier.logged_in(caller.account_id)
        if self.kept.is_older(caller):
            self._start(self.kept.keep(caller))

    async def _accounts_of(self, owner: str) -> Mapping[str, Account] | None:
        """Open the accounts of a push subscription's owner."""
        caller = self.directory.caller_of(owner) or await self.kept.caller(owner)
        return await self.directory.accounts_of(caller) if caller is not None else None

    async def _first_made(self, owner: str) -> None:
        caller = self.directory.caller_of(owner)
        if caller is not None:
            await self.kept.keep(caller, "push")

    async def _revoked(self, caller: Caller) -> None:
        """End what was built on credentials that are good no more (RFC 8620 section 7.2)."""
        if self._is_master[caller.upstream]:
            return  # it is the master login that is refused: the caller has done nothing
        self.streams.end(caller.account_id)
        if isinstance(caller.credentials, OAuthCredentials):
            return  # an access token is short-lived; its client brings the next one
        self.revoke_ticket(caller.account_id)
        if self.tell_revoked is not None:
            await self.tell_revoked(caller.account_id)
        await self.subscriptions.end_all(caller.account_id)

    def revoke_ticket(self, account_id: str) -> None:
        """Take no ticket of this account that was given out before."""
        if self.tickets is not None:
            self.tickets.revoke(account_id)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("new credentials were not kept", exc_info=error)


@asynccontextmanager
async def pushing(
    config: Config,
    store: UserStore,
    upstreams: Mapping[str, Provider],
    authenticator: Authenticator,
    metrics: Metrics,
) -> AsyncIterator[Push]:
    """Make everything for pushing, and end it."""
    contact = config.push.contact or (config.http.public_url if config.http.public_url.startswith("https:") else None)
    vapid = Vapid(await store.key("vapid"), contact)
    tickets = Tickets(await store.key("event source ticket")) if config.http.event_source_tickets else None
    logins = {name: upstream_login(upstream) for name, upstream in config.upstreams.items()}
    kept = KeptLogins(store, await open_vault(config), logins)
    poster = Poster(Guard(config.push.allow), vapid, str(config.push.ca_file) if config.push.ca_file else None)
    push = Push(
        config, store, upstreams, authenticator, kept, vapid=vapid, tickets=tickets, poster=poster, metrics=metrics
    )
    try:
        yield push
    finally:
        await push.aclose()
        await poster.aclose()
