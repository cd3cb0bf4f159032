"""VacationResponse/get and /set (RFC 8621 section 8): the one record of an account, whose id is "singleton".

Rule 1: isEnabled tells what the mail server does, not what was asked for last.
Rule 2: what the engine cannot do is refused, not left out: a reply held to a time needs the extensions for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from gateway.account.account import Account
from gateway.account.scripts import VACATION as TYPE
from gateway.account.user_records import Record, RecordsView
from gateway.jmap.arguments import Argument
from gateway.jmap.capability import VACATION_RESPONSE
from gateway.jmap.errors import SetError
from gateway.jmap.method import Arguments, Registry
from gateway.jmap.objects.vacation_response import VACATION
from gateway.methods import standard
from gateway.methods.creations import Creation, Faults
from gateway.methods.sieve_script import scripts_of
from gateway.methods.standard_records import RecordsSource
from gateway.methods.standard_set import Call, Update, set_records


class VacationSource(RecordsSource):
    """The VacationResponse of an account, for the standard methods."""

    set_arguments: Mapping[str, Argument] = {}

    def __init__(self) -> None:
        super().__init__(VACATION)

    @asynccontextmanager
    async def look(self, account: Account, ids: Sequence[str] | None = ()) -> AsyncIterator[RecordsView]:
        await scripts_of(account).refresh()
        yield await account.user_records.look(TYPE, ids)

    async def state(self, account: Account) -> str:
        return await account.user_records.state(TYPE)

    def writes(self, call: Call) -> VacationWrites:
        return VacationWrites(call.account)


class VacationWrites:
    """The writes of one VacationResponse/set."""

    def __init__(self, account: Account) -> None:
        self._account, self._scripts = account, scripts_of(account)

    async def current(self, record: Record, names: Collection[str]) -> Mapping[str, Any]:
        return {}  # there is a getter for every property

    def check_create(self, creation: Creation) -> Faults:
        raise _singleton()

    def check_update(self, update: Update[Record]) -> Faults:
        facts = self._scripts.facts
        if facts is not None and facts.has_dates:
            return {}
        fault = "cannot be honoured by the mail server"
        return {name: fault for name in ("fromDate", "toDate") if update.changes.get(name) is not None}

    async def create(self, creations: Sequence[Creation]) -> Mapping[str, Arguments | SetError]:
        return {creation.id: _singleton() for creation in creations}

    async def update(self, updates: Sequence[Update[Record]]) -> Mapping[str, Arguments | SetError | None]:
        told: dict[str, Arguments | SetError | None] = {}
        for update in updates:  # there is one record
            await self._scripts.set_vacation({**update.record, **update.changes})
            now = (await self._account.user_records.look(TYPE, (update.id,))).by_id[update.id]
            asked = {**update.record, **update.changes}
            told[update.id] = {name: now[name] for name in asked if now[name] != asked[name]} or None
        return told

    async def destroy(self, records: Mapping[str, Record]) -> Mapping[str, SetError]:
        return dict.fromkeys(records, _singleton())


def _singleton() -> SetError:
    return SetError("singleton", "there is one VacationResponse, which is neither created nor destroyed")


def register(registry: Registry) -> None:
    source = VacationSource()
    standard.register(registry, source, {"get": standard.get})
    registry.add("VacationResponse/set", VACATION_RESPONSE, partial(set_records, source))
