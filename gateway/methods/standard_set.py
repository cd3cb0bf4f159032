"""/set of RFC 8620 section 5.3, derived from a declared type and its `SetSource`.

Rule 1: nothing here knows a type. What a property allows stands in its `DataType`, how records are written in the
type's `Writes`.
Rule 2: creations first, in the order of their references; then updates; then destructions. A type gets as many objects
at once as can go together.
Rule 3: every object succeeds or fails alone, and the answer says which. What the upstream cannot do fails the call
only when nothing has been attempted yet; past that `serverPartialFail` is what it fails with.
Rule 4: `oldState` is of the look that the updates were checked against, `newState` of the index after the last write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from gateway.account.account import Account
from gateway.account.journal import STATE_TYPES
from gateway.account.unchanged import holds
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.declare import DataType
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.method import Arguments, Context
from gateway.jmap.reference import resolve_id, resolve_ids
from gateway.methods.creations import (
    UNRESOLVED,
    Creation,
    Faults,
    check_creation,
    declared_property,
    has_reference,
    invalid,
    own_references,
)
from gateway.methods.outcomes import Attempts, Outcomes, late
from gateway.methods.patch import Patch
from gateway.methods.standard import Source, account_of
from gateway.unavailable import Unavailable

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)
T = TypeVar("T")
K = TypeVar("K")

SET: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "ifInState": Argument(types.nullable(types.is_string)),
    "create": Argument(types.nullable(types.map_of(types.is_id, types.is_object))),
    "update": Argument(types.nullable(types.map_of(types.is_id_or_reference, types.is_object))),
    "destroy": Argument(types.nullable(types.is_ids_or_references)),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One /set, /copy or the like as its type sees it. `arguments` are all of them, the type's own included."""

    context: Context
    account: Account
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Update(Generic[R]):
    """One record to change. `changes` holds the whole new value of every property that is to differ."""

    id: str
    record: R
    changes: Mapping[str, Any]


class Writes(Protocol[R]):
    """How one /set writes records of one type; made anew for each call, so that it may remember what it looked up.

    A check returns what is wrong, by property, or raises the SetError of a more telling type. It sees only values that
    fit their declared types. Each of the writing methods takes many objects and answers for all of them; a SetError or
    MethodError that it raises is the answer for each.
    """

    async def current(self, record: R, names: Collection[str]) -> Mapping[str, Any]:
        """Return properties that the source has no getter for; one left out never equals what a patch gives."""

    def check_create(self, creation: Creation) -> Faults: ...

    def check_update(self, update: Update[R]) -> Faults: ...

    async def create(self, creations: Sequence[Creation]) -> Mapping[str, Arguments | SetError]:
        """Return for each creation id what the client learns: `id`, what the server set, defaults it filled in."""

    async def update(self, updates: Sequence[Update[R]]) -> Mapping[str, Arguments | SetError | None]:
        """Return by id the properties that changed otherwise than asked for; None or left out: none did."""

    async def destroy(self, records: Mapping[str, R]) -> Mapping[str, SetError]:
        """Return by id what could not be destroyed."""


@runtime_checkable
class TellsAlike(Protocol[R_contra]):
    """Writes of a type whose records come by the thousand and have a handful of values between them."""

    def alike(self, record: R_contra) -> Hashable:
        """Return what two records share to which the same patch does the same, as far as getters show them."""


class SetSource(Source[R], Protocol[R]):
    """Where the records of a type come from (`Source`), and how they are written."""

    @property
    def set_arguments(self) -> Mapping[str, Argument]:
        """The arguments that the type adds to /set."""

    async def state(self, account: Account) -> str:
        """Return the state as it is now; nobody else is asked."""

    def writes(self, call: Call) -> Writes[R]:
        """Return how this call writes."""


async def set_records(source: SetSource[R], context: Context, arguments: Arguments) -> Arguments:
    """Foo/set."""
    checked = check_arguments(arguments, {**SET, **source.set_arguments})
    account = account_of(context, checked["accountId"], source.data_type.capability)
    check_size(context, checked["create"], checked["update"], checked["destroy"])
    check_writable(account)
    return await _Setting(source, Call(context, account, checked)).run()


