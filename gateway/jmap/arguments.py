"""The arguments of a method call, checked against a table (RFC 8620 sections 3.5, 3.9).

Rule 1: an argument that is unknown, missing or of the wrong type is `invalidArguments`, and the description names it.
Rule 2: what is omitted gets its default; with the defaults filled in, a method sees every argument of its table.
Rule 3: arguments are read only. A default is shared by all calls, a resolved reference by the response it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.jmap.errors import MethodError
from gateway.jmap.types import Check

MAX_NAME_SHOWN = 100  # characters of a client's own argument name repeated in an error: it may be megabytes


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: its type, its default when omitted, or that it may not be omitted."""

    check: Check
    default: Any = None
    required: bool = False


def check_arguments(arguments: Mapping[str, Any], spec: Mapping[str, Argument]) -> dict[str, Any]:
    """Return the arguments with defaults filled in, in the order of the table; raise MethodError otherwise."""
    for name, value in arguments.items():
        argument = spec.get(name)
        if argument is None:
            raise MethodError("invalidArguments", f"{name[:MAX_NAME_SHOWN]} is not an argument of this method")
        fault = argument.check(value)
        if fault is not None:
            raise MethodError("invalidArguments", f"{name} {fault}")
    checked = {}
    for name, argument in spec.items():
        if name in arguments:
            checked[name] = arguments[name]
        elif argument.required:
            raise MethodError("invalidArguments", f"{name} is required")
        else:
            checked[name] = argument.default
    return checked
