"""PatchObject (RFC 8620 section 5.3)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.errors import SetError
from gateway.jmap.types import is_any, is_string
from gateway.methods.patch import Patch

TYPE = DataType(
    name="Thing",
    capability="x",
    properties={
        "name": Property(is_string, default=REQUIRED),
        "note": Property(is_any, default="none"),
        "tags": Property(is_any, default={}, is_map=True, fold_key=str.lower),
        "boxes": Property(is_any, is_map=True, is_reference=True),
        "list": Property(is_any),
    },
)
NOW: dict[str, Any] = {
    "name": "a",
    "note": {"a": {"b": 1}, "l": [1, {"x": 1}], "n": None, "a/b": 1, "c~d": 2},
    "tags": {"one": True},
    "boxes": {"B1": True},
    "list": [1, 2],
}


def resolve(value: Any) -> Any:
    if isinstance(value, dict):
        return {resolve(key): item for key, item in value.items()}
    return "B9" if value == "#new" else value


def patched(patch: dict[str, Any]) -> dict[str, Any]:
    parsed = Patch.parse(patch, TYPE, resolve)
    return {name: parsed.value(name, TYPE.properties[name], NOW[name]) for name in parsed.parts}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"name": "b"}, {"name": "b"}),
        ({"note": None}, {"note": "none"}),
        ({"tags": None}, {"tags": {}}),
        ({"name": None}, {"name": None}),
        ({"tags/two": True}, {"tags": {"one": True, "two": True}}),
        ({"tags/TWO": True, "tags/One": None}, {"tags": {"two": True}}),
        ({"tags/absent": None}, {"tags": {"one": True}}),
        ({"tags": {"X": True}}, {"tags": {"x": True}}),
        ({"boxes/#new": True, "boxes/B1": None}, {"boxes": {"B9": True}}),
        ({"boxes": {"#new": True}}, {"boxes": {"B9": True}}),
        ({"note/a/b": 2}, {"note": NOW["note"] | {"a": {"b": 2}}}),
        ({"note/a/c": 2, "note/a/b": None}, {"note": NOW["note"] | {"a": {"c": 2}}}),
        ({"note/a~1b": 5, "note/c~0d": 3}, {"note": NOW["note"] | {"a/b": 5, "c~d": 3}}),
        ({"list": [3]}, {"list": [3]}),
        ({}, {}),
    ],
)  # fmt: skip
def test_applied(patch: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each value is set, or its default or nothing for null; the record itself is not touched."""
    before = repr(NOW)
    assert patched(patch) == expected
    assert repr(NOW) == before


@pytest.mark.parametrize(
    "patch",
    [
        {"list/0": 1},
        {"note/l/0": 1},
        {"note/l/1/x": 1},
        {"note/zz/b": 1},
        {"note/n/b": 1},
        {"name/first": "b"},
        {"tags": {}, "tags/one": None},
        {"note/a": {}, "note/a/b": 1},
        {"note/a/b": {}, "note/a": 1, "note/c": 1},
        {"tags/One": True, "tags/one": None},
        {"boxes/#new": True, "boxes/B9": True},
        {"note/~": 1},
        {"note/a~2": 1},
    ],
    ids=str,
)
def test_invalid(patch: dict[str, Any]) -> None:
    """A pointer into an array, without a parent, or a prefix of another is invalidPatch."""
    with pytest.raises(SetError) as raised:
        patched(patch)
    assert raised.value.kind == "invalidPatch"