def check_size(context: Context, *objects: Collection[Any] | None) -> None:
    """Refuse a call with more objects than maxObjectsInSet."""
    if sum(len(one) for one in objects if one is not None) > context.limits.max_objects_in_set:
        raise MethodError("requestTooLarge", f"more than {context.limits.max_objects_in_set} objects")


def check_writable(account: Account) -> None:
    """Refuse to write to a read-only account (RFC 8620 section 3.6.2)."""
    if account.is_read_only:
        raise MethodError("accountReadOnly")


def check_state(asked: str | None, state: str, account: Account | None = None, type: str = "") -> None:
    """Refuse a call whose `ifInState` is of another time.

    With `account`, for a `type` that is in its index: not for what a first indexing has found since.
    """
    if asked is None or asked == state:
        return
    if account is not None and type in STATE_TYPES:
        with account.snapshot() as snapshot:
            if holds(snapshot, type, asked):
                return
    raise MethodError("stateMismatch")


class _Setting(Generic[R]):
    """One /set under way."""

    def __init__(self, source: SetSource[R], call: Call) -> None:
        self._source, self._call = source, call
        self._type: DataType = source.data_type
        self._writes = source.writes(call)
        self._alike = self._writes.alike if isinstance(self._writes, TellsAlike) else None
        self._attempts = Attempts()
        self._created, self._updated, self._destroyed = Outcomes(), Outcomes(), Outcomes()
        self._records: dict[str, R] = {}

    async def run(self) -> Arguments:
        try:
            return await self._run()
        except (MethodError, Unavailable) as error:
            if not self._attempts.has_written:
                raise
            raise MethodError("serverPartialFail", late(error).description) from error

    async def _run(self) -> Arguments:
        call = self._call
        updates: Mapping[str, Any] = call.arguments["update"] or {}
        destroys: Sequence[str] = list(dict.fromkeys(call.arguments["destroy"] or ()))
        old_state = await self._look([self._id(id) for id in (*updates, *destroys)])
        check_state(call.arguments["ifInState"], old_state, call.account, self._type.name)
        await self._create(call.arguments["create"] or {})
        # Records created a moment ago, by this call, may be named as well.
        if fresh := [id for key in (*updates, *destroys) if (id := self._id(key)) not in self._records and id != key]:
            await self._look(fresh)
        doomed = dict.fromkeys(self._id(key) for key in destroys)
        await self._update(updates, doomed)
        await self._destroy(doomed)
        return {
            "accountId": call.account.id,
            "oldState": old_state,
            "newState": await self._source.state(call.account),
            "created": self._created.done or None,
            "updated": self._updated.done or None,
            "destroyed": list(self._destroyed.done) or None,
            "notCreated": self._created.errors(),
            "notUpdated": self._updated.errors(),
            "notDestroyed": self._destroyed.errors(),
        }

    def _id(self, key: str) -> str:
        return resolve_id(self._call.context, key)

    async def _look(self, ids: Sequence[str]) -> str:
        wanted = list(dict.fromkeys(id for id in ids if not id.startswith("#")))
        async with self._source.look(self._call.account, wanted) as view:
            self._records.update(view.records(wanted, at_most=len(wanted)))
            return view.state

    # ------------------------------------------------------------ create

    async def _create(self, objects: Mapping[str, Any]) -> None:
        waits_for = {
            key: set().union(*own_references(self._type, given).values()) & objects.keys()
            for key, given in objects.items()
        }
        pending = dict(objects)
        while pending:
            ready = [key for key in pending if waits_for[key].isdisjoint(pending)]
            if not ready:  # they wait for one another
                for key, given in pending.items():
                    names = [name for name, keys in own_references(self._type, given).items() if keys & pending.keys()]
                    self._created.add(key, invalid(dict.fromkeys(names, "refers to itself in the end")))
                return
            await self._create_together({key: pending.pop(key) for key in ready})

    async def _create_together(self, objects: Mapping[str, Any]) -> None:
        creations: list[Creation] = []
        for key, given in objects.items():
            try:
                creation, faults = check_creation(
                    self._type, key, given, self._call.context.using, self._resolve_in_create
                )
                faults |= self._writes.check_create(creation)
                if faults:
                    raise invalid(faults)
            except SetError as error:
                self._created.add(key, error)
            else:
                creations.append(creation)
        if not creations:
            return
        keys = [creation.id for creation in creations]
        answers = await self._attempts.many(keys, self._writes.create(creations))
        for key in keys:
            outcome = answers[key]
            self._created.add(key, outcome)
            if not isinstance(outcome, SetError):
                self._call.context.created_ids[key] = outcome["id"]

    def _resolve_in_create(self, name: str, value: Any) -> Any:
        if self._type.properties[name].is_own_reference and any(
            key in self._created.failed for key in own_references(self._type, {name: value})[name]
        ):
            return value  # an older record of that creation id is not what is meant
        return resolve_ids(self._call.context, value)

    # ------------------------------------------------------------ update

    async def _update(self, patches: Mapping[str, Any], doomed: Collection[str]) -> None:
        updates: dict[str, Update[R]] = {}
        seen: dict[Hashable, Update[R]] = {}
        for key, patch in patches.items():
            id = self._id(key)
            try:
                if id in updates or id in self._updated.done:
                    raise SetError("invalidPatch", "the record is updated twice")
                if id not in self._records:
                    raise SetError("notFound")
                if id in doomed:
                    raise SetError("willDestroy")
                update = await self._update_of(id, self._records[id], patch, seen)
            except SetError as error:
                self._updated.add(id, error)
            else:
                if update.changes:
                    updates[id] = update
                else:
                    self._updated.add(id, None)
        if not updates:
            return
        answers = await self._attempts.many(updates, self._writes.update(list(updates.values())))
        for id in updates:
            self._updated.add(id, answers.get(id))

    async def _update_of(
        self, id: str, record: R, given: Mapping[str, Any], seen: dict[Hashable, Update[R]]
    ) -> Update[R]:
        """Return what a PatchObject asks for. A thousand Emails that are marked as read get one answer, or few."""
        if self._alike is None or any(type(value) in (dict, list) for value in given.values()):
            return await self._patched(id, record, given)
        key = (self._alike(record), *[(name, type(value), value) for name, value in given.items()])
        if (known := seen.get(key)) is not None:
            return Update(id, record, known.changes)
        update = await self._patched(id, record, given)
        if all(name.partition("/")[0] in self._source.getters for name in given):
            seen[key] = update
        return update

    async def _patched(self, id: str, record: R, given: Mapping[str, Any]) -> Update[R]:
        """Return what a PatchObject asks for; raise `invalidPatch`, `invalidProperties`."""
        context, getters = self._call.context, self._source.getters
        patch = Patch.parse(given, self._type, lambda value: resolve_ids(context, value))
        unread = [name for name in patch.parts if name != "id" and name not in getters]
        loaded = await self._writes.current(record, unread) if unread else {}
        faults: Faults = {}
        changes: dict[str, Any] = {}
        for name in patch.parts:
            declared = declared_property(self._type, name, context.using)
            is_open = self._type.open_prefix is not None and name.startswith(self._type.open_prefix)
            if declared is None and not is_open:
                faults[name] = f"is not a property of {self._type.name}"
                continue
            is_known = name == "id" or name in getters or name in loaded
            now = id if name == "id" else getters[name](record) if name in getters else loaded.get(name)
            if declared is None:
                value = patch.parts[name].get((), patch)
                if not is_known or value != now:
                    faults[name] = "cannot be changed"
                continue
            value = patch.value(name, declared, now)
            if is_known and value == now:
                continue
            if declared.is_server_set or declared.is_immutable:
                faults[name] = "is set by the server alone" if declared.is_server_set else "cannot be changed"
            elif declared.is_reference and has_reference(value):
                faults[name] = UNRESOLVED
            elif (fault := declared.check(value)) is not None:
                faults[name] = fault
            else:
                changes[name] = value
        update = Update(id, record, changes)
        faults |= self._writes.check_update(update)
        if faults:
            raise invalid(faults)
        return update

    # ------------------------------------------------------------ destroy

    async def _destroy(self, ids: Iterable[str]) -> None:
        records: dict[str, R] = {}
        for id in ids:
            if id in self._records:
                records[id] = self._records[id]
            else:
                self._destroyed.add(id, SetError("notFound"))
        if not records:
            return
        work: Awaitable[Mapping[str, SetError]] = self._writes.destroy(records)
        failed = await self._attempts.many(records, work)
        for id in records:
            self._destroyed.add(id, failed.get(id))
