"""Blob/lookup (RFC 9404 section 4.3)."""

from __future__ import annotations

from typing import Any

from gateway.jmap.capability import BLOB, CORE
from tests.methods.blobs import Blobs
from tests.methods.test_blob_source import LETTER, carrying

ALL = ["Mailbox", "Thread", "Email"]


async def matched(blobs: Blobs, *ids: str, names: list[str] = ALL) -> dict[str, Any]:
    response = await blobs.call("Blob/lookup", typeNames=names, ids=list(ids))
    assert response["accountId"] == "A1"
    return {found["id"]: found["matchedIds"] for found in response["list"]}


async def test_lookup(blobs: Blobs) -> None:
    """A message, its parts and the parts of what is attached to it are in the Email, its Thread and its Mailboxes."""
    await blobs.world.add_mailbox("archive")
    id = await blobs.world.deliver(carrying(LETTER), "inbox", "archive")
    (email,) = (await blobs.world.call("Email/get", ids=[id], properties=["threadId"]))["list"]
    ids = [f"m_{id}", f"p1_{id}", f"p2_{id}", f"p2_p2_{id}"]
    found = await matched(blobs, *ids)
    for one in found.values():
        assert one["Email"] == [id]
        assert one["Thread"] == [email["threadId"]]
        assert sorted(one["Mailbox"]) == ["archive", "inbox"]
    assert list(found) == ids
    assert await matched(blobs, f"m_{id}", names=["Thread"]) == {f"m_{id}": {"Thread": [email["threadId"]]}}


async def test_many_at_once(blobs: Blobs) -> None:
    """Structures are loaded together."""
    ids = [await blobs.world.deliver(LETTER) for _ in range(20)]
    blobs.world.calls.clear()
    found = await matched(blobs, *[f"p2_{id}" for id in ids])
    assert [one["Email"] for one in found.values()] == [[id] for id in ids]
    assert blobs.world.calls == {"load_details": 1}


async def test_nothing_found(blobs: Blobs) -> None:
    """Every blob asked for is in the list, whether it does not exist or is in nothing: they look alike."""
    id = await blobs.world.deliver(LETTER)
    mine, theirs = await blobs.put(b"mine"), await blobs.put(b"theirs", "A2")
    ids = [mine, theirs, f"p9_{id}", "m_nothing", f"p9_{mine}", "not-a-blob"]
    response = await blobs.call("Blob/lookup", typeNames=ALL, ids=ids)
    assert response["list"] == [{"id": id, "matchedIds": {"Mailbox": [], "Thread": [], "Email": []}} for id in ids]
    assert response["notFound"] == ["not-a-blob"]


async def test_unknown_types(blobs: Blobs) -> None:
    """A type that is unknown, holds no blobs, or whose capability the request does not use is refused."""
    for names in (["Email", "Calendar"], ["SearchSnippet"], ["email"], ["EmailDelivery"]):
        response = await blobs.call("Blob/lookup", typeNames=names, ids=[])
        assert response["error"] == "unknownDataType"
    arguments = {"typeNames": ["Email"], "ids": []}
    (response,) = await blobs.request(("Blob/lookup", arguments), using=frozenset({CORE, BLOB}))
    assert response["error"] == "unknownDataType"
    assert await matched(blobs, names=[]) == {}
    assert (await blobs.call("Blob/lookup", typeNames=["Email"], ids=["x"] * 501))["error"] == "requestTooLarge"
