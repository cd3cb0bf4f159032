"""/get and /changes of RFC 8620 sections 5.1 and 5.2, derived from a declared type and its source.

Rule 1: `state` and the records of a response come from one view of the source.
Rule 2: nothing here knows a type. What a type adds stands in its `DataType` or its `Source`.
Rule 3: arguments are checked whole before anything is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol, TypeVar

from gateway.account.account import Account
from gateway.account.records import Changes
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.declare import DataType
from gateway.jmap.errors import MethodError
from gateway.jmap.method import Arguments, Context, Registry
from gateway.jmap.reference import resolve_id

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class View(Protocol[R_co]):
    """One consistent look at all records of one type. Valid, and free of awaits, inside its `async with`."""

    @property
    def state(self) -> str: ...

    def records(self, ids: Sequence[str] | None, *, at_most: int) -> Mapping[str, R_co]:
        """Return the records with these ids, those missing left out; None: all, or any `at_most` + 1 of them."""

    def changes(self, since: str, *, at_most: int) -> Changes:
        """Return what changed since a state, at most so many ids."""


class Source(Protocol[R]):
    """Where the records of one type come from, and how a record shows its properties."""

    @property
    def data_type(self) -> DataType: ...

    @property
    def getters(self) -> Mapping[str, Callable[[R], Any]]:
        """How each declared property but `id` is read off a record."""

    @property
    def tells_updated_properties(self) -> bool:
        """Whether /changes answers `updatedProperties` (RFC 8621 section 2.2)."""

    def look(self, account: Account, ids: Sequence[str] | None = ()) -> AbstractAsyncContextManager[View[R]]:
        """Open a view that is up to date, and knows these ids if anybody does; None: all there are."""


GET: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "ids": Argument(types.nullable(types.is_ids_or_references)),
    "properties": Argument(types.nullable(types.is_strings)),
}
CHANGES: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "sinceState": Argument(types.is_string, required=True),
    "maxChanges": Argument(types.nullable(types.is_positive_int)),
}


def account_of(context: Context, account_id: str, capability: str) -> Account:
    """Return the account a method call names, if the caller has it and it offers the capability."""
    account: Account | None = context.accounts.get(account_id)
    if account is None:
        raise MethodError("accountNotFound")
    if capability not in account.capabilities:
        raise MethodError("accountNotSupportedByMethod")
    return account


def requested_ids(context: Context, ids: Sequence[str] | None, *, argument: str = "ids") -> list[str] | None:
    """Return the ids of a /get, each once, creation ids resolved."""
    if ids is None:
        return None
    # Before duplicates go: what is counted is what the client sent.
    if len(ids) > context.limits.max_objects_in_get:
        raise too_large(context, argument)
    return list(dict.fromkeys([resolve_id(context, id) for id in ids] if context.created_ids else ids))


def too_large(context: Context, argument: str) -> MethodError:
    return MethodError("requestTooLarge", f"{argument}: more than {context.limits.max_objects_in_get} objects")


def requested_properties(data_type: DataType, names: Sequence[str] | None, using: frozenset[str]) -> tuple[str, ...]:
    """Return the properties a /get answers with, `id` first whether asked for or not."""
    if names is None:
        names = data_type.default_properties()
    else:
        for name in names:
            declared = data_type.properties.get(name)
            if declared is None or (declared.capability is not None and declared.capability not in using):
                raise MethodError("invalidArguments", f"properties: {data_type.name} has no property {name!r:.80}")
    return tuple(dict.fromkeys(["id", *names]))


async def get(source: Source[R], context: Context, arguments: Arguments) -> Arguments:
    """Foo/get (RFC 8620 section 5.1)."""
    checked = check_arguments(arguments, GET)
    account = account_of(context, checked["accountId"], source.data_type.capability)
    names = requested_properties(source.data_type, checked["properties"], context.using)
    ids = requested_ids(context, checked["ids"])
    at_most = context.limits.max_objects_in_get
    async with source.look(account, ids) as view:
        state, records = view.state, view.records(ids, at_most=at_most)
    if ids is None and len(records) > at_most:
        raise too_large(context, "ids")
    columns = [(name, source.getters[name]) for name in names if name != "id"]
    return {
        "accountId": account.id,
        "state": state,
        "list": [{"id": id, **{name: of(record) for name, of in columns}} for id, record in records.items()],
        "notFound": [] if ids is None else [id for id in ids if id not in records],
    }


async def changes(source: Source[R], context: Context, arguments: Arguments) -> Arguments:
    """Foo/changes (RFC 8620 section 5.2)."""
    checked = check_arguments(arguments, CHANGES)
    account = account_of(context, checked["accountId"], source.data_type.capability)
    # Never more than one /get may ask for: clients chain /changes to /get by reference.
    at_most = min(context.limits.max_objects_in_get, checked["maxChanges"] or types.MAX_INT)
    async with source.look(account) as view:
        found = view.changes(checked["sinceState"], at_most=at_most)
    response: Arguments = {
        "accountId": account.id,
        "oldState": checked["sinceState"],
        "newState": found.new_state,
        "hasMoreChanges": found.has_more,
        "created": list(found.created),
        "updated": list(found.updated),
        "destroyed": list(found.destroyed),
    }
    if source.tells_updated_properties:
        told = found.updated_properties
        response["updatedProperties"] = None if told is None else list(told)
    return response


Derived = Callable[[Any, Context, Arguments], Awaitable[Arguments]]


def register(registry: Registry, source: Source[Any], methods: Mapping[str, Derived]) -> None:
    """Register the methods of a type: those given, by their last word ("get"), each called with the source first."""
    declared = source.data_type
    if missing := declared.methods - DEFERRED - methods.keys():
        raise ValueError(f"{declared.name} declares {sorted(missing)} and nothing derives them")
    for verb, derived in methods.items():
        registry.add(f"{declared.name}/{verb}", declared.capability, partial(derived, source))


# Declared already, derived when writing comes.
DEFERRED = frozenset({"set", "copy", "import", "parse"})
