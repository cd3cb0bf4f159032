"""An account over a real server, opened as the gateway opens it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gateway.account.account import Account
from gateway.secret import Secret
from gateway.sync.imap_backend import ImapBackend
from gateway.upstream.imap import Endpoint, Observer, PasswordCredentials, Pool
from tests.fakes.uploads import NoUploads
from tests.upstreams.upstream import Upstream

OpenAccount = Callable[..., Awaitable[Account]]


@pytest.fixture
async def open_account(tmp_path: Path) -> AsyncIterator[OpenAccount]:
    """Open accounts that are closed after the test: `await open_account(upstream, login, index="name")`."""
    opened: list[Account] = []

    async def open_one(
        upstream: Upstream,
        login: str,
        *,
        index: str = "index",
        max_staleness_s: float = 0,
        port: int | None = None,
        observer: Observer | None = None,
    ) -> Account:
        endpoint = Endpoint(upstream.host, port or upstream.ports["imap"], "none")
        credentials = PasswordCredentials(login, Secret(upstream.password))

        async def current() -> PasswordCredentials:
            return credentials

        account = Account(
            id="A1",
            name=login,
            login=login,
            path=tmp_path / f"{index}.db",
            make_backend=lambda account: ImapBackend(
                account, Pool(endpoint, current, size=4, observer=observer), max_staleness_s=max_staleness_s
            ),
            uploads=NoUploads(),
        )
        await account.open()
        opened.append(account)
        return account

    yield open_one
    for account in opened:
        await account.aclose()
