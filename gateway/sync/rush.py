"""While a node opens many accounts at once, what nobody waits for waits.

That is so when it takes over the accounts of a node that died, or starts with all its clients before it: their
requests need a login and a look each, and listening for changes and loading details as much again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MANY = 4  # more than come together by chance
PATIENCE_S = 15.0  # an upstream that takes minutes for a login must not keep others from being told of changes


class Rush:
    """One for a node."""

    def __init__(self) -> None:
        self._opening = 0
        self._is_over = asyncio.Event()
        self._is_over.set()

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Note that an account is being opened meanwhile."""
        self._opening += 1
        if self._opening >= MANY:
            self._is_over.clear()
        try:
            yield
        finally:
            self._opening -= 1
            if self._opening < MANY:
                self._is_over.set()

    async def over(self) -> None:
        """Return when few accounts are being opened, or after `PATIENCE_S`."""
        if not self._is_over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._is_over.wait()
