"""The words in which a JMAP data type is declared: its properties as a table. `methods.standard` derives the rest.

Rule 1: what a property allows stands here and nowhere else. If a type needs a branch in `standard`, the table lacks a
column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

REQUIRED: Any = object()  # as a default: a create must give the property


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a data type.

    `check(value)` returns None when the value has the type of the property (RFC 8620 section 1.1), else what is wrong.
    """

    check: Callable[[Any], str | None]
    default: Any = None
    is_immutable: bool = False
    is_server_set: bool = False
    is_nullable: bool = False
    capability: str | None = None  # the extension that adds it; None: of the type's own
    in_default_get: bool = True  # part of a /get that names no properties
    is_map: bool = False  # may be patched by key, "keywords/$seen" (RFC 8620 section 5.3)
    is_reference: bool = False  # names other records, as its value, items or keys: `#creationId` may stand there
    is_own_reference: bool = False  # and they are of the same type: creations of one /set may need one another
    fold_key: Callable[[str], str] | None = None  # of a map: brings keys that mean the same into one form


@dataclass(frozen=True, slots=True)
class DataType:
    """A JMAP data type: the name that its methods begin with, its capability, its properties."""

    name: str
    capability: str
    properties: Mapping[str, Property]
    methods: frozenset[str] = frozenset({"get"})  # of: get changes set query queryChanges copy
    filter_conditions: Mapping[str, Callable[[Any], str | None]] = field(default_factory=dict)
    sort_properties: frozenset[str] = frozenset()
    open_prefix: str | None = None  # names that begin so are not in the table: the type checks them itself

    def default_properties(self) -> tuple[str, ...]:
        """Return what a /get that names no properties answers with, the extensions' own left out."""
        return tuple(
            name
            for name, declared in self.properties.items()
            if declared.in_default_get and declared.capability is None
        )
