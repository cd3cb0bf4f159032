"""A site whose parts are small and known: one login, one account, two methods, blobs in memory."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from gateway.account.account import Account
from gateway.auth import Authenticator, Caller, UpstreamLogin
from gateway.jmap.capability import CORE, MAIL, mail_account_capability
from gateway.jmap.dispatch import Dispatcher
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context, Registry
from gateway.metrics import Metrics
from gateway.store import SqliteStore, Uploads
from gateway.upstream.imap.errors import AuthenticationFailed, ConnectError
from gateway.upstream.sasl import Credentials, PasswordCredentials
from gateway.web import Proxies, Site, make_app

LOGIN, PASSWORD = "ann@example.com", "right"
BASIC = {"Authorization": "Basic " + base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()}
WRONG = {"Authorization": "Basic " + base64.b64encode(f"{LOGIN}:wrong".encode()).decode()}
PUBLIC_URL = "https://jmap.example.com"

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[..., Awaitable[Client]]


class FakeAccount:
    """What the web side asks of an account."""

    name = LOGIN
    is_personal, is_read_only = True, False
    capabilities: Mapping[str, Any] = {CORE: {}, MAIL: mail_account_capability(email_sort_options=["receivedAt"])}
    session_capabilities: Mapping[str, Any] = {}

    def __init__(self, id: str, uploads: Uploads) -> None:
        self.id, self.uploads = id, uploads


class FakeBlob(NamedTuple):
    chunks: AsyncIterator[bytes]
    size_octets: int | None


class Parts:
    """What a test may change before or between requests."""

    def __init__(self) -> None:
        self.is_reachable = True
        self.blobs: dict[str, list[bytes] | Exception] = {}
        self.sizes: dict[str, int] = {}
        self.site: Site
        self.uploads: Uploads
        self.account_id = ""
        self.closed: list[str] = []
        self.slow_until: Callable[[], Awaitable[None]] | None = None
        self.fault: Exception | None = None
        self.accounts: dict[str, Account] | None = None  # real ones, for what is pushed

    async def verify(self, _upstream: str, credentials: Credentials) -> None:
        if not self.is_reachable:
            raise ConnectError("refused")
        assert isinstance(credentials, PasswordCredentials)
        if credentials.password.reveal() != PASSWORD:
            raise AuthenticationFailed("no")

    async def accounts_of(self, caller: Caller) -> Mapping[str, Any]:
        self.account_id = caller.account_id
        if self.fault is not None:
            raise self.fault
        if self.accounts is not None:
            return self.accounts
        return {caller.account_id: FakeAccount(caller.account_id, self.uploads)}

    async def open_blob(self, _account: Any, blob_id: str) -> FakeBlob | None:
        if blob_id not in self.blobs:
            return None
        return FakeBlob(self._chunks(blob_id), self.sizes.get(blob_id))

    async def _chunks(self, blob_id: str) -> AsyncIterator[bytes]:
        try:
            content = self.blobs[blob_id]
            if isinstance(content, Exception):
                yield b"x" * 600_000
                raise content
            for chunk in content:
                yield chunk
        finally:
            self.closed.append(blob_id)

    async def echo(self, _context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        return arguments

    async def slow(self, _context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.slow_until is not None:
            await self.slow_until()
        return arguments


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    made = Parts()
    store = await SqliteStore.open(tmp_path)
    made.uploads = Uploads(store, tmp_path / "uploads")
    yield made
    await store.close()


@pytest.fixture
async def make_client(parts: Parts, aiohttp_client: Any) -> MakeClient:
    """Return a function that starts the application and returns its client."""

    async def make(**options: Any) -> Client:
        registry = Registry()
        registry.add("Core/echo", CORE, parts.echo)
        registry.add("Test/slow", MAIL, parts.slow)
        limits, seal = options.pop("limits", Limits()), options.pop("seal", None)
        metrics = Metrics()
        authenticator = Authenticator(
            [UpstreamLogin("main", domains=options.pop("domains", ["*"]))],
            parts.verify,
            account_key=b"k" * 32,
            refusal_step_s=0,
            on_login=metrics.login_done,
        )
        parts.site = Site(
            public_url=options.pop("public_url", PUBLIC_URL),
            authenticator=authenticator,
            accounts_of=parts.accounts_of,
            dispatcher=Dispatcher(registry, limits, on_call=metrics.method_done),
            limits=limits,
            open_blob=parts.open_blob,
            metrics=metrics,
            proxies=Proxies(options.pop("trusted", ())),
            **options,
        )
        client: Client = await aiohttp_client(make_app(parts.site, seal))
        return client

    return make


@pytest.fixture
async def client(make_client: MakeClient) -> Client:
    return await make_client()
