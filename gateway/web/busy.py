"""How many requests of an application are under way, for whoever wants to stop it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aiohttp import web


class Busy:
    def __init__(self) -> None:
        self._count = 0
        self._is_over = asyncio.Event()
        self._is_over.set()

    @contextmanager
    def counted(self) -> Iterator[None]:
        self._count += 1
        self._is_over.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._is_over.set()

    async def wait_for_end(self, at_most_s: float) -> None:
        """Wait until nothing is under way, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._is_over.wait()


BUSY = web.AppKey("busy", Busy)
