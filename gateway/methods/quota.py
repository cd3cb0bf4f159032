"""Quota/get, /changes, /query, /queryChanges (RFC 9425 section 4).

Rule 1: types whose capability the request does not name in `using` are left out, and a Quota that is left without any
(section 4.1). All there are are the mail ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from gateway.account import quotas
from gateway.account.account import Account
from gateway.account.records import Changes
from gateway.account.user_records import Record, RecordsView
from gateway.jmap.capability import MAIL
from gateway.jmap.declare import DataType
from gateway.jmap.method import Arguments, Context, Registry
from gateway.jmap.objects.quota import QUOTA
from gateway.methods import standard, standard_query
from gateway.methods.standard_query import Rules
from gateway.methods.standard_records import RecordsSource


class QuotaView:
    """The records of one moment: to this request all of them, or none."""

    def __init__(self, view: RecordsView, *, is_shown: bool) -> None:
        self._view, self._is_shown = view, is_shown
        self.state = view.state

    def records(self, ids: Sequence[str] | None, *, at_most: int) -> Mapping[str, Record]:
        return self._view.records(ids, at_most=at_most) if self._is_shown else {}

    def changes(self, since: str, *, at_most: int) -> Changes:
        found = quotas.changes(self._view, since, at_most)
        return found if self._is_shown else replace(found, created=(), updated=(), destroyed=())


class QuotaSource:
    """The Quotas that a request with this `using` sees."""

    data_type: DataType = QUOTA
    getters: Mapping[str, Callable[[Record], Any]] = RecordsSource(QUOTA).getters
    tells_updated_properties = True
    rules: Rules[Record] = Rules(
        conditions={
            "name": lambda record, value: value in record["name"],
            "scope": lambda record, value: record["scope"] == value,
            "resourceType": lambda record, value: record["resourceType"] == value,
            "type": lambda record, value: value in record["types"],
        },
        sort_keys={
            "name": lambda record, fold: fold(record["name"]),
            "used": lambda record, fold: record["used"],
        },
        strings=frozenset({"name"}),
    )

    def __init__(self, using: frozenset[str]) -> None:
        self._sees_mail = MAIL in using

    @asynccontextmanager
    async def look(self, account: Account, ids: Sequence[str] | None = ()) -> AsyncIterator[QuotaView]:
        await account.backend.refresh_quotas()
        # All of them: there are a few, and /changes wants to see what it tells of.
        yield QuotaView(await account.user_records.look(QUOTA.name, None), is_shown=self._sees_mail)


Derived = Callable[[QuotaSource, Context, Arguments], Awaitable[Arguments]]


def register(registry: Registry) -> None:
    for verb, derived in {
        "get": standard.get,
        "changes": standard.changes,
        "query": standard_query.query,
        "queryChanges": standard_query.query_changes,
    }.items():
        registry.add(f"{QUOTA.name}/{verb}", QUOTA.capability, _seen_by_request(derived))


def _seen_by_request(derived: Derived) -> Callable[[Context, Arguments], Awaitable[Arguments]]:
    async def method(context: Context, arguments: Arguments) -> Arguments:
        return await derived(QuotaSource(context.using), context, arguments)

    return method
