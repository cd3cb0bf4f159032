"""Core/echo (RFC 8620 section 4): the arguments come back as they went in."""

from __future__ import annotations

from gateway.jmap.capability import CORE
from gateway.jmap.method import Arguments, Context, Registry


async def echo(context: Context, arguments: Arguments) -> Arguments:
    """Return the arguments themselves."""
    return arguments


def register(registry: Registry) -> None:
    registry.add("Core/echo", CORE, echo)
