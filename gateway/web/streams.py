"""The connections that stay open: event streams and WebSockets, by account.

Rule 1: each can be ended from outside: when the gateway stops, and when the mail server refuses the login behind it.
Rule 2: how many there are is bounded per account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from gateway.jmap.errors import RequestError

Reason = Literal["stopping", "refused"]
End = Callable[[Reason], None]

MAX_OF_AN_ACCOUNT = 4096  # open pages and devices of one login; each costs some 30 KB and a file descriptor


class Streams:
    """All connections of one application that stay open."""

    def __init__(self, max_of_an_account: int = MAX_OF_AN_ACCOUNT) -> None:
        self._maximum = max_of_an_account
        self._open: dict[str, dict[int, End]] = {}
        self._next = 0
        self._is_stopping = False

    @contextmanager
    def entered(self, account_id: str, end: End) -> Iterator[None]:
        """Count one in; `end` is called once at most. Raise `RequestError` where there is no room."""
        if self._is_stopping:
            raise RequestError("about:blank", "The gateway is stopping.", status=503)
        ends = self._open.setdefault(account_id, {})
        if len(ends) >= self._maximum:
            detail = f"At most {self._maximum} connections of one account may stay open."
            raise RequestError("limit", detail, status=429, limit="maxConcurrentStreams")
        key = self._next
        self._next += 1
        ends[key] = end
        try:
            yield
        finally:
            ends.pop(key, None)
            if not ends and self._open.get(account_id) is ends:
                del self._open[account_id]

    def end(self, account_id: str, reason: Reason = "refused") -> None:
        """End those of one account: its login was refused, or another node serves it from now on ("stopping")."""
        for end in list(self._open.get(account_id, {}).values()):
            end(reason)

    def end_all(self) -> None:
        """End every one, and let none begin."""
        self._is_stopping = True
        for ends in list(self._open.values()):
            for end in list(ends.values()):
                end("stopping")

    def count(self) -> int:
        return sum(map(len, self._open.values()))
