"""/set as every type has it (RFC 8620 section 5.3), on a type of our own."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap.errors import MethodError
from gateway.unavailable import Unavailable
from tests.methods.nodes import Nodes, Scene, refused


@pytest.fixture
def scene() -> Scene:
    return Scene()


# ---------------------------------------------------------------- the call


async def test_nothing(scene: Scene) -> None:
    """With nothing to do everything is null and the states are equal."""
    assert await scene.set() == {
        "accountId": "A1",
        "oldState": "0",
        "newState": "0",
        "created": None,
        "updated": None,
        "destroyed": None,
        "notCreated": None,
        "notUpdated": None,
        "notDestroyed": None,
    }
    assert (await scene.set(create={}, update={}, destroy=[]))["created"] is None


async def test_states(scene: Scene) -> None:
    """oldState is the state before, newState the one after; ifInState must be the old one."""
    answer = await scene.set(ifInState="0", create={"a": {"name": "a"}})
    assert (answer["oldState"], answer["newState"]) == ("0", "1")
    assert (await refused(scene.set(ifInState="0", create={"b": {"name": "b"}}))).kind == "stateMismatch"
    assert len(scene.place.nodes) == 1


async def test_refused_calls(scene: Scene) -> None:
    """Too many objects in all, a read-only account and wrong arguments fail the call before anything is done."""
    many = {f"c{n}": {"name": "x"} for n in range(7)}
    error = await refused(scene.set(create=many, destroy=[f"d{n}" for n in range(6)]))
    assert error.kind == "requestTooLarge"
    wrongs: tuple[dict[str, Any], ...] = (
        {"create": []},
        {"update": {"x": 1}},
        {"destroy": "x"},
        {"odd": 1},
        {"isLoud": 1},
        {"ifInState": 1},
    )
    for wrong in wrongs:
        assert (await refused(scene.set(**wrong))).kind == "invalidArguments"
    assert (await refused(scene.set(accountId="A3"))).kind == "accountNotFound"
    scene.place.is_read_only = True
    assert (await refused(scene.set(create={"a": {"name": "a"}}))).kind == "accountReadOnly"
    assert scene.place.calls == []


# ---------------------------------------------------------------- create


async def test_created(scene: Scene) -> None:
    """`created` tells what the client did not say: id, server-set properties, defaults."""
    answer = await scene.set(create={"a": {"name": "a"}})
    assert answer["created"] == {"a": {"id": "N1", "size": 7, "parentId": None, "friendIds": {}, "kind": "plain"}}
    assert scene.context.created_ids == {"a": "N1"}


async def test_all_faults_are_named(scene: Scene) -> None:
    """invalidProperties lists every bad property: unknown, server-set, ill-typed, missing, unresolved, extensions'."""
    bad = {"id": "N1", "size": 1, "odd": 1, "kind": 5, "friendIds": {"#nobody": True}, "extra": "x"}
    error = (await scene.set(create={"a": bad}))["notCreated"]["a"]
    assert error["type"] == "invalidProperties"
    assert set(error["properties"]) == {"id", "size", "odd", "kind", "friendIds", "extra", "name"}
    scene.context.using = frozenset({"cap", "ext"})
    assert (await scene.set(create={"a": {"name": "a", "extra": "x"}}))["created"]
    both = {"name": "bad", "kind": 5}
    assert set((await scene.set(create={"a": both}))["notCreated"]["a"]["properties"]) == {"name", "kind"}


async def test_references_in_any_order(scene: Scene) -> None:
    """Creations of one call may refer to one another in any order, and those that can go together."""
    create = {
        "leaf": {"name": "leaf", "parentId": "#twig"},
        "twig": {"name": "twig", "parentId": "#root"},
        "root": {"name": "root"},
        "lone": {"name": "lone"},
    }
    answer = await scene.set(create=create)
    assert answer["notCreated"] is None
    ids = {key: made["id"] for key, made in answer["created"].items()}
    assert scene.place.nodes[ids["leaf"]]["parentId"] == ids["twig"]
    assert scene.place.nodes[ids["twig"]]["parentId"] == ids["root"]
    assert [sorted(keys) for _verb, keys in scene.place.calls] == [["lone", "root"], ["twig"], ["leaf"]]


async def test_references_that_lead_nowhere(scene: Scene) -> None:
    """A ring, a creation that failed and an unknown id are invalidProperties that name the property."""
    scene.context.created_ids["broken"] = "N77"
    create = {
        "a": {"name": "a", "parentId": "#b"},
        "b": {"name": "b", "parentId": "#a"},
        "self": {"name": "self", "parentId": "#self"},
        "broken": {"name": "refused"},
        "child": {"name": "child", "parentId": "#broken"},
        "stray": {"name": "stray", "parentId": "#never"},
        "fine": {"name": "fine", "friendIds": {"#broken": True}},
    }
    answer = await scene.set(create=create)
    assert set(answer["created"]) == {"fine"}
    for key in ("a", "b", "self", "child", "stray"):
        assert answer["notCreated"][key]["type"] == "invalidProperties"
        assert answer["notCreated"][key]["properties"] == ["parentId"]
    assert answer["notCreated"]["broken"] == {"type": "overQuota"}


async def test_reused_creation_id(scene: Scene) -> None:
    """A creation id that is used again stands for the last record made."""
    await scene.set(create={"a": {"name": "one"}})
    await scene.set(create={"a": {"name": "two"}})
    answer = await scene.set(update={"#a": {"name": "three"}})
    assert answer["updated"] == {"N2": None}


