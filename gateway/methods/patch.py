"""A PatchObject of RFC 8620 section 5.3: parsed and checked whole, then applied to the values of one record. Pure.

Rule 1: a pointer goes into objects only, never into an array; what is above its last token is there already; no
pointer is a prefix of another. Any breach is `invalidPatch`, before anything is changed.
Rule 2: keys are brought into one form first (`fold_key`, creation ids), so that two that mean the same are seen.
Rule 3: null gives a property its default, and takes a member out of an object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.jmap import pointer
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.errors import SetError

Tokens = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Patch:
    """What a PatchObject sets, by property: the tokens below the property, and the value."""

    parts: Mapping[str, Mapping[Tokens, Any]]

    @classmethod
    def parse(cls, patch: Mapping[str, Any], data_type: DataType, resolve: Callable[[Any], Any]) -> Patch:
        """Read a PatchObject; raise `invalidPatch`. `resolve` replaces the creation ids in a reference's value."""
        paths: dict[Tokens, Any] = {}
        for key, value in patch.items():
            try:
                tokens = tuple(pointer.parse("/" + key))
            except pointer.PointerError as error:
                raise SetError("invalidPatch", f"a pointer {error}") from None
            declared = data_type.properties.get(tokens[0])
            if declared is not None:
                if len(tokens) > 1:
                    tokens = (tokens[0], *_key(declared, tokens[1], resolve), *tokens[2:])
                else:
                    value = normal(declared, value, resolve)
            if tokens in paths:
                raise SetError("invalidPatch", "two pointers point at the same place")
            paths[tokens] = value
        _check_prefixes(paths)
        parts: dict[str, dict[Tokens, Any]] = {}
        for tokens, value in paths.items():
            parts.setdefault(tokens[0], {})[tokens[1:]] = value
        return cls(parts)

    def value(self, name: str, declared: Property, current: Any) -> Any:
        """Return what the patch makes of a property whose value is `current`; raise `invalidPatch`."""
        part = self.parts[name]
        if () in part:
            value = part[()]
            return declared.default if value is None and declared.default is not REQUIRED else value
        value = current
        for tokens, item in part.items():
            value = _put(value, tokens, item)
        return value


def normal(declared: Property, value: Any, resolve: Callable[[Any], Any]) -> Any:
    """Return a property's value with its keys in one form and creation ids replaced, where they may stand."""
    if declared.fold_key is not None and type(value) is dict:
        value = {declared.fold_key(key): item for key, item in value.items()}
    return resolve(value) if declared.is_reference else value


def _key(declared: Property, key: str, resolve: Callable[[Any], Any]) -> Tokens:
    if declared.is_map:
        if declared.fold_key is not None:
            key = declared.fold_key(key)
        if declared.is_reference:
            key = resolve(key)
    return (key,)


def _check_prefixes(paths: Mapping[Tokens, Any]) -> None:
    last: Tokens | None = None
    for tokens in sorted(paths):  # a prefix comes right before what it is a prefix of
        if last is not None and tokens[: len(last)] == last:
            raise SetError("invalidPatch", "one pointer is a prefix of another")
        last = tokens


def _put(value: Any, tokens: Tokens, item: Any) -> Any:
    """Return a copy of `value` with one member set, or taken out by null."""
    if type(value) is list:
        raise SetError("invalidPatch", "a pointer goes into an array")
    if type(value) is not dict:
        raise SetError("invalidPatch", "a pointer goes into a value that is no object")
    copied = root = dict(value)
    for token in tokens[:-1]:
        if token not in copied:
            raise SetError("invalidPatch", "a pointer goes into an object that is not there")
        below = copied[token]
        if type(below) is not dict:
            raise SetError("invalidPatch", "a pointer goes into an array or a value that is no object")
        copied[token] = below = dict(below)
        copied = below
    if item is None:
        copied.pop(tokens[-1], None)
    else:
        copied[tokens[-1]] = item
    return root
