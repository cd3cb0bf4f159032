"""Signals over Redis's publish/subscribe: one connection of a node listens to the channels of all its accounts.

Rule 1: what is published while that connection is away is lost, so everybody is told of a gap once it is back.
Rule 2: a listener's fault is its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from gateway.store import keys
from gateway.store.api import StoreError
from gateway.store.redis_link import CALL_TIMEOUT_S, RedisLink, cancellable

Heard = Callable[[bytes | None], None]

PING_S = 5.0  # a connection that is dead without a word is noticed after two of these
RECONNECT_S = 0.5

log = logging.getLogger(__name__)


class RedisSignals:
    """A `Signals`. `start()` before use, `aclose()` at the end."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._listeners: dict[bytes, list[Heard]] = {}
        self._wanted = asyncio.Event()  # what is subscribed to has to change
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._listen(), name="redis signals")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def publish(self, account_id: str, octets: bytes) -> None:
        await self._link.call("PUBLISH", keys.signals(account_id), octets)

    def subscribe(self, account_id: str, heard: Heard) -> Callable[[], None]:
        channel = keys.signals(account_id).encode()
        self._listeners.setdefault(channel, []).append(heard)
        self._wanted.set()

        def end() -> None:
            mine = self._listeners.get(channel)
            if mine is not None and heard in mine:
                mine.remove(heard)
                if not mine:
                    del self._listeners[channel]
                    self._wanted.set()

        return end

    async def _listen(self) -> None:
        """Keep the connection, until cancelled."""
        while True:
            try:
                await self._listen_once()
            except (StoreError, RedisError, OSError) as error:
                log.warning("signals are interrupted", extra={"error": type(error).__name__})
                await asyncio.sleep(RECONNECT_S)

    async def _listen_once(self) -> None:
        while not self._listeners:
            self._wanted.clear()
            await self._wanted.wait()
        pubsub = await self._link.pubsub()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await pubsub.connect()  # type: ignore[no-untyped-call]
            reading = asyncio.create_task(self._read(pubsub))
            try:
                await self._keep_subscribed(pubsub, reading)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        finally:
            with contextlib.suppress(RedisError, OSError):
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _keep_subscribed(self, pubsub: PubSub, reading: asyncio.Task[None]) -> None:
        subscribed: set[bytes] = set()
        while not reading.done():
            self._wanted.clear()
            if not (wanted := set(self._listeners)):
                return
            with cancellable():
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    if new := wanted - subscribed:
                        await pubsub.subscribe(*new)
                    if old := subscribed - wanted:
                        await pubsub.unsubscribe(*old)
                    await pubsub.ping()
            subscribed = wanted
            waiting = asyncio.create_task(self._wanted.wait())
            try:
                await asyncio.wait([waiting, reading], timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
        reading.result()

    async def _read(self, pubsub: PubSub) -> None:
        """Hand on what comes; raise when the connection breaks or falls silent."""
        while True:
            message: dict[str, Any] | None
            with cancellable():
                async with asyncio.timeout(2 * PING_S + CALL_TIMEOUT_S):
                    message = await pubsub.get_message(timeout=None)
            if message is None:
                continue
            if message["type"] == "subscribe":
                self._tell(message["channel"], None)
            elif message["type"] == "message":
                self._tell(message["channel"], message["data"])

    def _tell(self, channel: bytes, octets: bytes | None) -> None:
        for heard in tuple(self._listeners.get(channel, ())):
            try:
                heard(octets)
            except Exception:
                log.exception("a listener failed")
