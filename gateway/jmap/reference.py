"""References between the calls of one request: to results (RFC 8620 section 3.7) and to creation ids (section 5.3).

Rule 1: an argument named `#key` is a result reference, everywhere; a string `#key` is a creation id only where an Id
        is expected, which the method knows and nobody else: `#3b82f6` in a body is a colour.
Rule 2: what references add to a request counts as if the client had sent it. Without that, a call that refers twice to
        the call before it doubles the request, and 64 calls make it 2^64 times as large.
Rule 3: a resolved value is the response's own, not a copy. Methods change neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.jmap import pointer
from gateway.jmap.errors import MethodError
from gateway.jmap.method import Context
from gateway.jmap.strict_json import MAX_DEPTH

VALUE_OCTETS: Final = 4  # what a value counts beside the characters in it: "1," and up


class Results:
    """The responses of one request so far, as its later calls may refer to them."""

    __slots__ = ("_first", "_octets_left")

    def __init__(self, max_octets: int) -> None:
        self._first: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._octets_left = max_octets

    def add(self, name: str, arguments: Mapping[str, Any], call_id: str) -> None:
        """Remember a response; of several with one call id the first is the one referred to."""
        self._first.setdefault(call_id, (name, arguments))

    def resolve(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments with every `#key` replaced by the value it refers to, or raise MethodError."""
        for name in arguments:
            if name.startswith("#"):
                return self._resolved(arguments)
        return arguments

    def _resolved(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        for name in arguments:
            if name.startswith("#") and name[1:] in arguments:
                raise MethodError("invalidArguments", "an argument is given both in normal and in referenced form")
        return {
            name[1:] if name.startswith("#") else name: self._look_up(value) if name.startswith("#") else value
            for name, value in arguments.items()
        }

    def _look_up(self, reference: Any) -> Any:
        if type(reference) is not dict:
            raise _unresolved("the reference is not an object")
        result_of, name, path = reference.get("resultOf"), reference.get("name"), reference.get("path")
        if not (type(result_of) is type(name) is type(path) is str):
            raise _unresolved("a reference has the Strings resultOf, name and path")
        found = self._first.get(result_of)
        if found is None:
            raise _unresolved("no call before this one has the id in resultOf")
        if found[0] != name:
            raise _unresolved("the first response to the call in resultOf has another name")
        try:
            value = pointer.evaluate(pointer.parse(path), found[1])
        except pointer.PointerError as error:
            raise _unresolved(f"the path {error}") from None
        self._octets_left -= _weight(value, self._octets_left)
        return value


def resolve_id(context: Context, value: str) -> str:
    """Return the id that `#key` stands for, where an Id is expected.

    Without such a creation id the value stays as it is: `#` is in no id, so the record it names will not be found.
    """
    return context.created_ids.get(value[1:], value) if value.startswith("#") else value


def resolve_ids(context: Context, value: Any) -> Any:
    """Resolve every Id in the value of a property that refers to records: an Id, a list or a map keyed by them."""
    if type(value) is str:
        return resolve_id(context, value)
    if type(value) is list:
        return [resolve_id(context, item) if type(item) is str else item for item in value]
    if type(value) is dict:
        return {resolve_id(context, key): item for key, item in value.items()}
    return value


def _weight(value: Any, allowed: int) -> int:
    """Return about how many octets a value would have taken in the request; raise MethodError past `allowed`."""
    octets = VALUE_OCTETS
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if type(item) is str:
                octets += len(item)
            elif type(item) is dict:
                octets += sum(map(len, item)) + VALUE_OCTETS * len(item)
                below += item.values()
            elif type(item) is list or type(item) is tuple:
                octets += VALUE_OCTETS * len(item)
                below += item
            if octets > allowed:
                raise _unresolved("the request becomes larger than maxSizeRequest")
        if not below:
            return octets
        level = below
    raise _unresolved("the value is nested too deeply")


def _unresolved(fault: str) -> MethodError:
    return MethodError("invalidResultReference", fault)
