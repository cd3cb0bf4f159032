"""/query and /queryChanges of RFC 8620 sections 5.5 and 5.6 for types small enough to be sorted in memory.

Rule 1: the query state is the state of the type: what changed since then is asked of /changes, so the answer is exact.
Rule 2: equal records keep the order of the source, so a sort is stable between calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from gateway.account.account import Account
from gateway.account.query import DEFAULT_COLLATION, Comparator
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.errors import MethodError
from gateway.jmap.method import Arguments, Context
from gateway.jmap.reference import resolve_id
from gateway.message import subject
from gateway.methods.criteria import QUERY, QUERY_CHANGES, fold_filter, parse_sort
from gateway.methods.standard import Source, View, account_of

R = TypeVar("R")
Predicate = Callable[[R], bool]
Sort = Callable[[list[str]], list[str]]

# A type with more records than this has its own index; it keeps one query from holding an account's whole history.
MAX_RECORDS = 100_000

FOLDS: Mapping[str, Callable[[str], Any]] = {
    "i;ascii-casemap": subject.ascii_casemap,
    "i;unicode-casemap": subject.unicode_casemap,
    "i;octet": str.encode,
}


@dataclass(frozen=True, slots=True)
class Rules(Generic[R]):
    """How the records of one type are filtered and sorted, beside what its `DataType` declares."""

    conditions: Mapping[str, Callable[[R, Any], bool]]
    sort_keys: Mapping[str, Callable[[R, Callable[[str], Any]], Any]]  # the second argument folds a String
    strings: frozenset[str] = frozenset()  # the sort properties that a collation applies to
    arguments: Mapping[str, Argument] = field(default_factory=dict)  # what /query takes beside the standard ones
    # The type's own ways to arrange the matches (Mailbox: as a tree); None: by filter and sort alone.
    arrange: Callable[[Mapping[str, R], Predicate[R], Sort, Arguments], list[str]] | None = None
    # The ids whose place may have moved because these changed; None: only these themselves.
    affected: Callable[[Mapping[str, R], set[str], Arguments], set[str]] | None = None


class QuerySource(Source[R], Protocol[R]):
    @property
    def rules(self) -> Rules[R]: ...


async def query(source: QuerySource[R], context: Context, arguments: Arguments) -> Arguments:
    """Foo/query (RFC 8620 section 5.5)."""
    checked = check_arguments(arguments, {**QUERY, **source.rules.arguments})
    plan = _Plan(source, context, checked)
    async with source.look(plan.account, None) as view:
        ids, state = plan.run(view), view.state
    if checked["anchor"] is not None:
        anchor = resolve_id(context, checked["anchor"])
        if anchor not in ids:
            raise MethodError("anchorNotFound")
        start = max(0, ids.index(anchor) + checked["anchorOffset"])
    else:
        start = checked["position"]
        if start < 0:
            start = max(0, start + len(ids))
    end = len(ids) if checked["limit"] is None else start + checked["limit"]
    response: Arguments = {
        "accountId": plan.account.id,
        "queryState": state,
        "canCalculateChanges": "queryChanges" in source.data_type.methods,
        "position": start,
        "ids": ids[start:end],
    }
    if checked["calculateTotal"]:
        response["total"] = len(ids)
    return response


async def query_changes(source: QuerySource[R], context: Context, arguments: Arguments) -> Arguments:
    """Foo/queryChanges (RFC 8620 section 5.6)."""
    checked = check_arguments(arguments, {**QUERY_CHANGES, **source.rules.arguments})
    plan, since = _Plan(source, context, checked), checked["sinceQueryState"]
    async with source.look(plan.account, None) as view:
        changed = view.changes(since, at_most=MAX_RECORDS)
        ids, state = plan.run(view), view.state
    if changed.has_more:
        raise MethodError("cannotCalculateChanges")
    moved = {*changed.created, *changed.destroyed}
    if changed.updated_properties is None or plan.used & set(changed.updated_properties):
        moved.update(changed.updated)
    if source.rules.affected is not None:
        moved = source.rules.affected(plan.records, moved, checked)
    # One that was created since was not in the old result: nobody has it to remove.
    removed = sorted(moved - set(changed.created))
    added = [{"id": id, "index": index} for index, id in enumerate(ids) if id in moved]
    if checked["maxChanges"] is not None and len(removed) + len(added) > checked["maxChanges"]:
        raise MethodError("tooManyChanges")
    response: Arguments = {
        "accountId": plan.account.id,
        "oldQueryState": since,
        "newQueryState": state,
        "removed": removed,
        "added": added,
    }
    if checked["calculateTotal"]:
        response["total"] = len(ids)
    return response


class _Plan(Generic[R]):
    """A query whose arguments are found good, ready to run on a view."""

    def __init__(self, source: QuerySource[R], context: Context, checked: Arguments) -> None:
        declared, rules = source.data_type, source.rules
        self.account: Account = account_of(context, checked["accountId"], declared.capability)
        self.records: Mapping[str, R] = {}
        self.used: set[str] = set()  # the properties that filter and sort look at
        self._rules, self._arguments = rules, checked
        # A type may sort by more than its RFC demands.
        sortable = declared.sort_properties | rules.sort_keys.keys()
        self._orders = parse_sort(checked["sort"], sortable, strings=rules.strings)
        self.used.update(order.property for order in self._orders)
        self._matches: Predicate[R] = _everything

        def condition(wanted: Mapping[str, Any]) -> Predicate[R]:
            self.used.update(wanted)
            tests = [(rules.conditions[name], value) for name, value in wanted.items()]
            return lambda record: all(test(record, value) for test, value in tests)

        if checked["filter"] is not None:
            checks = declared.filter_conditions
            self._matches = fold_filter(checked["filter"], checks, condition=condition, operator=_combined)

    def run(self, view: View[R]) -> list[str]:
        """Return the ids of the whole result in order."""
        self.records = view.records(None, at_most=MAX_RECORDS)
        if self._rules.arrange is not None:
            return self._rules.arrange(self.records, self._matches, self._sort, self._arguments)
        return self._sort([id for id, record in self.records.items() if self._matches(record)])

    def _sort(self, ids: list[str]) -> list[str]:
        # Least important first: Python's sort keeps the order of equals, reversed or not.
        for order in reversed(self._orders):
            ids = self._sorted_by(order, ids)
        return ids

    def _sorted_by(self, order: Comparator, ids: Sequence[str]) -> list[str]:
        rules = self._rules
        # Where no String is compared a collation is ignored, even an unknown one.
        collation = order.collation if order.property in rules.strings else None
        fold, key = FOLDS[collation or DEFAULT_COLLATION], rules.sort_keys[order.property]
        return sorted(ids, key=lambda id: key(self.records[id], fold), reverse=not order.is_ascending)


def _everything(record: Any) -> bool:
    return True


def _combined(operator: str, parts: list[Predicate[R]]) -> Predicate[R]:
    if operator == "AND":
        return lambda record: all(part(record) for part in parts)
    if operator == "OR":
        return lambda record: any(part(record) for part in parts)
    return lambda record: not any(part(record) for part in parts)
