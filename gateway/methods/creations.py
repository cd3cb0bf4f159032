"""The objects that a /set is to create: checked against the declared type, in the order that their references ask for.

RFC 8620 section 5.3.

Rule 1: every property that is wrong is named, not only the first.
Rule 2: a creation that refers to another of the same call waits for it; those that wait for nothing go together.
Rule 3: `#key` is a creation id only in a property that is declared a reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.errors import SetError
from gateway.methods.patch import normal

Faults = dict[str, str]  # property -> what is wrong with it, a phrase that follows the name

MAX_FAULTS_TOLD = 10  # in a description; `properties` has them all
MAX_NAME_SHOWN = 100  # characters of a client's own name repeated in a description
UNRESOLVED = "refers to a creation id that nothing was created for"


@dataclass(frozen=True, slots=True)
class Creation:
    """One object to create. `properties` are those that fit their types: defaults filled in, references resolved."""

    id: str  # the creation id
    properties: Mapping[str, Any]
    defaults: Mapping[str, Any]  # those of the properties that the client left out

    def given(self, name: str) -> bool:
        """Tell whether the client named the property."""
        return name in self.properties and name not in self.defaults


def invalid(faults: Mapping[str, str]) -> SetError:
    """Return the error that names every property that is wrong."""
    told = [f"{name[:MAX_NAME_SHOWN]} {fault}" for name, fault in faults.items()][:MAX_FAULTS_TOLD]
    return SetError("invalidProperties", "; ".join(told), properties=list(faults))


def declared_property(data_type: DataType, name: str, using: frozenset[str]) -> Property | None:
    """Return the property of this name, if the request may use it."""
    declared = data_type.properties.get(name)
    if declared is None or (declared.capability is not None and declared.capability not in using):
        return None
    return declared


def check_creation(
    data_type: DataType,
    creation_id: str,
    given: Mapping[str, Any],
    using: frozenset[str],
    resolve: Callable[[str, Any], Any],
) -> tuple[Creation, Faults]:
    """Check an object against its table; return what fits, and what is wrong. `resolve(property, value)`."""
    faults: Faults = {}
    properties: dict[str, Any] = {}
    for name, value in given.items():
        declared = declared_property(data_type, name, using)
        if declared is None:
            if data_type.open_prefix is not None and name.startswith(data_type.open_prefix):
                properties[name] = value
            else:
                faults[name] = f"is not a property of {data_type.name}"
        elif declared.is_server_set:
            faults[name] = "is set by the server alone"
        elif (fault := declared.check(value)) is not None:
            faults[name] = fault
        else:
            value = normal(declared, value, partial(resolve, name))
            if declared.is_reference and has_reference(value):
                faults[name] = UNRESOLVED
            else:
                properties[name] = value
    defaults: dict[str, Any] = {}
    for name, declared in data_type.properties.items():
        if name in given or declared.is_server_set or declared_property(data_type, name, using) is None:
            continue
        if declared.default is REQUIRED:
            faults[name] = "is required"
        else:
            defaults[name] = declared.default
    return Creation(creation_id, defaults | properties, defaults), faults


def own_references(data_type: DataType, given: Mapping[str, Any]) -> Mapping[str, set[str]]:
    """Return the creation ids that an object refers to as of its own type, by property."""
    return {
        name: set(_references(given[name]))
        for name, declared in data_type.properties.items()
        if declared.is_own_reference and name in given
    }


def has_reference(value: Any) -> bool:
    """Tell whether a reference was not resolved."""
    return next(_references(value), None) is not None


def _references(value: Any) -> Iterator[str]:
    """Yield the creation ids in the value of a reference: an Id, a list of them, or a map keyed by them."""
    items = (value,) if type(value) is str else value if type(value) in (list, dict) else ()
    for item in items:
        if type(item) is str and item.startswith("#"):
            yield item[1:]
