"""Identity/get, /changes, /set (RFC 8621 section 6).

Rule 1: each address that the configuration gives a login is an Identity from the start, with an id made of the address;
        it stays. Whatever else a client adds is of one of these addresses.
Rule 2: what an Identity holds will stand in a header: no control characters, and addresses that are addresses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.account.account import Account
from gateway.account.ids import digest_id
from gateway.account.user_records import Record, RecordsView
from gateway.jmap.errors import SetError
from gateway.jmap.method import Registry
from gateway.jmap.objects.identity import IDENTITY
from gateway.methods import standard
from gateway.methods.creations import Creation, Faults
from gateway.methods.envelope import is_address
from gateway.methods.standard_records import RecordsSetSource, RecordWrites
from gateway.methods.standard_set import Call, Update, set_records

MAX_IDENTITIES = 100  # of an account; a person has a handful


class IdentitySource(RecordsSetSource):
    """Identities for the standard methods."""

    def __init__(self) -> None:
        super().__init__(IDENTITY)

    @asynccontextmanager
    async def look(self, account: Account, ids: Sequence[str] | None = ()) -> AsyncIterator[RecordsView]:
        await ensure_identities(account)
        yield await account.user_records.look(IDENTITY.name, ids)

    def writes(self, call: Call) -> IdentityWrites:
        return IdentityWrites(IDENTITY, call)


class IdentityWrites(RecordWrites):
    """The writes of one Identity/set."""

    def check_create(self, creation: Creation) -> Faults:
        given = creation.properties
        faults = _fault_of_addresses(given)
        if "email" not in given:
            return faults
        email = given["email"]
        if not is_address(email) and not (email.startswith("*@") and is_address("any" + email[1:])):
            faults["email"] = "is not an address"
        elif email not in self.account.own_addresses:
            raise SetError("forbiddenFrom", "this is not an address that you may send from")
        return faults

    def check_update(self, update: Update[Record]) -> Faults:
        return _fault_of_addresses(update.changes)

    def made(self, creation: Creation) -> Record:
        return {**creation.properties, "mayDelete": True}

    async def create(self, creations: Sequence[Creation]) -> Mapping[str, Any]:
        view = await self.account.user_records.look(IDENTITY.name, None)
        room = MAX_IDENTITIES - len(view.by_id)
        made = await super().create(creations[:room]) if room > 0 else {}
        full = SetError("overQuota", f"an account has at most {MAX_IDENTITIES} identities")
        return {creation.id: made.get(creation.id, full) for creation in creations}

    async def destroy(self, records: Mapping[str, Record]) -> Mapping[str, SetError]:
        kept = {id for id, record in records.items() if not record["mayDelete"]}
        await super().destroy({id: record for id, record in records.items() if id not in kept})
        return dict.fromkeys(kept, SetError("forbidden", "this identity belongs to the login"))


async def ensure_identities(account: Account) -> None:
    """Make the identities that the login has from the start, where they are missing."""
    records = account.user_records
    wanted = {digest_id("I", email.casefold()): email for email in account.own_addresses.identities()}
    async with records.lock:
        view = await records.look(IDENTITY.name, None)
        for id, email in wanted.items():
            if id not in view.by_id:  # one by one: the order in which they were created is that of a /get
                await records.write(IDENTITY.name, {id: {"name": "", "email": email, "mayDelete": False}})
        changed: dict[str, Record | None] = {}
        for id, record in view.by_id.items():  # an alias that was taken away leaves an identity that may go
            if record["mayDelete"] is (id in wanted):
                changed[id] = {**record, "mayDelete": id not in wanted}
        if changed:
            await records.write(IDENTITY.name, changed)


def _fault_of_addresses(given: Mapping[str, Any]) -> Faults:
    return {
        name: "has an item that is not an address"
        for name in ("replyTo", "bcc")
        if any(not is_address(item["email"]) for item in _items(given.get(name)))
    }


def _items(value: Any) -> Iterable[Mapping[str, Any]]:
    return value or ()


def register(registry: Registry) -> None:
    standard.register(
        registry,
        IdentitySource(),
        {"get": standard.get, "changes": standard.changes, "set": set_records},
    )
