"""The connection to Redis: one server, Sentinel or Redis Cluster, all behind the same two calls.

Rule 1: a call ends within CALL_TIMEOUT_S, or it raises `StoreUnavailable`: whether a write was made is not known then.
        One whose connection turns out to be closed is made once more, so every script can be run twice.
Rule 2: after a failure, calls fail at once for a while that grows, so that a Redis that is away costs each request
        nothing but its answer. One that fails while others are answered says nothing of Redis: that was a slow call.
Rule 3: several keys are changed by a script, which is atomic; its keys are of one slot.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from gateway.config.redis_url import RedisAddress
from gateway.store.api import LeaseLost, MirrorLost, StoreError, StoreUnavailable

CONNECT_TIMEOUT_S = 1.0  # a server of the same network
CALL_TIMEOUT_S = 3.0  # long enough for a megabyte, and for a server that writes down its AOF
MAX_CONNECTIONS = 32  # of a node: a call takes a fraction of a millisecond of one
MIN_BACKOFF_S, MAX_BACKOFF_S = 0.05, 1.0

Client = Redis | RedisCluster
Value = bytes | str | int | float

# What is wrong with the server rather than with the call: it may be well later.
_UNAVAILABLE = (
    *(OSError, TimeoutError, exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError),
    *(exceptions.BusyLoadingError, exceptions.TryAgainError, exceptions.ClusterDownError, exceptions.OutOfMemoryError),
    *(exceptions.ClusterError, exceptions.MaxConnectionsError, exceptions.RedisClusterException),
    *(exceptions.SlotNotCoveredError, exceptions.MasterDownError, exceptions.AskError, exceptions.MovedError),
)
_UNAVAILABLE_WORDS = ("MISCONF", "OOM", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "BUSY ", "CLUSTERDOWN")


class Script(NamedTuple):
    """A Lua script. `ERR LEASE` and `ERR MIRROR` are how it says `LeaseLost` and `MirrorLost`."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> Script:
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# The first lines of a script whose first key is the account's lease, and whose first argument the token: an owner
# writes, or nobody.
FENCE = "if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return redis.error_reply('LEASE lost') end\n"


