"""Octets between a server that sends and a caller who takes them slowly."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from gateway.upstream.imap.wire import Wire

HIGH_OCTETS = 256 << 10  # then the server is held back: four reads
LOW_OCTETS = 64 << 10  # then it goes on


class Backlog:
    """Chunks of one literal. `write` and `finish` come from the protocol, `next` and `close` from the caller."""

    __slots__ = ("_chunks", "_error", "_is_closed", "_is_finished", "_octets", "_result", "_wakeup", "_wire")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._chunks: deque[bytes] = deque()
        self._octets = 0
        self._is_finished = False
        self._is_closed = False
        self._result = 0
        self._error: BaseException | None = None
        self._wakeup: asyncio.Future[None] | None = None

    def write(self, chunk: bytes) -> None:
        """Take a chunk; holds the server back when there are too many."""
        if self._is_closed or not chunk:
            return
        self._chunks.append(chunk)
        self._octets += len(chunk)
        if self._octets > HIGH_OCTETS:
            self._wire.pause(self)
        self._wake()

    def finish(self, result: Any, error: BaseException | None) -> None:
        """The command was answered."""
        self._result, self._error, self._is_finished = result or 0, error, True
        self._wake()

    async def next(self) -> bytes | None:
        """Return the next chunk; None after the last. Raises the command's error."""
        while not self._chunks:
            if self._is_finished:
                if self._error is not None:
                    raise self._error
                return None
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup
        chunk = self._chunks.popleft()
        self._octets -= len(chunk)
        if self._octets <= LOW_OCTETS:
            self._wire.resume(self)
        return chunk

    @property
    def result(self) -> int:
        """Return what the command returned."""
        return self._result

    def close(self) -> None:
        """Nobody takes any more."""
        self._is_closed = True
        self._chunks.clear()
        self._wire.resume(self)

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)
