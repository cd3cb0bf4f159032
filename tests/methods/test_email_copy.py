"""Email/copy (RFC 8621 section 4.7); `test_standard_set` has what every /copy does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.account.account import Account
from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.errors import SetError
from gateway.jmap.method import Responses
from tests.methods.world import World

TEXT = "From: a@example.org\nSubject: hello\n\nbody\n"


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[World]:
    other = World()
    other.account = Account(
        id="A2",
        name="Other",
        login="other",
        path=tmp_path / "other.db",
        make_backend=lambda _account: other,
        uploads=other.uploads,
        capabilities={CORE: {}, MAIL: {}},
    )
    await other.account.open()
    await other.add_mailbox("target")
    yield other
    await other.account.aclose()


async def copy(world: World, other: World, create: dict[str, Any], **arguments: Any) -> Any:
    context = world.context()
    context.accounts = {"A1": world.account, "A2": other.account}
    arguments = {"fromAccountId": "A1", "accountId": "A2", "create": create, **arguments}
    return await world.call_in(context, "Email/copy", **arguments)


async def test_copied(world: World, other: World) -> None:
    """The message is the same; keywords and receivedAt are the original's."""
    id = await world.deliver(TEXT, flags=["\\Seen", "x"], at_s=1_500_000_000)
    answer = await copy(world, other, {"k": {"id": id, "mailboxIds": {"target": True}}})
    assert answer["notCreated"] is None
    made = answer["created"]["k"]
    assert set(made) == {"id", "blobId", "threadId", "size"}
    assert other.messages[made["id"]] == world.messages[id]
    (shown,) = (await other.call_in(other_context(other), "Email/get", accountId="A2", ids=[made["id"]]))["list"]
    assert (shown["keywords"], shown["receivedAt"]) == ({"$seen": True, "x": True}, "2017-07-14T02:40:00Z")
    assert shown["mailboxIds"] == {"target": True}
    assert answer["oldState"] != answer["newState"]


def other_context(other: World) -> Any:
    context = other.context()
    context.accounts = {"A2": other.account}
    return context


async def test_given_properties(world: World, other: World) -> None:
    """keywords and receivedAt given are used in place of the original's."""
    id = await world.deliver(TEXT, flags=["\\Seen"])
    given = {
        "id": id,
        "mailboxIds": {"target": True},
        "keywords": {"$Draft": True},
        "receivedAt": "2020-01-01T00:00:00Z",
    }
    assert (await copy(world, other, {"k": given}))["created"]
    (email,) = other.appended
    assert (email.keywords, email.received_at_s) == ({"$draft"}, 1577836800)


@pytest.mark.parametrize(
    ("given", "kind", "named"),
    [
        ({"id": "nope", "mailboxIds": {"target": True}}, "notFound", None),
        ({"id": "M1"}, "invalidProperties", {"mailboxIds"}),
        ({"id": "M1", "mailboxIds": {"inbox": True}}, "invalidProperties", {"mailboxIds"}),
        ({"id": "M1", "mailboxIds": {}}, "invalidProperties", {"mailboxIds"}),
        ({"mailboxIds": {"target": True}}, "invalidProperties", {"id"}),
        (
            {"id": "M1", "mailboxIds": {"target": True}, "subject": "x", "to": []},
            "invalidProperties",
            {"subject", "to"},
        ),
        ({"id": "M1", "mailboxIds": {"target": True}, "keywords": {"a b": True}}, "invalidProperties", {"keywords"}),
    ],
)
async def test_invalid(world: World, other: World, given: dict[str, Any], kind: str, named: set[str] | None) -> None:
    """Only mailboxIds, keywords and receivedAt may be given, and mailboxIds must be, of the other account."""
    await world.deliver(TEXT, id="M1")
    error = (await copy(world, other, {"k": given}))["notCreated"]["k"]
    assert error["type"] == kind
    assert set(error.get("properties") or ()) == (named or set())
    assert other.appended == []


async def test_moved(world: World, other: World) -> None:
    """onSuccessDestroyOriginal destroys what was copied, in a response of its own."""
    first, second = await world.deliver(TEXT), await world.deliver(TEXT)
    other.refusals[None] = SetError("alreadyExists", existingId="M9")
    place = {"mailboxIds": {"target": True}}
    answer = await copy(
        world, other, {"a": {"id": first, **place}, "b": {"id": second, **place}}, onSuccessDestroyOriginal=True
    )
    assert isinstance(answer, Responses)
    (name, copied), (implicit_name, implicit) = answer.items
    assert (name, implicit_name) == ("Email/copy", "Email/set")
    assert copied["notCreated"] == {"a": {"type": "alreadyExists", "existingId": "M9"}}
    assert set(copied["created"]) == {"b"}
    assert (implicit["accountId"], implicit["destroyed"]) == ("A1", [second])


async def test_original_gone(world: World, other: World) -> None:
    """An original that vanished meanwhile is notFound."""
    id = await world.deliver(TEXT)
    world.gone.add(id)
    answer = await copy(world, other, {"k": {"id": id, "mailboxIds": {"target": True}}})
    assert answer["notCreated"]["k"]["type"] == "notFound"