@contextmanager
def cancellable() -> Iterator[None]:
    """Have a task that was cancelled inside end.

    redis-py writes under `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes with the result.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        yield
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError


class RedisLink:
    """The way to Redis. `close()` at the end."""

    def __init__(self, address: RedisAddress, ca_file: Path | None = None) -> None:
        self.address = address
        self._options: dict[str, Any] = {
            "username": address.username,
            "password": address.password.reveal() if address.password is not None else None,
            "socket_timeout": CALL_TIMEOUT_S,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "retry": Retry(NoBackoff(), 0),
        }
        self._tls: dict[str, Any] = {"ssl_ca_certs": str(ca_file) if ca_file is not None else None}
        self._client = _client(address, self._options, self._tls)
        self._not_before = 0.0
        self._backoff_s = 0.0
        self._heard_at = float("-inf")  # when Redis last answered

    async def close(self) -> None:
        await self._client.aclose()

    async def call(self, *command: Value, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Run one command and return Redis's answer. Raise `StoreUnavailable`."""
        async with self._calling(timeout_s):
            return await self._execute(*command)

    async def run(self, script: Script, keys: Sequence[str], *arguments: Value) -> Any:
        """Run a script. Raise `StoreUnavailable`, or what the script says."""
        async with self._calling(CALL_TIMEOUT_S):
            try:
                return await self._execute("EVALSHA", script.sha, len(keys), *keys, *arguments)
            except exceptions.NoScriptError:
                return await self._execute("EVAL", script.text, len(keys), *keys, *arguments)

    async def run_all(self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Value]]]) -> list[Any]:
        """Run a script for many keys, a few at a time."""
        slots = asyncio.Semaphore(MAX_CONNECTIONS // 2)

        async def one(keys: Sequence[str], arguments: Sequence[Value]) -> Any:
            async with slots:
                return await self.run(script, keys, *arguments)

        return await asyncio.gather(*(one(*call) for call in calls))

    async def pubsub(self) -> PubSub:
        """Return a connection that listens, to be closed by the caller. In a cluster any node hears everything."""
        if not isinstance(self._client, RedisCluster):
            return self._client.pubsub()
        async with self._calling(CALL_TIMEOUT_S):
            await self._client.initialize()
            node = self._client.get_random_node()
        tls = {"ssl": True, **self._tls} if self.address.tls else {}
        return Redis(host=node.host, port=int(node.port), **self._options, **tls).pubsub()

    async def each_server(self, *command: Value) -> list[Any]:
        """Run a command on every master there is."""
        async with self._calling(CALL_TIMEOUT_S):
            if isinstance(self._client, RedisCluster):
                await self._client.initialize()
                return [
                    await self._client.execute_command(*command, target_nodes=node)
                    for node in self._client.get_primaries()
                ]
            return [await self._client.execute_command(*command)]  # type: ignore[no-untyped-call] # so in the library

    async def _execute(self, *command: Value) -> Any:
        try:
            return await self._client.execute_command(*command)
        except exceptions.ConnectionError as error:
            if isinstance(error, (exceptions.BusyLoadingError, exceptions.MaxConnectionsError)):
                raise
        # It was idle since before the server was started anew: a new one will do, if any.
        return await self._client.execute_command(*command)

    @asynccontextmanager
    async def _calling(self, timeout_s: float) -> AsyncIterator[None]:
        began = time.monotonic()
        if began < self._not_before:
            raise StoreUnavailable(f"Redis at {self.address} does not answer")
        try:
            with cancellable():
                async with asyncio.timeout(timeout_s):
                    yield
        except exceptions.RedisError as error:
            raise self._reason(error, began) from None
        except OSError as error:  # TimeoutError is one
            raise self._reason(error, began) from None
        self._backoff_s, self._heard_at = 0.0, time.monotonic()

    def _reason(self, error: Exception, began: float) -> Exception:
        """Return what to raise instead of an error of the client library, of a call that began then."""
        text = str(error)
        if isinstance(error, StoreError):
            return error
        if isinstance(error, exceptions.ResponseError) and "LEASE lost" in text:
            return LeaseLost("another node owns the account")
        if isinstance(error, exceptions.ResponseError) and "MIRROR lost" in text:
            return MirrorLost("the mirror is not as its owner has left it")
        if isinstance(error, (OSError, exceptions.ConnectionError, exceptions.TimeoutError)) and not isinstance(
            error, exceptions.BusyLoadingError
        ):
            if self._heard_at < began:
                self._backoff_s = min(max(self._backoff_s * 2, MIN_BACKOFF_S), MAX_BACKOFF_S)
                self._not_before = time.monotonic() + self._backoff_s * random.uniform(0.5, 1.0)
            return StoreUnavailable(f"Redis at {self.address} does not answer ({type(error).__name__})")
        if isinstance(error, _UNAVAILABLE) or any(word in text for word in _UNAVAILABLE_WORDS):
            return StoreUnavailable(f"Redis at {self.address} takes no writes for now: {text[:200]}")
        return StoreError(f"Redis at {self.address} refuses a command: {text[:200]}")


def _client(address: RedisAddress, options: dict[str, Any], tls: dict[str, Any]) -> Client:
    with_tls = {"ssl": True, **tls} if address.tls else {}
    if address.kind == "cluster":
        return RedisCluster(
            startup_nodes=[ClusterNode(host.name, host.port) for host in address.hosts],
            max_connections=MAX_CONNECTIONS,
            **options,
            **with_tls,
        )
    if address.kind == "sentinel":
        timeouts = {"socket_timeout": CONNECT_TIMEOUT_S, "socket_connect_timeout": CONNECT_TIMEOUT_S}
        sentinel = Sentinel(  # type: ignore[no-untyped-call] # so in the library
            [(host.name, host.port) for host in address.hosts],
            sentinel_kwargs={**timeouts, **with_tls},
            db=address.db,
            **options,
            **with_tls,
        )
        master: Redis = sentinel.master_for(address.service)
        return master
    pool: dict[str, Any] = {"db": address.db, "max_connections": MAX_CONNECTIONS, "timeout": CALL_TIMEOUT_S, **options}
    if address.kind == "unix":
        pool |= {"connection_class": UnixDomainSocketConnection, "path": address.path}
    else:
        pool |= {"host": address.hosts[0].name, "port": address.hosts[0].port}
    if address.tls:
        pool |= {"connection_class": SSLConnection, **tls}
    return Redis(connection_pool=BlockingConnectionPool(**pool))
