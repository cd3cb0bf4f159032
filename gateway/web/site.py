"""What every endpoint needs: who the caller is, which accounts there are, which URLs the client knows us by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from gateway.account.account import Account
from gateway.auth import Authenticator, Caller, Tickets
from gateway.jmap.capability import WEBSOCKET
from gateway.jmap.concurrency import ConcurrencyLimit
from gateway.jmap.dispatch import Dispatcher
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context
from gateway.jmap.request import Request
from gateway.jmap.session import Urls, session_object
from gateway.metrics import Metrics
from gateway.push.bus import Bus
from gateway.web.hop import Hop
from gateway.web.owners import Serve
from gateway.web.proxy import Proxies
from gateway.web.streams import Streams

MAX_TUNNELS = 1_000_000  # each account's are counted where they end
MAX_BASES = 64  # host names that trusted proxies may bring; more are built anew each time


class Blob(Protocol):
    """An open blob; `chunks` is iterated once."""

    @property
    def chunks(self) -> AsyncIterator[bytes]: ...
    @property
    def size_octets(self) -> int | None: ...


AccountsOf = Callable[[Caller], Awaitable[Mapping[str, Account]]]
Opened = Callable[[str], Awaitable[Mapping[str, Account] | None]]  # by account id; None: not open, and cannot be
OpenBlob = Callable[[Account, str], Awaitable[Blob | None]]  # None: there is no such blob in this account


async def _none_opened(_account_id: str) -> None:
    return None


@dataclass(kw_only=True)
class Site:
    """The parts behind the endpoints, put together by the server."""

    public_url: str  # absolute, without a slash at its end
    authenticator: Authenticator
    accounts_of: AccountsOf
    dispatcher: Dispatcher
    limits: Limits
    open_blob: OpenBlob
    metrics: Metrics
    proxies: Proxies = field(default_factory=Proxies)
    cors_origins: tuple[str, ...] = ("*",)
    extra_capabilities: Mapping[str, Mapping[str, Any]] | None = None  # of the Session, with their objects
    bus: Bus = field(default_factory=Bus)
    tickets: Tickets | None = None  # None: an event source takes the Authorization header only
    opened: Opened = _none_opened  # the accounts behind a ticket
    streams: Streams = field(default_factory=Streams)
    tunnels: Streams = field(default_factory=lambda: Streams(MAX_TUNNELS))  # what stays open to other nodes
    to_owner: Serve | None = None  # answers at the node that owns the account; None: there is one node
    is_leaving: bool = False  # the gateway stops: a connection ends with its answer
    requests: ConcurrencyLimit = field(init=False)
    uploads: ConcurrencyLimit = field(init=False)
    _urls: dict[str, Urls] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.requests = ConcurrencyLimit("maxConcurrentRequests", self.limits.max_concurrent_requests)
        self.uploads = ConcurrencyLimit("maxConcurrentUpload", self.limits.max_concurrent_upload)

    async def caller(self, request: web.Request) -> Caller:
        """Return the caller or raise an `AuthError`."""
        return await self.authenticator.authenticate(request.headers, self.peer(request))

    def peer(self, request: web.Request) -> str:
        """Return the address of the client, as far as it can be known."""
        hop = request.get(HOP)
        return hop.peer if hop is not None else self.proxies.peer(request)

    def base(self, request: web.Request) -> str:
        """Return the URL that the client knows the gateway by."""
        hop = request.get(HOP)
        return (hop.base if hop is not None else self.proxies.base(request)) or self.public_url

    async def account(self, request: web.Request, account_id: str) -> tuple[Caller, Account | None]:
        """Return the caller, and the account if it is one of the caller's."""
        caller = await self.caller(request)
        return caller, (await self.accounts_of(caller)).get(account_id)

    def session(
        self,
        request: web.Request,
        caller: Caller,
        accounts: Mapping[str, Account],
        *,
        ticket: str | None = None,
    ) -> dict[str, Any]:
        """Return the Session object as this client must see it."""
        base = self.base(request)
        extra = {**(self.extra_capabilities or {}), WEBSOCKET: {"url": websocket_url(base), "supportsPush": True}}
        return session_object(
            caller.login, accounts.values(), self.limits, self.urls(base), extra, event_source_ticket=ticket
        )

    def context(self, caller: Caller, accounts: Mapping[str, Account], request: Request) -> Context:
        """Return what the method calls of a request see."""
        return Context(
            login=caller.login, accounts=accounts, using=request.using, limits=self.limits, owner=caller.account_id
        )

    def urls(self, base: str) -> Urls:
        """Return the URLs of the endpoints below this base."""
        urls = self._urls.get(base)
        if urls is None:
            urls = Urls(
                api=f"{base}/jmap/api",
                download=f"{base}/jmap/download/{{accountId}}/{{blobId}}/{{name}}?type={{type}}",
                upload=f"{base}/jmap/upload/{{accountId}}/",
                event_source=f"{base}/jmap/eventsource?types={{types}}&closeafter={{closeafter}}&ping={{ping}}",
            )
            if len(self._urls) < MAX_BASES:
                self._urls[base] = urls
        return urls


def websocket_url(base: str) -> str:
    """Return the URL of the WebSocket below a base: wss: where that is https:."""
    return f"ws{base.removeprefix('http')}/jmap/ws"


SITE = web.AppKey("site", Site)
HOP = web.RequestKey("hop", Hop)  # in a request that another node has passed on
BEGUN = web.RequestKey("begun", web.StreamResponse)  # what another node answers
