"""A data type of the tests' own, with /set and /copy: its records are dictionaries."""

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
from gateway.jmap.method import Arguments, Context
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
        raise AssertionError("a /set never asks what has changed")


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


async def refused(work: Any) -> MethodError:
    with pytest.raises(MethodError) as raised:
        await work
    return raised.value
