"""What a JMAP method is to the dispatcher: a name, the capability that brings it, and an async function.

Rule 1: a method raises `MethodError` to fail and returns its response's arguments to succeed.
Rule 2: a method that owes further responses (RFC 8621 section 7.5: the implicit Email/set) returns `Responses`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.jmap.limits import Limits

Arguments = dict[str, Any]


@dataclass(slots=True)
class Context:
    """One request as its method calls see it. `accounts` holds the caller's `account.Account`s by accountId."""

    login: str
    accounts: Mapping[str, Any]
    using: frozenset[str]
    limits: Limits
    created_ids: dict[str, str] = field(default_factory=dict)  # creation id -> id, grows during the request
    owner: str = ""  # of what is tied to the credentials and to no account: push subscriptions (section 7.2)


@dataclass(frozen=True, slots=True)
class Responses:
    """Several responses to one call, in order: (name, arguments)."""

    items: tuple[tuple[str, Arguments], ...]


Method = Callable[[Context, Arguments], Awaitable[Arguments | Responses]]


@dataclass(frozen=True, slots=True)
class Registered:
    name: str
    capability: str
    method: Method


class Registry:
    """Every method the gateway can run, by name."""

    def __init__(self) -> None:
        self._methods: dict[str, Registered] = {}

    def add(self, name: str, capability: str, method: Method) -> None:
        if name in self._methods:
            raise ValueError(f"method {name} is registered twice")
        self._methods[name] = Registered(name, capability, method)

    def get(self, name: str) -> Registered | None:
        return self._methods.get(name)

    def names(self) -> list[str]:
        return sorted(self._methods)

    def capabilities(self) -> frozenset[str]:
        """Return the capabilities that bring at least one method."""
        return frozenset(registered.capability for registered in self._methods.values())
