"""/copy of RFC 8620 section 5.4, derived from a declared type and its `CopySource`.

Rule 1: the copy is a creation in `accountId` whose properties are the original's, but for those that the client gives.
Rule 2: what is copied stays copied: the implicit /set that destroys the originals is a response of its own, and an
error of it is one too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from gateway.account.account import Account
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.method import Arguments, Context, Responses
from gateway.jmap.reference import resolve_id, resolve_ids
from gateway.methods.creations import UNRESOLVED, Faults, declared_property, has_reference, invalid
from gateway.methods.outcomes import Attempts, Outcomes
from gateway.methods.patch import normal
from gateway.methods.standard import account_of
from gateway.methods.standard_set import Call, SetSource, check_size, check_state, check_writable, set_records

R = TypeVar("R")

COPY: Mapping[str, Argument] = {
    "fromAccountId": Argument(types.is_id, required=True),
    "ifFromInState": Argument(types.nullable(types.is_string)),
    "accountId": Argument(types.is_id, required=True),
    "ifInState": Argument(types.nullable(types.is_string)),
    "create": Argument(types.map_of(types.is_id, types.is_object), required=True),
    "onSuccessDestroyOriginal": Argument(types.is_boolean, default=False),
    "destroyFromIfInState": Argument(types.nullable(types.is_string)),
}


@dataclass(frozen=True, slots=True)
class Copy(Generic[R]):
    """One record to copy. `properties` are those that the client gives, in place of the original's."""

    creation_id: str
    original_id: str
    original: R
    properties: Mapping[str, Any]


class Copies(Protocol[R]):
    """How one /copy writes records of one type."""

    def check_copy(self, copy: Copy[R]) -> Faults:
        """Return what is wrong, by property; may raise another SetError."""

    async def copy(self, copies: Sequence[Copy[R]]) -> Mapping[str, Arguments | SetError]:
        """Return for each creation id `id` and what else the server set."""


class CopySource(SetSource[R], Protocol[R]):
    """A type whose records can be copied between accounts."""

    @property
    def copy_properties(self) -> frozenset[str]:
        """What a client may give a copy that the original has otherwise."""

    def copies(self, call: Call, from_account: Account) -> Copies[R]:
        """Return how this call writes."""


async def copy_records(source: CopySource[R], context: Context, arguments: Arguments) -> Arguments | Responses:
    """Foo/copy."""
    checked = check_arguments(arguments, COPY)
    account = account_of(context, checked["accountId"], source.data_type.capability)
    origin = _from_account(source, context, checked["fromAccountId"])
    if origin.id == account.id:
        raise MethodError("invalidArguments", "fromAccountId and accountId are the same")
    check_size(context, checked["create"])
    check_writable(account)
    async with source.look(account) as view:
        old_state = view.state
    check_state(checked["ifInState"], old_state, account, source.data_type.name)
    outcomes, originals = await _copy(source, Call(context, account, checked), origin)
    response: Arguments = {
        "fromAccountId": origin.id,
        "accountId": account.id,
        "oldState": old_state,
        "newState": await source.state(account),
        "created": outcomes.done or None,
        "notCreated": outcomes.errors(),
    }
    destroy = list(dict.fromkeys(originals[key] for key in outcomes.done))
    if not checked["onSuccessDestroyOriginal"] or not destroy:
        return response
    name = source.data_type.name
    implicit = {"accountId": origin.id, "ifInState": checked["destroyFromIfInState"], "destroy": destroy}
    try:
        answer = (f"{name}/set", await set_records(source, context, implicit))
    except MethodError as error:
        answer = ("error", error.arguments())
    return Responses(((f"{name}/copy", response), answer))


def _from_account(source: CopySource[R], context: Context, account_id: str) -> Account:
    try:
        return account_of(context, account_id, source.data_type.capability)
    except MethodError as error:
        raise MethodError("fromA" + error.kind[1:]) from None  # fromAccountNotFound, fromAccountNotSupportedByMethod


async def _copy(source: CopySource[R], call: Call, origin: Account) -> tuple[Outcomes, Mapping[str, str]]:
    """Return what became of each creation, and the ids of the originals by creation id."""
    wanted: Mapping[str, Any] = call.arguments["create"]
    originals = {
        key: resolve_id(call.context, given["id"])
        for key, given in wanted.items()
        if types.is_id_or_reference(given.get("id")) is None
    }
    ids = list(dict.fromkeys(id for id in originals.values() if not id.startswith("#")))
    async with source.look(origin, ids) as view:
        check_state(call.arguments["ifFromInState"], view.state)
        records = view.records(ids, at_most=len(ids))
    writes, outcomes, copies = source.copies(call, origin), Outcomes(), dict[str, Copy[R]]()
    for key, given in wanted.items():
        try:
            if key in originals and originals[key] not in records:
                raise SetError("notFound", "there is no original with this id")
            properties, faults = _given(source, call.context, given)
            if key in originals:
                copies[key] = copy = Copy(key, originals[key], records[originals[key]], properties)
                faults |= writes.check_copy(copy)
            if faults:
                raise invalid(faults)
        except SetError as error:
            copies.pop(key, None)
            outcomes.add(key, error)
    if copies:
        answers = await Attempts().many(copies, writes.copy(list(copies.values())))
        for key in copies:
            outcome = answers[key]
            outcomes.add(key, outcome)
            if not isinstance(outcome, SetError):
                call.context.created_ids[key] = outcome["id"]
    return outcomes, originals


def _given(source: CopySource[R], context: Context, given: Mapping[str, Any]) -> tuple[dict[str, Any], Faults]:
    """Return the properties that the client gives, and what is wrong."""
    properties: dict[str, Any] = {}
    faults: Faults = {}
    for name, value in given.items():
        if name == "id":
            continue
        declared = declared_property(source.data_type, name, context.using)
        if declared is None or name not in source.copy_properties:
            faults[name] = "cannot be given to a copy"
        elif (fault := declared.check(value)) is not None:
            faults[name] = fault
        else:
            value = normal(declared, value, lambda whole: resolve_ids(context, whole))
            if declared.is_reference and has_reference(value):
                faults[name] = UNRESOLVED
            else:
                properties[name] = value
    if (fault := types.is_id_or_reference(given.get("id"))) is not None:
        faults["id"] = "is required" if "id" not in given else fault
    return properties, faults
