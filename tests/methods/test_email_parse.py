"""Email/parse (RFC 8621 section 4.9)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap.errors import MethodError
from gateway.jmap.objects.email import EMAIL
from gateway.methods import blob_source
from tests.methods.test_blob_source import LETTER, carrying
from tests.methods.test_email_get import MIXED, PLAIN
from tests.methods.world import World


def upload(world: World, text: str) -> str:
    return world.uploads.add(text.replace("\n", "\r\n").encode())


async def parsed(world: World, blob_id: str, **arguments: Any) -> dict[str, Any]:
    response = await world.call("Email/parse", blobIds=[blob_id], **arguments)
    assert response["notFound"] is None
    assert response["notParsable"] is None
    email = response["parsed"][blob_id]
    assert isinstance(email, dict)
    return email


async def test_store_properties_are_null(world: World) -> None:
    """What only the mail store knows is null; blobId and size are the blob's."""
    blob_id = upload(world, PLAIN)
    names = ["id", "blobId", "threadId", "mailboxIds", "keywords", "receivedAt", "size", "subject"]
    assert await parsed(world, blob_id, properties=names) == {
        "id": None,
        "blobId": blob_id,
        "threadId": None,
        "mailboxIds": None,
        "keywords": None,
        "receivedAt": None,
        "size": len(PLAIN) + PLAIN.count("\n"),
        "subject": "Grüße",
    }


async def test_default_properties(world: World) -> None:
    """Without `properties` the list of section 4.9 is returned, which has no id."""
    stored = {"id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt"}
    assert set(await parsed(world, upload(world, PLAIN))) == set(EMAIL.default_properties()) - stored


@pytest.mark.parametrize("text", [PLAIN, MIXED, LETTER])
async def test_same_as_get(world: World, text: str) -> None:
    """A parsed message shows what the same message shows in a mailbox."""
    id = await world.deliver(text)
    arguments: dict[str, Any] = {
        "properties": [
            "from",
            "subject",
            "header:X-Many:all",
            "headers",
            "bodyStructure",
            "bodyValues",
            "hasAttachment",
        ],
        "bodyProperties": ["partId", "size", "type", "charset", "headers", "header:Content-Type"],
        "fetchAllBodyValues": True,
        "maxBodyValueBytes": 5,
    }
    got = (await world.call("Email/get", ids=[id], **arguments))["list"][0]
    assert await parsed(world, f"m_{id}", **arguments) == {name: value for name, value in got.items() if name != "id"}


async def test_blob_ids_open(world: World) -> None:
    """Every blobId of a parsed message can be downloaded, and parsed where it is a message."""
    id = await world.deliver(carrying(carrying(LETTER)))
    blob_id = f"m_{id}"
    for _ in range(2):
        email = await parsed(world, blob_id, properties=["attachments"])
        (attachment,) = email["attachments"]
        assert attachment["type"] == "message/rfc822"
        blob_id = attachment["blobId"]
    email = await parsed(world, blob_id, properties=["subject", "attachments", "textBody"])
    assert email["subject"] == "inside"
    octets = await blob_source.read_blob(world.account, email["attachments"][0]["blobId"], max_octets=100)
    assert octets == b"\0\1\2\3\4"


async def test_of_the_message_itself(world: World) -> None:
    """The parts of a message that is parsed by its own blobId have the blobIds that Email/get shows."""
    id = await world.deliver(MIXED)
    assert (await parsed(world, f"m_{id}", properties=["attachments"]))["attachments"][0]["blobId"] == f"p2_{id}"


async def test_preview(world: World) -> None:
    """The preview is of the text that is shown first."""
    assert (await parsed(world, upload(world, MIXED), properties=["preview"]))["preview"] == "Grüße"


async def test_eai(world: World) -> None:
    """Headers in UTF-8 are read (RFC 6532)."""
    email = await parsed(world, upload(world, "From: Jörg <jörg@exämple.org>\nSubject: Grüße\n\nx\n"))
    assert email["from"] == [{"name": "Jörg", "email": "jörg@exämple.org"}]
    assert email["subject"] == "Grüße"


async def test_not_found_and_not_parsable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob that is not there is notFound; one that is no message, or too large, is notParsable; null where empty."""
    monkeypatch.setattr(blob_source, "MAX_PARSED_OCTETS", 1000)
    text = upload(world, "this is not an email at all, just random text")
    empty, large, good = (
        upload(world, ""),
        upload(world, "Subject: x\n\n" + "x" * 2000),
        upload(world, "Subject: x\n\n"),
    )
    response = await world.call("Email/parse", blobIds=[text, empty, large, good, "nothing", "nothing"], properties=[])
    assert response == {
        "accountId": "A1",
        "parsed": {good: {}},
        "notParsable": [text, empty, large],
        "notFound": ["nothing"],
    }
    response = await world.call("Email/parse", blobIds=[])
    assert response == {"accountId": "A1", "parsed": None, "notParsable": None, "notFound": None}


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({}, "invalidArguments"),
        ({"blobIds": None}, "invalidArguments"),
        ({"blobIds": [], "properties": ["header:From:asDate"]}, "invalidArguments"),
        ({"blobIds": [], "bodyProperties": ["colour"]}, "invalidArguments"),
        ({"blobIds": [f"u_{n}" for n in range(501)]}, "requestTooLarge"),
    ],
)
async def test_refused(world: World, arguments: dict[str, Any], kind: str) -> None:
    """Arguments are checked before any blob is read."""
    with pytest.raises(MethodError) as raised:
        await world.call("Email/parse", **arguments)
    assert raised.value.kind == kind
