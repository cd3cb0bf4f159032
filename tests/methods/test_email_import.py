"""Email/import (RFC 8621 section 4.8)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.objects.mailbox import RIGHTS
from tests.methods.world import World

MESSAGE = (
    b"Received: from a by b; Thu, 1 Jan 2026 12:00:00 +0100\r\n"
    b"Received: from c by a; Wed, 31 Dec 2025 12:00:00 +0000\r\n"
    b"From: a@example.org\r\nSubject: hello\r\n\r\nbody\r\n"
)


async def import_(world: World, octets: bytes = MESSAGE, **properties: Any) -> dict[str, Any]:
    """Import one upload; return `created` or the SetError of it."""
    given = {"blobId": world.uploads.add(octets), "mailboxIds": {"inbox": True}, **properties}
    answer = await world.call("Email/import", emails={"k": given})
    assert answer["newState"] == (await world.call("Email/get", ids=[]))["state"]
    assert (answer["created"] is None) != (answer["notCreated"] is None)
    assert (answer["oldState"] == answer["newState"]) == (answer["created"] is None)
    return (answer["created"] or answer["notCreated"])["k"]


async def test_imported(world: World) -> None:
    """The octets are stored as they are; keywords, Mailboxes and receivedAt are those given; the state is bumped."""
    await world.add_mailbox("work")
    made = await import_(
        world, keywords={"$Seen": True, "x": True}, mailboxIds={"work": True}, receivedAt="2020-01-01T00:00:00Z"
    )
    assert set(made) == {"id", "blobId", "threadId", "size"}
    assert world.messages[made["id"]] == MESSAGE
    properties = ["blobId", "threadId", "size", "keywords", "mailboxIds", "receivedAt", "subject"]
    (shown,) = (await world.call("Email/get", ids=[made["id"]], properties=properties))["list"]
    assert {name: shown[name] for name in made} == made
    assert (shown["keywords"], shown["mailboxIds"]) == ({"$seen": True, "x": True}, {"work": True})
    assert (shown["receivedAt"], shown["subject"]) == ("2020-01-01T00:00:00Z", "hello")


@pytest.mark.parametrize("given", [{}, {"receivedAt": None}])
async def test_received_at(world: World, given: dict[str, Any]) -> None:
    """receivedAt is that of the most recent Received field; without one the time of import."""
    await import_(world, **given)
    await import_(world, MESSAGE.partition(b"+0000\r\n")[2], **given)
    assert [email.received_at_s for email in world.appended] == [1767265200, None]


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"blobId": "u_" + "0" * 64}, {"blobId"}),
        ({"blobId": "nonexistent-blob-xyz"}, {"blobId"}),
        ({"blobId": "#nothing"}, {"blobId"}),
        ({"blobId": 5, "mailboxIds": {"nowhere": True}}, {"blobId", "mailboxIds"}),
        ({"mailboxIds": {}}, {"mailboxIds"}),
        ({"mailboxIds": {"inbox": False}, "keywords": {"a b": True}}, {"mailboxIds", "keywords"}),
        ({"keywords": ["x"]}, {"keywords"}),
        ({"receivedAt": "2020-01-01T00:00:00+01:00"}, {"receivedAt"}),
        ({"subject": "x"}, {"subject"}),
    ],
)
async def test_invalid(world: World, properties: dict[str, Any], named: set[str]) -> None:
    """What is missing, ill-typed or not there is invalidProperties."""
    error = await import_(world, **properties)
    assert error["type"] == "invalidProperties"
    assert set(error["properties"]) == named
    assert world.appended == []


async def test_missing(world: World) -> None:
    """blobId and mailboxIds must be given."""
    answer = await world.call("Email/import", emails={"k": {}})
    assert set(answer["notCreated"]["k"]["properties"]) == {"blobId", "mailboxIds"}
    with pytest.raises(MethodError):
        await world.call("Email/import")


@pytest.mark.parametrize("octets", [b"", b"this is not an email", b"\x89PNG\r\n\x1a\n" + bytes(100), b"a: b\n\nc"])
async def test_not_a_message(world: World, octets: bytes) -> None:
    """What is no message is invalidEmail."""
    assert (await import_(world, octets))["type"] == "invalidEmail"
    assert world.appended == []


async def test_repaired(world: World) -> None:
    """Bare line ends and NULs are repaired; then the size is that of what is stored."""
    made = await import_(world, b"Subject: x\n\na\0b\rc\n")
    assert world.messages[made["id"]] == b"Subject: x\r\n\r\nab\r\nc\r\n"
    assert made["size"] == len(world.messages[made["id"]])


async def test_other_blobs(world: World) -> None:
    """A message in a mailbox and one attached to another can be imported; a creation id may name the blob."""
    inner = "Subject: inner\n\ninside\n"
    outer = f"Subject: outer\nContent-Type: message/rfc822\n\n{inner}"
    id = await world.deliver(outer)
    made = await import_(world, blobId=f"m_{id}")
    assert world.messages[made["id"]] == world.messages[id]
    made = await import_(world, blobId=f"p1_{id}")
    assert world.messages[made["id"]] == inner.replace("\n", "\r\n").encode()
    context = world.context()
    context.created_ids["up"] = world.uploads.add(MESSAGE)
    emails = {"k": {"blobId": "#up", "mailboxIds": {"inbox": True}}}
    answer = await world.call_in(context, "Email/import", emails=emails)
    assert context.created_ids["k"] == answer["created"]["k"]["id"]


async def test_utf8_header(world: World) -> None:
    """Headers in UTF-8 are supported (RFC 6532)."""
    made = await import_(world, "From: ü@exämple.org\r\nSubject: Grüße\r\n\r\n".encode())
    (shown,) = (await world.call("Email/get", ids=[made["id"]], properties=["from", "subject"]))["list"]
    assert (shown["from"][0]["email"], shown["subject"]) == ("ü@exämple.org", "Grüße")
    assert world.appended[0].has_utf8_headers


async def test_already_there(world: World) -> None:
    """alreadyExists names the Email that exists; quota and rights have their errors too."""
    world.refusals[None] = SetError("alreadyExists", existingId="M1")
    assert await import_(world) == {"type": "alreadyExists", "existingId": "M1"}
    world.refusals[None] = SetError("overQuota")
    assert (await import_(world))["type"] == "overQuota"
    await world.alter_mailbox("inbox", rights=frozenset(RIGHTS) - {"mayAddItems"})
    assert (await import_(world))["type"] == "forbidden"


async def test_trouble_half_way(world: World) -> None:
    """An upstream that goes away in the middle is an error of what is left, and what is done is told."""
    given = {"blobId": world.uploads.add(MESSAGE), "mailboxIds": {"inbox": True}}
    world.refusals[None] = SetError("overQuota")
    answer = await world.call("Email/import", emails={"a": given, "b": given})
    assert (set(answer["created"]), set(answer["notCreated"])) == ({"b"}, {"a"})


async def test_states(world: World) -> None:
    """ifInState must be the state of Email."""
    state = (await world.call("Email/get", ids=[]))["state"]
    given = {"blobId": world.uploads.add(MESSAGE), "mailboxIds": {"inbox": True}}
    answer = await world.call("Email/import", ifInState=state, emails={"k": given})
    assert answer["oldState"] == state
    with pytest.raises(MethodError) as raised:
        await world.call("Email/import", ifInState=state, emails={"k": given})
    assert raised.value.kind == "stateMismatch"
    with pytest.raises(MethodError) as raised:
        await world.call("Email/import", emails={f"k{n}": given for n in range(1001)})
    assert raised.value.kind == "requestTooLarge"
