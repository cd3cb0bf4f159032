"""/set and /copy as every type has them (RFC 8620 sections 5.3 and 5.4), on a type of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from gateway.account.account import Account
from gateway.account.records import Changes
from gateway.jmap import types
from gateway.jmap.arguments import Argument
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.limits import Limits
from gateway.jmap.method import Arguments, Context, Responses
from gateway.methods.creations import Creation, Faults
from gateway.methods.standard_copy import Copy, copy_records
from gateway.methods.standard_set import Call, Update, set_records

NODE = DataType(
    name="Node",
    capability="cap",
    properties={
        "id": Property(types.is_id, is_immutable=True, is_server_set=True),
        "name": Property(types.is_string, default=REQUIRED),
        "parentId": Property(types.nullable(types.is_id_or_reference), is_reference=True, is_own_reference=True),
        "friendIds": Property(types.set_of(types.is_id_or_reference), default={}, is_map=True, is_reference=True),
        "kind": Property(types.is_string, default="plain", is_immutable=True),
        "size": Property(types.is_unsigned_int, is_server_set=True),
        "extra": Property(types.is_string, default="", capability="ext"),
    },
    methods=frozenset({"set", "copy"}),
)
Record = dict[str, Any]


@dataclass
class Place:
    """One account of nodes."""

    id: str
    capabilities: dict[str, Any] = field(default_factory=lambda: {"cap": {}})
    is_read_only: bool = False
    nodes: dict[str, Record] = field(default_factory=dict)
    serial: int = 0
    calls: list[tuple[str, list[str]]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)  # writes that raise


class View:
    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def state(self) -> str:
        return str(self.place.serial)

    def records(self, ids: Sequence[str] | None, *, at_most: int) -> dict[str, Record]:
        return {id: self.place.nodes[id] for id in ids or () if id in self.place.nodes}

    def changes(self, since: str, *, at_most: int) -> Changes:
        raise NotImplementedError


class Nodes:
    data_type = NODE
    getters: Mapping[str, Any] = {
        name: lambda record, name=name: record[name]
        for name in ("name", "parentId", "friendIds", "kind", "size", "extra")
    }
    tells_updated_properties = False
    set_arguments: Mapping[str, Argument] = {"isLoud": Argument(types.is_boolean, default=False)}
    copy_properties = frozenset({"name", "parentId"})

    @asynccontextmanager
    async def look(self, account: Account, ids: Sequence[str] | None = ()) -> AsyncIterator[View]:
        yield View(cast(Place, account))

    async def state(self, account: Account) -> str:
        return str(cast(Place, account).serial)

    def writes(self, call: Call) -> NodeWrites:
        return NodeWrites(cast(Place, call.account))

    def copies(self, call: Call, from_account: Account) -> NodeCopies:
        return NodeCopies(cast(Place, call.account))


class NodeWrites:
    def __init__(self, place: Place) -> None:
        self.place = place

    def _begin(self, verb: str, ids: Collection[str]) -> None:
        self.place.calls.append((verb, list(ids)))
        if verb in self.place.broken:
            raise MethodError("serverUnavailable", "no line")
        self.place.serial += 1

    async def current(self, record: Record, names: Collection[str]) -> Mapping[str, Any]:
        return {}

    def check_create(self, creation: Creation) -> Faults:
        return {"name": "is bad"} if creation.properties.get("name") == "bad" else {}

    def check_update(self, update: Update[Record]) -> Faults:
        if update.changes.get("name") == "never":
            raise SetError("forbidden")
        return {"name": "is bad"} if update.changes.get("name") == "bad" else {}

    async def create(self, creations: Sequence[Creation]) -> Mapping[str, Arguments | SetError]:
        self._begin("create", [one.id for one in creations])
        answers: dict[str, Arguments | SetError] = {}
        for one in creations:
            if one.properties["name"] == "refused":
                answers[one.id] = SetError("overQuota")
                continue
            id = f"N{len(self.place.nodes) + 1}"
            self.place.nodes[id] = {"extra": "", **one.properties, "size": 7}
            answers[one.id] = {"id": id, "size": 7, **one.defaults}
        return answers

    async def update(self, updates: Sequence[Update[Record]]) -> Mapping[str, Arguments | SetError | None]:
        self._begin("update", [one.id for one in updates])
        for one in updates:
            self.place.nodes[one.id] = self.place.nodes[one.id] | dict(one.changes)
        return {one.id: {"size": 9} for one in updates if one.changes.get("name") == "grown"}

    async def destroy(self, records: Mapping[str, Record]) -> Mapping[str, SetError]:
        self._begin("destroy", list(records))
        for id in records:
            if self.place.nodes[id]["name"] != "stays":
                del self.place.nodes[id]
        return {id: SetError("forbidden") for id in records if id in self.place.nodes}


class NodeCopies:
    def __init__(self, place: Place) -> None:
        self.place = place

    def check_copy(self, copy: Copy[Record]) -> Faults:
        return {"name": "is bad"} if copy.properties.get("name") == "bad" else {}

    async def copy(self, copies: Sequence[Copy[Record]]) -> Mapping[str, Arguments | SetError]:
        self.place.serial += 1
        for one in copies:
            self.place.nodes[f"C{one.original_id}"] = {**one.original, **one.properties}
        return {one.creation_id: {"id": f"C{one.original_id}"} for one in copies}


class Scene:
    """Two accounts and the request that calls."""

    def __init__(self) -> None:
        self.place, self.other = Place("A1"), Place("A2")
        self.context = Context(
            "me", {"A1": self.place, "A2": self.other}, frozenset({"cap"}), Limits(max_objects_in_set=12)
        )

    def node(self, id: str, **properties: Any) -> str:
        self.place.nodes[id] = {
            "name": id, "parentId": None, "friendIds": {}, "kind": "plain", "size": 1, "extra": "", **properties
        }  # fmt: skip
        return id

    async def set(self, **arguments: Any) -> Any:
        return await set_records(Nodes(), self.context, {"accountId": "A1", **arguments})

    async def copy(self, **arguments: Any) -> Any:
        return await copy_records(Nodes(), self.context, {"fromAccountId": "A1", "accountId": "A2", **arguments})


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def refused(work: Any) -> MethodError:
    with pytest.raises(MethodError) as raised:
        await work
    return raised.value


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
    for wrong in ({"create": []}, {"update": {"x": 1}}, {"destroy": "x"}, {"odd": 1}, {"isLoud": 1}, {"ifInState": 1}):
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


async def test_not_destroyed(scene: Scene) -> None:
    """What could not be destroyed is told with its error."""
    scene.node("n", name="stays")
    answer = await scene.set(destroy=["n"])
    assert (answer["destroyed"], answer["notDestroyed"]) == (None, {"n": {"type": "forbidden"}})


# ---------------------------------------------------------------- copy


async def test_copy(scene: Scene) -> None:
    """A copy has the original's properties but for those given; creation ids are registered."""
    scene.node("n", kind="odd")
    answer = await scene.copy(create={"k": {"id": "n", "name": "copy"}})
    assert answer == {
        "fromAccountId": "A1",
        "accountId": "A2",
        "oldState": "0",
        "newState": "1",
        "created": {"k": {"id": "Cn"}},
        "notCreated": None,
    }
    assert scene.other.nodes["Cn"]["kind"] == "odd"
    assert scene.other.nodes["Cn"]["name"] == "copy"
    assert scene.context.created_ids == {"k": "Cn"}


