"""How much one login may have going on at once: maxConcurrentRequests, maxConcurrentUpload (RFC 8620 section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.jmap.errors import RequestError


class ConcurrencyLimit:
    """Count what is going on per login, under the name of the limit as the core capability has it."""

    def __init__(self, name: str, maximum: int) -> None:
        self._name, self._maximum = name, maximum
        self._running: dict[str, int] = {}

    @contextmanager
    def slot(self, login: str) -> Iterator[None]:
        """Hold one of the login's slots; raise RequestError at once when all are taken."""
        running = self._running.get(login, 0)
        if running >= self._maximum:
            detail = f"At most {self._maximum} requests may be made at the same time."
            raise RequestError("limit", detail, limit=self._name)
        self._running[login] = running + 1
        try:
            yield
        finally:
            if self._running[login] == 1:
                del self._running[login]
            else:
                self._running[login] -= 1
