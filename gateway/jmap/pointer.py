"""JSON Pointer (RFC 6901), with the `*` that maps through an array (RFC 8620 section 3.7).

Rule 1: `*` is special on an array only; an object may have a member of that name.
Rule 2: evaluation touches each value at most once per `*`, and no more than MAX_VALUES in all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

# A page of the largest /get, threaded: 1,000 Threads of 100 Emails. Past this a reference costs more than it saves.
MAX_VALUES: Final = 100_000

_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")  # section 4: no leading zeros; no array has more than ten digits of items
_BAD_ESCAPE = re.compile(r"~(?![01])")


class PointerError(ValueError):
    """The pointer is malformed, or nothing is where it points. The message is a phrase for an error's description."""


def parse(pointer: str) -> list[str]:
    """Return the reference tokens of a pointer, unescaped; "" has none and points at the whole value."""
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise PointerError("does not begin with /")
    if "~" not in pointer:
        return pointer[1:].split("/")
    if _BAD_ESCAPE.search(pointer):
        raise PointerError("has a ~ that is neither ~0 nor ~1")
    # ~1 before ~0, so that ~01 becomes ~1 and not / (section 4).
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def escape(token: str) -> str:
    """Return a member's name as a reference token."""
    return token.replace("~", "~0").replace("/", "~1")


def evaluate(tokens: Sequence[str], value: Any, *, max_values: int = MAX_VALUES) -> Any:
    """Return what the tokens point at, following RFC 6901 and, on arrays, `*`."""
    for position, token in enumerate(tokens):
        if token == "*" and type(value) is list:
            return _map(tokens[position + 1 :], value, max_values)
        value = _step(token, value)
    return value


def _step(token: str, value: Any) -> Any:
    if type(value) is dict:
        if token in value:
            return value[token]
    elif type(value) is list and _INDEX.fullmatch(token):
        index = int(token)
        if index < len(value):
            return value[index]
    raise PointerError("points at nothing")


def _map(tokens: Sequence[str], items: list[Any], max_values: int) -> list[Any]:
    """Apply the rest of a pointer to every item; where the result is an array, its items are taken instead.

    A `*` further on gives an array for each item, so that one level of results is joined at every `*` on the way back.
    """
    if len(items) > max_values:
        raise PointerError("points at too many values")
    results: list[Any] = []
    for item in items:
        # What the `*` further on give is counted against what is left.
        result = evaluate(tokens, item, max_values=max_values - len(results)) if tokens else item
        if type(result) is list:
            results += result
        else:
            results.append(result)
        if len(results) > max_values:
            raise PointerError("points at too many values")
    return results
