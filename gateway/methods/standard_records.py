"""Where the standard methods find the records of a type that no index holds: the account's user records.

Rule 1: what a record shows is what its `DataType` declares; one that lacks a property has the default. A record may
        hold more than it shows.
Rule 2: all creations of one /set are one write, and so are all updates and all destructions: none is half done.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.account.account import Account
from gateway.account.ids import DIGEST_OCTETS, id_of
from gateway.account.user_records import Record, RecordsView
from gateway.jmap.arguments import Argument
from gateway.jmap.declare import REQUIRED, DataType
from gateway.jmap.errors import SetError
from gateway.jmap.method import Arguments
from gateway.methods.creations import Creation, Faults
from gateway.methods.standard_set import Call, Update


def new_id(letter: str) -> str:
    """Return an id drawn at random."""
    return id_of(letter, secrets.token_bytes(DIGEST_OCTETS))


class RecordsSource:
    """The records of one type, for /get, /changes, /query and /queryChanges."""

    tells_updated_properties = False

    def __init__(self, data_type: DataType) -> None:
        self.data_type = data_type
        self.getters: Mapping[str, Callable[[Record], Any]] = {
            name: _getter(name, None if declared.default is REQUIRED else declared.default)
            for name, declared in data_type.properties.items()
            if name != "id"
        }

    @asynccontextmanager
    async def look(self, account: Account, ids: Sequence[str] | None = ()) -> AsyncIterator[RecordsView]:
        yield await account.user_records.look(self.data_type.name, ids)


class RecordsSetSource(RecordsSource):
    """The same for /set. A type with rules of its own gives its own `writes`."""

    set_arguments: Mapping[str, Argument] = {}

    async def state(self, account: Account) -> str:
        return await account.user_records.state(self.data_type.name)

    def writes(self, call: Call) -> RecordWrites:
        return RecordWrites(self.data_type, call)


class RecordWrites:
    """How one /set writes the records of a type that has no rules beyond its table."""

    def __init__(self, data_type: DataType, call: Call) -> None:
        self.data_type, self.account, self.context = data_type, call.account, call.context

    async def current(self, record: Record, names: Collection[str]) -> Mapping[str, Any]:
        return {}  # there is a getter for every property

    def check_create(self, creation: Creation) -> Faults:
        return {}

    def check_update(self, update: Update[Record]) -> Faults:
        return {}

    def made(self, creation: Creation) -> Record:
        """Return the record to create; what the server sets is to be added here."""
        return dict(creation.properties)

    async def create(self, creations: Sequence[Creation]) -> Mapping[str, Arguments | SetError]:
        made = {creation.id: (new_id(self.data_type.name[0]), self.made(creation)) for creation in creations}
        await self.write(dict(made.values()))
        return {
            creation.id: {"id": made[creation.id][0], **told(self.data_type, creation, made[creation.id][1])}
            for creation in creations
        }

    async def update(self, updates: Sequence[Update[Record]]) -> Mapping[str, Arguments | SetError | None]:
        records, answers = self.account.user_records, dict[str, Arguments | SetError | None]()
        async with records.lock:  # another call may have changed other properties since these were looked at
            now = (await records.look(self.data_type.name, [update.id for update in updates])).by_id
            changed: dict[str, Record | None] = {}
            for update in updates:
                if update.id in now:
                    changed[update.id] = {**now[update.id], **update.changes}
                else:
                    answers[update.id] = SetError("notFound")
            await self.write(changed)
        return answers

    async def destroy(self, records: Mapping[str, Record]) -> Mapping[str, SetError]:
        await self.write(dict.fromkeys(records))
        return {}

    async def write(self, records: Mapping[str, Record | None]) -> None:
        await self.account.user_records.write(self.data_type.name, records)


def told(data_type: DataType, creation: Creation, record: Record) -> Arguments:
    """Return what the client does not know of what it created: what it did not give, or what became of it."""
    return {
        name: record[name]
        for name in data_type.properties
        if name in record and not (creation.given(name) and creation.properties[name] == record[name])
    }


def _getter(name: str, default: Any) -> Callable[[Record], Any]:
    return lambda record: record.get(name, default)