async def test_copy_errors(scene: Scene) -> None:
    """Accounts, states and objects that are wrong have their own errors."""
    scene.node("n")
    ok = {"k": {"id": "n"}}
    assert (await refused(scene.copy(create=ok, fromAccountId="A9"))).kind == "fromAccountNotFound"
    assert (await refused(scene.copy(create=ok, accountId="A9"))).kind == "accountNotFound"
    assert (await refused(scene.copy(create=ok, accountId="A1"))).kind == "invalidArguments"
    assert (await refused(scene.copy(create=ok, ifInState="x"))).kind == "stateMismatch"
    assert (await refused(scene.copy(create=ok, ifFromInState="x"))).kind == "stateMismatch"
    assert (await refused(scene.copy())).kind == "invalidArguments"
    assert (await refused(scene.copy(create={f"k{n}": {"id": "n"} for n in range(13)}))).kind == "requestTooLarge"
    wrong = {"a": {"id": "zz"}, "b": {}, "c": {"id": "n", "kind": "x", "odd": 1}, "d": {"id": "n", "name": "bad"}}
    answer = await scene.copy(create=wrong)
    errors = answer["notCreated"]
    assert errors["a"]["type"] == "notFound"
    assert errors["b"]["properties"] == ["id"]
    assert set(errors["c"]["properties"]) == {"kind", "odd"}
    assert errors["d"]["properties"] == ["name"]
    scene.place.capabilities = {}
    assert (await refused(scene.copy(create=ok))).kind == "fromAccountNotSupportedByMethod"


async def test_copy_and_destroy(scene: Scene) -> None:
    """onSuccessDestroyOriginal adds the response of one implicit /set, with what was copied and nothing else."""
    scene.node("n")
    scene.node("m")
    answer = await scene.copy(
        create={"k": {"id": "n"}, "bad": {"id": "m", "name": "bad"}}, onSuccessDestroyOriginal=True
    )
    assert isinstance(answer, Responses)
    (first, copied), (second, implicit) = answer.items
    assert (first, second) == ("Node/copy", "Node/set")
    assert set(copied["created"]) == {"k"}
    assert (implicit["accountId"], implicit["destroyed"]) == ("A1", ["n"])
    assert "m" in scene.place.nodes
    answer = await scene.copy(
        create={"k": {"id": "m"}}, onSuccessDestroyOriginal=True, destroyFromIfInState="not this one"
    )
    assert answer.items[1] == ("error", {"type": "stateMismatch"})
    assert "m" in scene.place.nodes
    answer = await scene.copy(create={"k": {"id": "zz"}}, onSuccessDestroyOriginal=True)
    assert isinstance(answer, dict)
