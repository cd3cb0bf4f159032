"""/get and /changes as RFC 8620 sections 5.1 and 5.2 have them, seen through Mailbox and Thread."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.errors import MethodError
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context
from tests.methods.world import World, registry

MAIL_TEXT = "From: a@b.example\nSubject: {}\nMessage-ID: <{}@x>\n\nHello\n"


async def fails(world: World, name: str, **arguments: Any) -> MethodError:
    with pytest.raises(MethodError) as raised:
        await world.call(name, **arguments)
    return raised.value


async def test_echo(world: World) -> None:
    """Core/echo returns exactly its arguments."""
    assert await world.call("Core/echo", hello=True, high=5) == {"accountId": "A1", "hello": True, "high": 5}


@pytest.mark.parametrize("name", ["Mailbox/get", "Thread/get", "Email/get"])
async def test_ids_null_returns_all(world: World, name: str) -> None:
    """ids null returns every record, and nothing is not found."""
    await world.deliver(MAIL_TEXT.format("one", 1))
    response = await world.call(name, ids=None)
    assert len(response["list"]) == 1
    assert response["notFound"] == []


@pytest.mark.parametrize("name", ["Mailbox/get", "Thread/get", "Email/get"])
async def test_no_ids(world: World, name: str) -> None:
    """An empty list of ids returns nothing but the state."""
    response = await world.call(name, ids=[])
    assert response == {"accountId": "A1", "state": response["state"], "list": [], "notFound": []}
    assert response["state"]


@pytest.mark.parametrize("name", ["Mailbox/get", "Thread/get", "Email/get"])
async def test_not_found(world: World, name: str) -> None:
    """An id that is twice in the request is once in notFound; an unknown creation id is not found either."""
    response = await world.call(name, ids=["nothing", "nothing", "#nothing"])
    assert response["list"] == []
    assert response["notFound"] == ["nothing", "#nothing"]


async def test_duplicate_ids(world: World) -> None:
    """An id that is twice in the request is once in the list."""
    response = await world.call("Mailbox/get", ids=["inbox", "inbox"], properties=["name"])
    assert response["list"] == [{"id": "inbox", "name": "Inbox"}]


async def test_creation_id(world: World) -> None:
    """`#` and a creation id of this request stands for the id."""
    await world.deliver(MAIL_TEXT.format("one", 1), id="M1")
    response = await world.call("Email/get", ids=["#known", "M1"], properties=["id"])
    assert response["list"] == [{"id": "M1"}]


@pytest.mark.parametrize("name", ["Mailbox/get", "Thread/get", "Email/get"])
@pytest.mark.parametrize("given", [{"properties": ["nope"]}, {"ids": "inbox"}, {"ids": [1]}, {"unknown": 1}])
async def test_invalid_arguments(world: World, name: str, given: dict[str, Any]) -> None:
    """Unknown properties, ill-typed ids and unknown arguments are invalidArguments, and the error names them."""
    error = await fails(world, name, **{"ids": [], **given})
    assert error.kind == "invalidArguments"
    (argument,) = given
    assert error.description is not None
    assert argument in error.description


@pytest.mark.parametrize("name", ["Mailbox/get", "Thread/get", "Email/get"])
async def test_too_many_ids(world: World, name: str) -> None:
    """More ids than maxObjectsInGet are requestTooLarge."""
    error = await fails(world, name, ids=[f"i{n}" for n in range(501)])
    assert error.kind == "requestTooLarge"


@pytest.mark.parametrize("name", ["Mailbox/get", "Thread/get", "Email/get"])
async def test_too_many_records(world: World, name: str) -> None:
    """ids null with more records than maxObjectsInGet is requestTooLarge."""
    for n in range(3):
        await world.deliver(MAIL_TEXT.format(n, n))
        await world.add_mailbox(f"b{n}")
    registered = registry().get(name)
    assert registered is not None
    context = Context("someone", {"A1": world.account}, frozenset({CORE, MAIL}), Limits(max_objects_in_get=2))
    with pytest.raises(MethodError) as raised:
        await registered.method(context, {"accountId": "A1", "ids": None})
    assert raised.value.kind == "requestTooLarge"


@pytest.mark.parametrize("name", sorted(set(registry().names()) - {"Core/echo", "Blob/copy"}))  # those of the core
async def test_accounts(world: World, name: str) -> None:
    """An unknown account is accountNotFound, one without the capability accountNotSupportedByMethod."""
    needed: dict[str, Any] = {}
    match name.split("/"):
        case [_, "changes"]:
            needed = {"sinceState": "x"}
        case [_, "queryChanges"]:
            needed = {"sinceQueryState": "x"}
        case ["MDN", "send"]:
            needed = {"identityId": "I1", "send": {}}
        case [_, "parse"]:
            needed = {"blobIds": ["b"] if name == "MDN/parse" else []}
        case ["SieveScript", "validate"]:
            needed = {"blobId": "b"}
        case ["Email", "copy"]:
            needed = {"fromAccountId": "A1", "create": {}}
        case ["Email", "import"]:
            needed = {"emails": {}}
        case ["SearchSnippet", _]:
            needed = {"emailIds": []}
        case ["Blob", "upload"]:
            needed = {"create": {}}
        case ["Blob", "lookup"]:
            needed = {"typeNames": [], "ids": []}
    # RFC 9007 sections 2.1 and 2.2 say otherwise than RFC 8620.
    not_there = "invalidArguments" if name.startswith("MDN/") else "accountNotFound"
    assert (await fails(world, name, accountId="A2", **needed)).kind == not_there
    assert (await fails(world, name, accountId=None, **needed)).kind == "invalidArguments"
    world.account.capabilities = {CORE: {}}
    assert (await fails(world, name, **needed)).kind == "accountNotSupportedByMethod"


@pytest.mark.parametrize("type", ["Mailbox", "Thread", "Email"])
async def test_changes(world: World, type: str) -> None:
    """/changes goes from the state of one /get to the state of the next."""
    before = (await world.call(f"{type}/get", ids=[]))["state"]
    await world.deliver(MAIL_TEXT.format("one", 1), id="M1")
    response = await world.call(f"{type}/changes", sinceState=before)
    assert response["oldState"] == before
    assert response["newState"] == (await world.call(f"{type}/get", ids=[]))["state"] != before
    assert response["hasMoreChanges"] is False
    assert len(response["created"] + response["updated"]) == 1
    assert response["destroyed"] == []
    again = await world.call(f"{type}/changes", sinceState=response["newState"])
    assert again["created"] == again["updated"] == again["destroyed"] == []


@pytest.mark.parametrize("type", ["Mailbox", "Thread", "Email"])
async def test_changes_from_elsewhere(world: World, type: str) -> None:
    """A state that was never given out is cannotCalculateChanges, never an empty success."""
    assert (await fails(world, f"{type}/changes", sinceState="nonsense")).kind == "cannotCalculateChanges"


@pytest.mark.parametrize("max_changes", [0, -1, 1.5, "1"])
async def test_max_changes_out_of_range(world: World, max_changes: object) -> None:
    """maxChanges must be an integer greater than 0."""
    assert (await fails(world, "Email/changes", sinceState="x", maxChanges=max_changes)).kind == "invalidArguments"


async def test_max_changes(world: World) -> None:
    """With maxChanges a client gets there in steps, none larger, and sees every id once."""
    before = (await world.call("Email/get", ids=[]))["state"]
    ids = [await world.deliver(MAIL_TEXT.format(n, n)) for n in range(5)]
    seen: list[str] = []
    while True:
        response = await world.call("Email/changes", sinceState=before, maxChanges=2)
        found = response["created"] + response["updated"] + response["destroyed"]
        assert len(found) <= 2
        seen += found
        before = response["newState"]
        if not response["hasMoreChanges"]:
            break
    assert sorted(seen) == sorted(ids)
    assert before == (await world.call("Email/get", ids=[]))["state"]
