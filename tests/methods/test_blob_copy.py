"""Blob/copy (RFC 8620 section 6.3)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.methods import blob_range
from tests.methods.blobs import Blobs
from tests.methods.test_blob_source import LETTER


async def copy(blobs: Blobs, *ids: str, source: str = "A1", target: str = "A2") -> Any:
    return await blobs.call("Blob/copy", fromAccountId=source, accountId=target, blobIds=list(ids))


async def test_copy(blobs: Blobs) -> None:
    """An upload, a message and a part become uploads of the other account, octet for octet."""
    email, upload = await blobs.world.deliver(LETTER), await blobs.put(b"uploaded")
    response = await copy(blobs, upload, f"m_{email}", f"p2_{email}", upload)
    assert response.keys() == {"fromAccountId", "accountId", "copied", "notCopied"}
    assert (response["fromAccountId"], response["accountId"], response["notCopied"]) == ("A1", "A2", None)
    assert response["copied"].keys() == {upload, f"m_{email}", f"p2_{email}"}
    assert response["copied"][upload] == upload
    for id, octets in ((f"m_{email}", blobs.world.messages[email]), (f"p2_{email}", b"\0\1\2\3\4")):
        found = await blobs.uploads.open("A2", response["copied"][id].removeprefix("u_"))
        assert found is not None
        assert b"".join([chunk async for chunk in found.chunks()]) == octets
    assert blobs.world.streaming == 0


async def test_not_copied(blobs: Blobs) -> None:
    """What is not there is not found; the others are copied."""
    theirs, mine = await blobs.put(b"theirs", "A2"), await blobs.put(b"mine")
    response = await copy(blobs, theirs, "m_nothing", mine, "nonsense")
    assert response["copied"] == {mine: mine}
    assert response["notCopied"] == {id: {"type": "notFound"} for id in (theirs, "m_nothing", "nonsense")}
    assert (await copy(blobs, "nonsense"))["copied"] is None


async def test_by_creation_id(blobs: Blobs) -> None:
    made, copied = await blobs.request(
        ("Blob/upload", {"create": {"b": {"data": [{"data:asText": "abc"}]}}}),
        ("Blob/copy", {"fromAccountId": "A1", "accountId": "A2", "blobIds": ["#b"]}),
    )
    id = made["created"]["b"]["id"]
    assert copied["copied"] == {id: id}


async def test_accounts(blobs: Blobs) -> None:
    """Both accounts must be the caller's, and two."""
    assert (await copy(blobs, source="A3"))["error"] == "fromAccountNotFound"
    assert (await copy(blobs, target="A3"))["error"] == "accountNotFound"
    assert (await copy(blobs, target="A1"))["error"] == "invalidArguments"
    assert (await copy(blobs, *["x"] * 51))["error"] == "requestTooLarge"


async def test_bounded(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one call moves is bounded; what did not fit is told."""
    ids = [await blobs.put(bytes([at]) * 30) for at in range(2)]
    monkeypatch.setattr(blob_range.Allowance, "__init__", lambda self: setattr(self, "_octets_left", 50))
    response = await copy(blobs, *ids)
    assert response["copied"] == {ids[0]: ids[0]}
    assert response["notCopied"][ids[1]]["type"] == "rateLimit"


async def test_a_full_disk(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    id = await blobs.put(b"x")

    async def full(*_arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blobs.uploads, "put", full)
    assert (await copy(blobs, id))["notCopied"][id]["type"] == "serverFail"
