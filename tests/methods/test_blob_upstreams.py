"""Blobs of mail that lies on real servers: sizes, ranges, copies and lookups agree with the octets."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode, encodebytes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.account.account import Account
from gateway.jmap.capability import BLOB, CORE, MAIL, blob_account_capability
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context
from gateway.secret import Secret
from gateway.store import SqliteStore, Uploads
from gateway.sync.imap_backend import ImapBackend
from gateway.upstream.imap import Endpoint, PasswordCredentials, Pool
from tests.methods.world import registry
from tests.upstreams.upstream import Upstream

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(300)]

PHOTO = bytes(range(256)) * 400
MESSAGE = (
    (
        "From: Ann <ann@example.com>\nSubject: photo\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
        "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        "Gr=C3=BC=C3=9Fe\n--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n"
        + encodebytes(PHOTO).decode()
        + "--b--\n"
    )
    .replace("\n", "\r\n")
    .encode()
)
DIGEST = b64encode(hashlib.sha256(PHOTO).digest()).decode()


@pytest.fixture
async def account(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Account]:
    login = upstream.fresh_login()
    credentials = PasswordCredentials(login, Secret(upstream.password))

    async def current() -> PasswordCredentials:
        return credentials

    endpoint = Endpoint(upstream.host, upstream.ports["imap"], "none")
    store = await SqliteStore.open(tmp_path)
    account = Account(
        id="A1",
        name=login,
        login=login,
        path=tmp_path / "index.db",
        make_backend=lambda account: ImapBackend(account, Pool(endpoint, current, size=4), max_staleness_s=0),
        uploads=Uploads(store, tmp_path / "uploads"),
        capabilities={CORE: {}, MAIL: {}, BLOB: blob_account_capability(Limits())},
    )
    await account.open()
    yield account
    await account.aclose()
    await store.close()


async def call(account: Account, name: str, **arguments: Any) -> Any:
    registered = registry().get(name)
    assert registered is not None
    context = Context("someone", {"A1": account}, frozenset({CORE, MAIL, BLOB}), Limits())
    return await registered.method(context, {"accountId": "A1", **arguments})


async def test_blobs_of_a_message(upstream: Upstream, account: Account) -> None:
    """Sizes come without octets and are right; ranges, digests and concatenations are of the decoded parts."""
    upstream.append(account.login, MESSAGE)
    (id,) = (await call(account, "Email/query"))["ids"]
    whole, text, photo = f"m_{id}", f"p1_{id}", f"p2_{id}"
    sizes = (await call(account, "Blob/get", ids=[whole, text, photo], properties=["size"]))["list"]
    assert [blob["size"] for blob in sizes] == [len(MESSAGE), len("Grüße".encode()), len(PHOTO)]

    wanted = ["data:asBase64", "digest:sha-256", "size"]
    (blob,) = (await call(account, "Blob/get", ids=[photo], properties=wanted))["list"]
    assert (b64decode(blob["data:asBase64"]), blob["digest:sha-256"], blob["size"]) == (PHOTO, DIGEST, len(PHOTO))
    (blob,) = (await call(account, "Blob/get", ids=[photo], properties=["data"], offset=70_000, length=40_000))["list"]
    assert b64decode(blob["data:asBase64"]) == PHOTO[70_000:]
    assert blob["isTruncated"]
    (blob,) = (await call(account, "Blob/get", ids=[text]))["list"]
    assert blob == {"id": text, "data:asText": "Grüße", "size": 7}

    sources = [{"blobId": photo, "offset": 5, "length": 10}, {"data:asText": "x"}, {"blobId": text}]
    made = (await call(account, "Blob/upload", create={"b": {"data": sources}}))["created"]["b"]
    (blob,) = (await call(account, "Blob/get", ids=[made["id"]], properties=["data:asBase64"]))["list"]
    assert b64decode(blob["data:asBase64"]) == PHOTO[5:15] + b"x" + "Grüße".encode()

    found = await call(account, "Blob/lookup", typeNames=["Email"], ids=[photo, f"p7_{id}", made["id"]])
    assert [one["matchedIds"]["Email"] for one in found["list"]] == [[id], [], []]
