"""Principal and ShareNotification: /get, /changes, /set, /query, /queryChanges (RFC 9670 sections 2 and 3).

Rule 1: nothing of a Principal can be changed here: that is the mail server's business. A ShareNotification can be
destroyed, and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gateway.account.user_records import Record
from gateway.jmap.declare import DataType
from gateway.jmap.errors import SetError
from gateway.jmap.method import Arguments, Context, Registry
from gateway.jmap.objects.principal import PRINCIPAL, SHARE_NOTIFICATION
from gateway.jmap.session import account_object
from gateway.jmap.types import date_to_seconds
from gateway.methods import standard, standard_query
from gateway.methods.creations import Creation, Faults
from gateway.methods.standard_query import Rules
from gateway.methods.standard_records import RecordsSetSource, RecordWrites
from gateway.methods.standard_set import Call, Update, set_records


class PrincipalSource(RecordsSetSource):
    """The Principals as one request sees them: with the accounts that its caller has."""

    rules: Rules[Record] = Rules(
        conditions={
            "accountIds": lambda record, ids: not set(record["accountIds"]).isdisjoint(ids),
            "email": lambda record, text: text in (record["email"] or ""),
            "name": lambda record, text: text in record["name"],
            "text": lambda record, text: text in record["name"] or text in (record["email"] or ""),
            "type": lambda record, type: record["type"] == type,
            "timeZone": lambda record, zone: False,  # a mail server knows of none
        },
        sort_keys={"name": lambda record, fold: fold(record["name"])},
        strings=frozenset({"name"}),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(PRINCIPAL)
        self.getters = {**self.getters, "accounts": lambda record: _accounts(context, record["accountIds"])}

    def writes(self, call: Call) -> FixedWrites:
        return FixedWrites(PRINCIPAL, call)


class NotificationSource(RecordsSetSource):
    """The ShareNotifications."""

    rules: Rules[Record] = Rules(
        conditions={
            "after": lambda record, date: date is None or _created(record) >= date_to_seconds(date),
            "before": lambda record, date: date is None or _created(record) < date_to_seconds(date),
            "objectType": lambda record, type: record["objectType"] == type,
            "objectAccountId": lambda record, id: record["objectAccountId"] == id,
        },
        sort_keys={"created": lambda record, fold: _created(record)},
    )

    def __init__(self) -> None:
        super().__init__(SHARE_NOTIFICATION)

    def writes(self, call: Call) -> NotificationWrites:
        return NotificationWrites(SHARE_NOTIFICATION, call)


class NotificationWrites(RecordWrites):
    """The writes of one ShareNotification/set."""

    def check_create(self, creation: Creation) -> Faults:
        raise _forbidden(self.data_type)

    def check_update(self, update: Update[Record]) -> Faults:
        raise _forbidden(self.data_type)


class FixedWrites(NotificationWrites):
    """The writes of one Principal/set."""

    async def destroy(self, records: Mapping[str, Record]) -> Mapping[str, SetError]:
        return dict.fromkeys(records, _forbidden(self.data_type))


def _forbidden(data_type: DataType) -> SetError:
    return SetError("forbidden", f"a {data_type.name} is what the mail server says")


def _accounts(context: Context, ids: Sequence[str]) -> Arguments | None:
    return {id: account_object(context.accounts[id]) for id in ids if id in context.accounts} or None


def _created(record: Record) -> float:
    return date_to_seconds(record["created"])


def register(registry: Registry) -> None:
    notifications = NotificationSource()
    derived: Mapping[str, Callable[[Any, Context, Arguments], Awaitable[Arguments]]] = {
        "get": standard.get,
        "changes": standard.changes,
        "set": set_records,
        "query": standard_query.query,
        "queryChanges": standard_query.query_changes,
    }
    standard.register(registry, notifications, derived)
    for verb, method in derived.items():
        registry.add(f"{PRINCIPAL.name}/{verb}", PRINCIPAL.capability, _of_request(method))


def _of_request(
    derived: Callable[[Any, Context, Arguments], Awaitable[Arguments]],
) -> Callable[[Context, Arguments], Awaitable[Arguments]]:
    async def method(context: Context, arguments: Arguments) -> Arguments:
        return await derived(PrincipalSource(context), context, arguments)

    return method
