"""What is shown of a message that lies on a real server is what our own parser shows of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.account.account import Account
from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context
from gateway.methods import blob_source
from gateway.secret import Secret
from gateway.sync.imap_backend import ImapBackend
from gateway.upstream.imap import Endpoint, PasswordCredentials, Pool
from tests.methods.test_blob_source import LETTER, carrying
from tests.methods.test_email_get import MIXED, PLAIN
from tests.methods.world import Uploads, registry
from tests.upstreams.seed.mailbox import Mailboxes
from tests.upstreams.upstream import Upstream

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(300)]
# Without what some servers do not tell of a part: Cyrus writes languages in upper case, Courier leaves them out,
# Content-Location too, and of a part's header it has only what MIME defines.
_TOLD = "\n".join(line for line in MIXED.split("\n") if not line.startswith(("X-Part", "Content-L")))
WELL_FORMED = [PLAIN, _TOLD, LETTER, carrying(LETTER), carrying(carrying(LETTER))]


@pytest.fixture
async def account(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Account]:
    login = upstream.fresh_login()
    credentials = PasswordCredentials(login, Secret(upstream.password))

    async def current() -> PasswordCredentials:
        return credentials

    endpoint = Endpoint(upstream.host, upstream.ports["imap"], "none")
    account = Account(
        id="A1",
        name=login,
        login=login,
        path=tmp_path / "index.db",
        make_backend=lambda account: ImapBackend(account, Pool(endpoint, current, size=4), max_staleness_s=0),
        uploads=Uploads(),
        capabilities={CORE: {}, MAIL: {}},
    )
    await account.open()
    yield account
    await account.aclose()


async def call(account: Account, name: str, **arguments: Any) -> Any:
    registered = registry().get(name)
    assert registered is not None
    context = Context("someone", {"A1": account}, frozenset({CORE, MAIL}), Limits())
    return await registered.method(context, {"accountId": "A1", **arguments})


SHOWN: dict[str, Any] = {
    "properties": [
        "size",
        "from",
        "subject",
        "sentAt",
        "headers",
        "header:X-Many:all",
        "bodyStructure",
        "textBody",
        "htmlBody",
        "attachments",
        "bodyValues",
        "hasAttachment",
    ],
    "bodyProperties": [
        "partId",
        "blobId",
        "size",
        "type",
        "name",
        "charset",
        "disposition",
        "cid",
        "language",
        "location",
        "headers",
        "header:Content-Type",
    ],
    "fetchAllBodyValues": True,
}


async def test_same_as_parsed(upstream: Upstream, account: Account) -> None:
    """Email/get and Email/parse of one message agree in everything, and its blobs open."""
    upstream.append(account.login, *[text.replace("\n", "\r\n").encode() for text in WELL_FORMED])
    ids = (await call(account, "Email/query"))["ids"]
    assert len(ids) == len(WELL_FORMED)
    emails = {email["id"]: email for email in (await call(account, "Email/get", ids=ids, **SHOWN))["list"]}
    parsed = (await call(account, "Email/parse", blobIds=[f"m_{id}" for id in ids], **SHOWN))["parsed"]
    for id in ids:
        got = emails[id]
        assert got.pop("id") == id
        assert got == parsed[f"m_{id}"]
        for part in got["attachments"]:
            octets = await blob_source.read_blob(account, part["blobId"], max_octets=10_000)
            assert len(octets) == part["size"]


async def test_cut_values(upstream: Upstream, account: Account) -> None:
    """A cut body value is asked for in part and is the beginning of the whole."""
    text = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + "Grüße aus Köln\r\n" * 5000
    upstream.append(account.login, text.encode())
    (id,) = (await call(account, "Email/query"))["ids"]
    for limit in (1, 10, 1000, 100_000):
        response = await call(
            account,
            "Email/get",
            ids=[id],
            properties=["bodyValues"],
            fetchTextBodyValues=True,
            maxBodyValueBytes=limit,
        )
        value = response["list"][0]["bodyValues"]["1"]
        whole = "Grüße aus Köln\n" * 5000
        assert whole.startswith(value["value"])
        assert limit - 1 <= len(value["value"].encode()) <= limit or not value["isTruncated"]
        assert value["isTruncated"] == (len(value["value"]) < len(whole))
        assert value["isEncodingProblem"] is False


async def test_nothing_fails_a_call(upstream: Upstream, account: Account) -> None:
    """Every message that a server takes is shown by one Email/get of all, whatever is wrong with it."""
    for message in Mailboxes(count=60, only_inbox=True, malformed=0.8, attachment_scale=0.01).messages():
        with contextlib.suppress(AssertionError):  # a server may refuse one
            upstream.append(account.login, message.octets)
    ids = (await call(account, "Email/query"))["ids"]
    assert len(ids) > 30
    response = await call(account, "Email/get", ids=ids, **SHOWN)
    assert response["notFound"] == []
    assert {email["id"] for email in response["list"]} == set(ids)
    orjson.dumps(response)
    response = await call(account, "Email/parse", blobIds=[f"m_{id}" for id in ids])
    assert response["notFound"] is None
    snippets = await call(account, "SearchSnippet/get", emailIds=ids, filter={"text": "the and"})
    assert len(snippets["list"]) == len(ids)
