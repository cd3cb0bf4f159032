"""Identity/get, /changes and /set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.methods.sending import sending_world
from tests.methods.world import World

EVERYTHING = {"id", "name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with sending_world(tmp_path, "me@here.example", "alias@here.example", "*@mine.example") as (
        world,
        _submitter,
    ):
        yield world


async def create(world: World, **properties: Any) -> Any:
    answer = await world.call("Identity/set", create={"k": properties})
    return answer["created"]["k"] if answer["created"] else answer["notCreated"]["k"]


async def test_a_login_has_an_identity_for_each_of_its_addresses(world: World) -> None:
    """All fields, the default address first, and the same ids and state again."""
    first = await world.call("Identity/get", ids=None)
    assert [one["email"] for one in first["list"]] == ["me@here.example", "alias@here.example", "*@mine.example"]
    assert all(set(one) == EVERYTHING for one in first["list"])
    assert first["list"][0] | {"id": ""} == {
        "id": "", "name": "", "email": "me@here.example", "replyTo": None, "bcc": None, "textSignature": "",
        "htmlSignature": "", "mayDelete": False,
    }  # fmt: skip
    assert await world.call("Identity/get", ids=None) == first


async def test_what_is_set_is_kept(world: World) -> None:
    """Signatures with line ends, addresses with names; a second identity of the same address."""
    made = await create(world, email="me@here.example", name="Work", textSignature="-- \nMe")
    assert made["mayDelete"] is True
    change = {
        "htmlSignature": "<b>Me</b>",
        "replyTo": [{"name": "Grüße", "email": "re@x.example"}],
        "bcc": [{"email": "b@x.example"}],
    }
    changed = await world.call("Identity/set", update={made["id"]: change})
    assert changed["updated"] == {made["id"]: None}
    (got,) = (await world.call("Identity/get", ids=[made["id"]]))["list"]
    assert got == {**got, **change, "textSignature": "-- \nMe", "name": "Work"}


@pytest.mark.parametrize("email", ["boss@here.example", "me@there.example", "*@here.example"])
async def test_a_foreign_address_is_forbidden(world: World, email: str) -> None:
    assert (await create(world, email=email))["type"] == "forbiddenFrom"


@pytest.mark.parametrize("email", ["Me@Here.Example", "any@mine.example", "*@mine.example"])
async def test_an_own_address_is_not(world: World, email: str) -> None:
    assert "id" in await create(world, email=email)


HOSTILE = ["a\r\nBcc: x@y.example", "a\nb", "a\rb", "a\0b", "a\x7f", "a\u2028b", "a\x85b"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_nothing_that_ends_a_line_gets_into_a_header(world: World, text: str) -> None:
    """In no field of an identity, on creation or later; nothing is changed then."""
    (mine, *_others) = (await world.call("Identity/get", ids=None))["list"]
    for name, value in {
        "name": text,
        "replyTo": [{"name": text, "email": "a@b.example"}],
        "bcc": [{"name": None, "email": f"{text}@b.example"}],
    }.items():
        error = await create(world, email="me@here.example", **{name: value})
        assert (error["type"], error["properties"]) == ("invalidProperties", [name])
        answer = await world.call("Identity/set", update={mine["id"]: {name: value}})
        assert answer["notUpdated"][mine["id"]]["properties"] == [name]
    error = await create(world, email=f"{text}@mine.example")
    assert (error["type"], error["properties"]) == ("invalidProperties", ["email"])
    assert len((await world.call("Identity/get", ids=None))["list"]) == 3


@pytest.mark.parametrize(
    "address", ["", "nobody", "a@", "@b", "a b@c.example", "a@b.example, c@d.example", "<a@b.example>"]
)
async def test_an_address_is_an_address(world: World, address: str) -> None:
    error = await create(world, email="me@here.example", bcc=[{"email": address}])
    assert error["properties"] == ["bcc"]


async def test_signatures_are_bounded(world: World) -> None:
    for name in ("textSignature", "htmlSignature"):
        assert (await create(world, email="me@here.example", **{name: "x" * 100_001}))["properties"] == [name]
        assert (await create(world, email="me@here.example", **{name: "a\0"}))["properties"] == [name]


async def test_the_address_of_an_identity_stays(world: World) -> None:
    (mine, *_others) = (await world.call("Identity/get", ids=None))["list"]
    answer = await world.call("Identity/set", update={mine["id"]: {"email": "alias@here.example"}})
    assert answer["notUpdated"][mine["id"]]["properties"] == ["email"]
    assert (await world.call("Identity/set", update={mine["id"]: {"mayDelete": True}}))["updated"] is None


async def test_the_login_keeps_its_own(world: World) -> None:
    """What a client made may go; what belongs to the login may not."""
    (mine, *_others) = (await world.call("Identity/get", ids=None))["list"]
    made = await create(world, email="me@here.example")
    answer = await world.call("Identity/set", destroy=[mine["id"], made["id"]])
    assert answer["destroyed"] == [made["id"]]
    assert answer["notDestroyed"][mine["id"]]["type"] == "forbidden"


async def test_an_alias_that_is_taken_away_may_go(world: World) -> None:
    """Its identity stays, with its signature, until its owner destroys it."""
    before = (await world.call("Identity/get", ids=None))["list"]
    world.account.own_addresses = type(world.account.own_addresses)(["me@here.example"])
    after = {one["email"]: one["mayDelete"] for one in (await world.call("Identity/get", ids=None))["list"]}
    assert after == {"me@here.example": False, "alias@here.example": True, "*@mine.example": True}
    answer = await world.call("Identity/set", destroy=[before[1]["id"]])
    assert answer["destroyed"] == [before[1]["id"]]


async def test_there_is_an_end_to_identities(world: World) -> None:
    made = await world.call("Identity/set", create={str(n): {"email": "me@here.example"} for n in range(120)})
    assert len(made["created"]) == 97
    assert {error["type"] for error in made["notCreated"].values()} == {"overQuota"}


async def test_changes_tell_what_was_set(world: World) -> None:
    state = (await world.call("Identity/get", ids=[]))["state"]
    made = await create(world, email="me@here.example")
    changes = await world.call("Identity/changes", sinceState=state)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([made["id"]], [], [])
