"""A command on its way through a connection, and whom its end is told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Piece

Done = Callable[[Any, BaseException | None], None]  # (result, None) or (None, error); called once


class Flight:
    """A command between `submit` and its tagged response."""

    __slots__ = ("command", "done", "pieces", "tag")

    def __init__(self, command: Command[Any], done: Done) -> None:
        self.command = command
        self.done = done
        self.tag = b""
        self.pieces: deque[Piece] = deque()

    def finish(self, result: Any, error: BaseException | None) -> None:
        """Tell the one who waits, unless nobody does."""
        done, self.done = self.done, nobody
        done(result, error)


def nobody(result: Any, error: BaseException | None) -> None:
    """Take what nobody waits for."""


NOBODY = Flight(Command(), nobody)
