"""What every command is: its text, its claim on responses, its result. One file per verb beside this one."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Command(Generic[T]):
    """One command, sent once."""
