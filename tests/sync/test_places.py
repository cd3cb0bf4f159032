"""Reading a message through a connection that had its mailbox selected before the message came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.account.account import Account
from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context
from gateway.methods.blob_source import open_blob
from gateway.secret import Secret
from gateway.sync.imap_backend import ImapBackend
from gateway.upstream.imap import Endpoint, PasswordCredentials, Pool
from tests.fakes.uploads import NoUploads
from tests.methods.world import registry
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream


@pytest.fixture
async def account(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Account]:
    login = upstream.fresh_login()
    credentials = PasswordCredentials(login, Secret(upstream.password))

    async def current() -> PasswordCredentials:
        return credentials

    endpoint = Endpoint(upstream.host, upstream.ports["imap"], "none")
    opened = Account(
        id="A1",
        name=login,
        login=login,
        path=tmp_path / "index.db",
        make_backend=lambda account: ImapBackend(account, Pool(endpoint, current), max_staleness_s=60),
        uploads=NoUploads(),
        capabilities={CORE: {}, MAIL: {}},
    )
    await opened.open()
    yield opened
    await opened.aclose()


async def call(account: Account, name: str, **arguments: Any) -> Any:
    registered = registry().get(name)
    assert registered is not None
    context = Context("someone", {"A1": account}, frozenset({CORE, MAIL}), Limits())
    return await registered.method(context, {"accountId": "A1", **arguments})


async def test_what_we_stored_ourselves_is_read(account: Account) -> None:
    """A created Email shows at once, whichever connection is asked (Courier tells of it in the answer to NOOP only)."""
    (inbox,) = (await call(account, "Mailbox/query", filter={"role": "inbox"}))["ids"]
    ids: list[str] = []
    for at in range(6):
        email = {
            "mailboxIds": {inbox: True},
            "subject": str(at),
            "textBody": [{"partId": "1", "type": "text/plain"}],
            "bodyValues": {"1": {"value": f"Text {at}.\n"}},
        }
        created = (await call(account, "Email/set", create={"e": email}))["created"]
        ids.append(created["e"]["id"])
        response = await call(account, "Email/get", ids=ids, fetchAllBodyValues=True)
        assert (response["notFound"], len(response["list"])) == ([], at + 1)
        texts = {value["value"] for email in response["list"] for value in email["bodyValues"].values()}
        assert texts == {f"Text {number}.\n" for number in range(at + 1)}
        blob = await open_blob(account, f"p1_{ids[-1]}")
        assert blob is not None
        assert b"".join([chunk async for chunk in blob.chunks]) == f"Text {at}.\r\n".encode()
        if at == 0:  # each connection of the pool selects the mailbox; from now on all but one have an old view of it
            blobs = [open_blob(account, f"p1_{ids[0]}") for _ in range(4)]
            for opened in await asyncio.gather(*blobs):
                assert opened is not None
                await opened.chunks.aclose()
