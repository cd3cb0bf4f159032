"""What an account is having written upstream, each piece of work until its own end.

Rule 1: a request that goes away (its client hung up) stops no write: half a move helps nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

CLOSE_S = 10.0  # a write under way gets so long to end when the account is closed


class UnderWay:
    """The writes of one account that have not ended."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a write that nothing ends but itself."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: whoever asked may be gone

    async def aclose(self) -> None:
        """Let writes under way end; give them up after a while."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
