"""POST to the uploadUrl (RFC 8620 section 6.1)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from gateway.jmap.limits import Limits
from tests.web.conftest import BASIC, Client, MakeClient, Parts


async def account_id(client: Client) -> str:
    session = await (await client.get("/.well-known/jmap", headers=BASIC)).json()
    return str(next(iter(session["accounts"])))


@pytest.mark.parametrize("slash", ["/", ""])
async def test_upload(client: Client, parts: Parts, slash: str) -> None:
    """The answer has the four properties; the octets are there."""
    account = await account_id(client)
    headers = {**BASIC, "Content-Type": "image/png; x=y"}
    async with client.post(f"/jmap/upload/{account}{slash}", data=b"octets", headers=headers) as answer:
        assert answer.status == 201
        digest = hashlib.sha256(b"octets").hexdigest()
        assert await answer.json() == {
            "accountId": account,
            "blobId": f"u_{digest}",
            "type": "image/png; x=y",
            "size": 6,
        }
    assert await parts.uploads.open(account, digest) is not None


async def test_no_type(client: Client) -> None:
    url = f"/jmap/upload/{await account_id(client)}/"
    async with client.post(url, data=b"x", headers=BASIC, skip_auto_headers=["Content-Type"]) as answer:
        assert (await answer.json())["type"] == "application/octet-stream"


async def test_too_large(make_client: MakeClient, parts: Parts) -> None:
    """Announced or found out while streaming: refused, and nothing is kept."""
    client = await make_client(limits=Limits(max_size_upload=1000))
    url = f"/jmap/upload/{await account_id(client)}/"
    assert (await client.post(url, data=b"x" * 1000, headers=BASIC)).status == 201

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    for data in (b"x" * 1001, stream()):
        async with client.post(url, data=data, headers=BASIC) as answer:
            assert answer.status == 413
            assert (await answer.json())["limit"] == "maxSizeUpload"
    assert list(parts.uploads._incoming.iterdir()) == []


async def test_somebody_elses_account(client: Client) -> None:
    assert (await client.post("/jmap/upload/other/", data=b"x", headers=BASIC)).status == 404
    assert (await client.post("/jmap/upload/other/", data=b"x")).status == 401


async def test_concurrent_uploads(make_client: MakeClient) -> None:
    client = await make_client(limits=Limits(max_concurrent_upload=1))
    url = f"/jmap/upload/{await account_id(client)}/"
    free = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        yield b"x"
        await free.wait()

    first = asyncio.create_task(client.post(url, data=stream(), headers=BASIC))
    await asyncio.sleep(0.1)
    async with client.post(url, data=b"y", headers=BASIC) as answer:
        assert answer.status == 400
        assert (await answer.json())["limit"] == "maxConcurrentUpload"
    free.set()
    assert (await first).status == 201
