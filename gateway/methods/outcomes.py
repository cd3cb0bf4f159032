"""What became of the parts of a call that writes: what was done apart from what was not (RFC 8620 section 5.3).

Rule 1: an error before anything was written is the call's; after that it is of the objects that it concerns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import TypeVar

from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.method import Arguments
from gateway.unavailable import Unavailable

T = TypeVar("T")
K = TypeVar("K")

AWAY = "something that is needed for this does not answer now"


class Attempts:
    """Runs the writes of a call one after another and keeps what was done apart from what was not."""

    def __init__(self) -> None:
        self.has_written = False  # or has tried to

    async def many(self, keys: Iterable[K], work: Awaitable[Mapping[K, T | SetError]]) -> Mapping[K, T | SetError]:
        """Await a write of many objects. An error that it raises answers for each of these keys."""
        done: Mapping[K, T | SetError]
        try:
            done = await work
        except SetError as error:
            done = dict.fromkeys(keys, error)
        except (MethodError, Unavailable) as error:
            if not self.has_written:
                raise
            done = dict.fromkeys(keys, late(error))
        self.has_written = True
        return done

    async def one(self, work: Awaitable[T]) -> T | SetError:
        """Await a write of one object."""
        done: T | SetError
        try:
            done = await work
        except SetError as error:
            done = error
        except (MethodError, Unavailable) as error:
            if not self.has_written:
                raise
            done = late(error)
        self.has_written = True
        return done


def late(error: MethodError | Unavailable) -> SetError:
    """Return what to tell of an object for which it is too late to fail the call."""
    return SetError("serverFail", error.description if isinstance(error, MethodError) else AWAY)


class Outcomes:
    """The answers of one kind, good and bad, by creation id or id."""

    def __init__(self) -> None:
        self.done: dict[str, Arguments | None] = {}
        self.failed: dict[str, SetError] = {}

    def add(self, key: str, outcome: Arguments | SetError | None) -> None:
        if isinstance(outcome, SetError):
            self.failed[key] = outcome
        else:
            self.done[key] = outcome

    def errors(self) -> Arguments | None:
        """Return the SetErrors as an answer has them: null when there is none."""
        return {key: error.object() for key, error in self.failed.items()} or None