# ---------------------------------------------------------------- update


async def test_updates_go_together(scene: Scene) -> None:
    """All updates are one write; `updated` is null for what changed as asked for, else what else changed."""
    update = {scene.node(f"n{n}"): {"name": "grown" if n == 1 else "x"} for n in range(3)}
    answer = await scene.set(update=update)
    assert answer["updated"] == {"n0": None, "n1": {"size": 9}, "n2": None}
    assert scene.place.calls == [("update", ["n0", "n1", "n2"])]


async def test_no_op(scene: Scene) -> None:
    """A patch that changes nothing succeeds and writes nothing: a whole object too."""
    id = scene.node("n")
    whole = {"id": "n", **scene.place.nodes[id]}
    del whole["extra"]
    for patch in (whole, {}, {"friendIds/x": None}, {"size": 1, "kind": "plain"}):
        answer = await scene.set(update={"n": patch})
        assert (answer["updated"], answer["notUpdated"]) == ({"n": None}, None)
    assert scene.place.calls == []


@pytest.mark.parametrize(
    ("patch", "properties"),
    [
        ({"size": 2}, ["size"]),
        ({"id": "other"}, ["id"]),
        ({"kind": "odd"}, ["kind"]),
        ({"odd": 1, "size": 2, "kind": "x", "name": 5}, ["odd", "size", "kind", "name"]),
        ({"name": None}, ["name"]),
        ({"friendIds/x": False}, ["friendIds"]),
        ({"friendIds/#nobody": True}, ["friendIds"]),
        ({"parentId": "#nobody"}, ["parentId"]),
        ({"extra": "x"}, ["extra"]),
        ({"name": "bad", "kind": "x"}, ["kind", "name"]),
    ],
)
async def test_bad_updates(scene: Scene, patch: dict[str, Any], properties: list[str]) -> None:
    """Server-set, immutable, unknown and ill-typed properties are all named, and nothing is written."""
    scene.node("n")
    error = (await scene.set(update={"n": patch}))["notUpdated"]["n"]
    assert error["type"] == "invalidProperties"
    assert sorted(error["properties"]) == sorted(properties)
    assert scene.place.calls == []


async def test_update_errors(scene: Scene) -> None:
    """notFound, willDestroy, invalidPatch and a type's own error stand for themselves; the others go on."""
    for id in ("a", "b", "c", "d"):
        scene.node(id)
    update = {
        "a": {"name": "new"},
        "b": {"friendIds": {}, "friendIds/x": True},
        "c": {"name": "never"},
        "d": {"name": "gone"},
        "e": {"name": "x"},
        "#nobody": {"name": "x"},
    }
    answer = await scene.set(update=update, destroy=["d", "d", "z", "#nobody"])
    assert answer["updated"] == {"a": None}
    assert {id: error["type"] for id, error in answer["notUpdated"].items()} == {
        "b": "invalidPatch",
        "c": "forbidden",
        "d": "willDestroy",
        "e": "notFound",
        "#nobody": "notFound",
    }
    assert answer["destroyed"] == ["d"]
    assert {id: error["type"] for id, error in answer["notDestroyed"].items()} == {
        "z": "notFound",
        "#nobody": "notFound",
    }


async def test_created_here_then_changed(scene: Scene) -> None:
    """What a call creates it may update, refer to and destroy by creation id."""
    scene.node("n")
    answer = await scene.set(
        create={"a": {"name": "a"}, "b": {"name": "b"}},
        update={"#a": {"name": "renamed"}, "n": {"friendIds/#a": True, "parentId": "#a"}},
        destroy=["#b"],
    )
    a, b = answer["created"]["a"]["id"], answer["created"]["b"]["id"]
    assert answer["updated"] == {a: None, "n": None}
    assert answer["destroyed"] == [b]
    assert (scene.place.nodes["n"]["parentId"], scene.place.nodes["n"]["friendIds"]) == (a, {a: True})


# ---------------------------------------------------------------- trouble


async def test_trouble_before_anything(scene: Scene) -> None:
    """An upstream that is away before anything was attempted fails the call."""
    scene.place.broken = {"create"}
    assert (await refused(scene.set(create={"a": {"name": "a"}}))).kind == "serverUnavailable"


async def test_trouble_half_way(scene: Scene) -> None:
    """Once something was attempted, trouble is an error of the objects it concerns and hides nothing done."""
    scene.node("n")
    scene.node("m")
    scene.place.broken = {"update"}
    answer = await scene.set(create={"a": {"name": "a"}}, update={"n": {"name": "x"}}, destroy=["m"])
    assert set(answer["created"]) == {"a"}
    assert answer["notUpdated"]["n"]["type"] == "serverFail"
    assert answer["destroyed"] == ["m"]


@pytest.mark.parametrize("fault", [MethodError("serverUnavailable"), Unavailable("secret")], ids=["mail", "store"])
async def test_trouble_after_a_write(scene: Scene, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """When the new state cannot be told, the client must not take the call for one that did nothing."""

    async def state(*_arguments: Any) -> str:
        raise fault

    monkeypatch.setattr(Nodes, "state", state)
    error = await refused(scene.set(create={"a": {"name": "a"}}))
    assert error.kind == "serverPartialFail"
    assert "secret" not in str(error.description)


async def test_not_destroyed(scene: Scene) -> None:
    """What could not be destroyed is told with its error."""
    scene.node("n", name="stays")
    answer = await scene.set(destroy=["n"])
    assert (answer["destroyed"], answer["notDestroyed"]) == (None, {"n": {"type": "forbidden"}})
