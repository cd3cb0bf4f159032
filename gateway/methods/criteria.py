"""Filter and sort of a /query as the client writes them (RFC 8620 section 5.5), checked against the declared type.

Rule 1: a value of the wrong type is `invalidArguments`; a well-formed condition, property or collation that is not
known is `unsupportedFilter` or `unsupportedSort`.
Rule 2: a filter is folded, not kept: each type says what a condition and an operator become.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gateway.account.query import COLLATIONS, MAX_COMPARATORS, MAX_CONDITIONS, MAX_DEPTH, Comparator
from gateway.jmap import types
from gateway.jmap.arguments import Argument
from gateway.jmap.errors import MethodError

T = TypeVar("T")
Checks = Mapping[str, types.Check]

# What /query and /queryChanges both take.
_BOTH: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "filter": Argument(types.nullable(types.is_object)),
    "sort": Argument(types.nullable(types.list_of(types.is_object))),
    "calculateTotal": Argument(types.is_boolean, default=False),
}
QUERY: Mapping[str, Argument] = {
    **_BOTH,
    "position": Argument(types.is_int, default=0),
    "anchor": Argument(types.nullable(types.is_id_or_reference)),
    "anchorOffset": Argument(types.is_int, default=0),
    "limit": Argument(types.nullable(types.is_unsigned_int)),
}
QUERY_CHANGES: Mapping[str, Argument] = {
    **_BOTH,
    "sinceQueryState": Argument(types.is_string, required=True),
    "maxChanges": Argument(types.nullable(types.is_unsigned_int)),
    "upToId": Argument(types.nullable(types.is_id_or_reference)),
}


def fold_filter(
    filter: Mapping[str, Any],
    checks: Checks,
    *,
    condition: Callable[[Mapping[str, Any]], T],
    operator: Callable[[str, list[T]], T],
) -> T:
    """Turn a filter into what `condition(its properties)` and `operator("AND" | "OR" | "NOT", children)` make of it."""
    seen = 0

    def fold(node: Any, depth: int) -> T:
        nonlocal seen
        seen += 1
        if not isinstance(node, dict):
            raise MethodError("invalidArguments", "filter: a condition must be an object")
        if depth > MAX_DEPTH or seen > MAX_CONDITIONS:
            raise MethodError("unsupportedFilter", "filter: too deep or too large")
        if "operator" not in node:
            _check_condition(node, checks)
            return condition(node)
        if node["operator"] not in ("AND", "OR", "NOT"):
            raise MethodError("invalidArguments", "filter: operator must be AND, OR or NOT")
        if not isinstance(node.get("conditions"), list) or len(node) > 2:
            raise MethodError("invalidArguments", "filter: an operator has exactly an operator and a list conditions")
        return operator(node["operator"], [fold(child, depth + 1) for child in node["conditions"]])

    return fold(filter, 1)


def _check_condition(condition: Mapping[str, Any], checks: Checks) -> None:
    for name, value in condition.items():
        check = checks.get(name)
        if check is None:
            raise MethodError("unsupportedFilter", f"filter: no condition {name!r:.80}")
        if (wrong := check(value)) is not None:
            raise MethodError("invalidArguments", f"filter: {name} {wrong}")


def parse_sort(
    sort: Sequence[Mapping[str, Any]] | None,
    sortable: frozenset[str],
    *,
    strings: frozenset[str],
    with_keyword: frozenset[str] = frozenset(),
) -> tuple[Comparator, ...]:
    """Check the comparators of a sort. A collation counts for `strings` only; `with_keyword` must name a keyword."""
    if sort is None:
        return ()
    if len(sort) > MAX_COMPARATORS:
        raise MethodError("unsupportedSort", f"sort: more than {MAX_COMPARATORS} comparators")
    parsed = tuple(_comparator(comparator) for comparator in sort)
    for comparator in parsed:
        name, collation = comparator.property, comparator.collation
        if name not in sortable:
            raise MethodError("unsupportedSort", f"sort: no sorting by {name!r:.80}")
        if name in strings and collation is not None and collation not in COLLATIONS:
            raise MethodError("unsupportedSort", f"sort: no collation {collation!r:.80}")
        if name in with_keyword and comparator.keyword is None:
            raise MethodError("invalidArguments", f"sort: {name} needs a keyword")
    return parsed


def _comparator(given: Mapping[str, Any]) -> Comparator:
    # What else a comparator holds is passed over: jmapc writes the arguments of the query into each of them
    # ({"property": "sentAt", "isAscending": false, "anchorOffset": 0, "calculateTotal": false, "position": 0}).
    name, is_ascending = given.get("property"), given.get("isAscending", True)
    collation, keyword = given.get("collation"), given.get("keyword")
    if not isinstance(name, str) or not isinstance(is_ascending, bool):
        raise MethodError("invalidArguments", "sort: property must be a String, isAscending a Boolean")
    # Clients send `"collation": null` for the default.
    if not isinstance(collation, str | None) or not isinstance(keyword, str | None):
        raise MethodError("invalidArguments", "sort: collation and keyword must be Strings")
    return Comparator(name, is_ascending, collation, keyword)
