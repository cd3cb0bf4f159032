"""/get, /changes and /set of a type that is nothing but its table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.errors import MethodError
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context
from gateway.jmap.types import is_boolean, is_id, is_string
from gateway.methods import standard, standard_set
from gateway.methods.standard_records import RecordsSetSource
from gateway.store import SqliteStore
from tests.push.accounts import opened

NOTE = DataType(
    name="Note",
    capability=MAIL,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "text": Property(is_string, default=REQUIRED),
        "isPinned": Property(is_boolean, default=False),
    },
    methods=frozenset({"get", "changes", "set"}),
)
SOURCE = RecordsSetSource(NOTE)


class Caller:
    def __init__(self, context: Context) -> None:
        self.context = context

    async def get(self, **arguments: Any) -> Any:
        return await partial(standard.get, SOURCE)(self.context, {"accountId": "A1", **arguments})

    async def changes(self, since: str, **arguments: Any) -> Any:
        return await standard.changes(SOURCE, self.context, {"accountId": "A1", "sinceState": since, **arguments})

    async def set(self, **arguments: Any) -> Any:
        return await standard_set.set_records(SOURCE, self.context, {"accountId": "A1", **arguments})


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[Caller]:
    store = await SqliteStore.open(tmp_path)
    async with opened(tmp_path / "a.db", records=store) as account:
        yield Caller(Context(login="a", accounts={"A1": account}, using=frozenset({CORE, MAIL}), limits=Limits()))
    await store.close()


async def test_the_table_is_all_it_takes(notes: Caller) -> None:
    """Created with defaults told, shown, patched, destroyed; states and changes follow."""
    empty = await notes.get(ids=None)
    assert empty["list"] == []
    made = await notes.set(create={"k": {"text": "a"}})
    id = made["created"]["k"]["id"]
    assert made["created"]["k"] == {"id": id, "isPinned": False}
    assert made["oldState"] == empty["state"]
    got = await notes.get(ids=None)
    assert got["list"] == [{"id": id, "text": "a", "isPinned": False}]
    assert got["state"] == made["newState"]
    changed = await notes.set(update={id: {"isPinned": True}})
    assert changed["updated"] == {id: None}
    assert (await notes.changes(made["newState"]))["updated"] == [id]
    gone = await notes.set(destroy=[id, "none"])
    assert gone["destroyed"] == [id]
    assert gone["notDestroyed"]["none"]["type"] == "notFound"
    assert (await notes.changes(made["newState"]))["destroyed"] == [id]
    assert (await notes.changes(empty["state"]))["destroyed"] == []
    assert (await notes.get(ids=[id]))["notFound"] == [id]


async def test_what_changes_nothing_keeps_the_state(notes: Caller) -> None:
    made = await notes.set(create={"k": {"text": "a"}})
    again = await notes.set(update={made["created"]["k"]["id"]: {"text": "a"}})
    assert again["oldState"] == again["newState"] == made["newState"]


async def test_changes_come_in_steps(notes: Caller) -> None:
    """Each intermediate state leads on, and every id is told once."""
    since = (await notes.get(ids=[]))["state"]
    made = await notes.set(create={str(number): {"text": "x"} for number in range(5)})
    told: list[str] = []
    while (step := await notes.changes(since, maxChanges=2))["hasMoreChanges"]:
        told += step["created"]
        since = step["newState"]
    told += step["created"]
    assert step["newState"] == made["newState"]
    assert sorted(told) == sorted(one["id"] for one in made["created"].values())


async def test_two_updates_at_once_both_count(notes: Caller) -> None:
    """Each changes its own property; one of a record that is gone by then fails."""
    id = (await notes.set(create={"k": {"text": "a"}}))["created"]["k"]["id"]
    await asyncio.gather(notes.set(update={id: {"text": "b"}}), notes.set(update={id: {"isPinned": True}}))
    assert (await notes.get(ids=[id]))["list"] == [{"id": id, "text": "b", "isPinned": True}]
    gone, late = await asyncio.gather(notes.set(destroy=[id]), notes.set(update={id: {"text": "c"}}))
    assert gone["destroyed"] == [id]
    assert late["updated"] is None or (await notes.get(ids=[id]))["notFound"] == [id]


async def test_faults_are_named(notes: Caller) -> None:
    """By the standard's own errors, and a wrong ifInState writes nothing."""
    made = await notes.set(
        create={"a": {}, "b": {"text": 1}, "c": {"text": "x", "id": "y"}, "d": {"text": "x", "z": 1}}
    )
    assert {key: error["properties"] for key, error in made["notCreated"].items()} == {
        "a": ["text"],
        "b": ["text"],
        "c": ["id"],
        "d": ["z"],
    }
    with pytest.raises(MethodError, match="stateMismatch"):
        await notes.set(ifInState="old", create={"a": {"text": "x"}})
    assert (await notes.get(ids=None))["list"] == []
