"""When which submission is to be tried next, and the one task that wakes at that time."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable

Key = tuple[str, str]  # account id, submission id

LOOK_S = 30.0  # a clock that is set is noticed after so long


class Schedule:
    """Call `act(key)` when it is time; each `put` counts once."""

    def __init__(self, act: Callable[[Key], None]) -> None:
        self._act = act
        self._times: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._changed = asyncio.Event()

    def __contains__(self, key: Key) -> bool:
        return key in self._times

    def __len__(self) -> int:
        return len(self._times)

    def put(self, key: Key, at_s: float) -> None:
        """Let a key be due then, and at no other time. Seconds since 1970."""
        self._times[key] = at_s
        heapq.heappush(self._heap, (at_s, key))
        self._changed.set()

    def drop(self, key: Key) -> None:
        self._times.pop(key, None)

    def keys(self, account_id: str) -> list[Key]:
        return [key for key in self._times if key[0] == account_id]

    async def run(self) -> None:
        """Act, until cancelled."""
        while True:
            now_s = time.time()
            while self._heap and (self._heap[0][0] <= now_s or self._times.get(self._heap[0][1]) != self._heap[0][0]):
                at_s, key = heapq.heappop(self._heap)
                if self._times.get(key) == at_s:
                    del self._times[key]
                    self._act(key)
            wait_s = min(LOOK_S, self._heap[0][0] - now_s) if self._heap else None
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
