"""Gateways that share a Redis: those that a bench compares, or every one that is measured."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demo.ports import HOST, free_port
from tests.nodes.running import VAULT_KEYS, Node
from tests.upstreams.fixtures import DURABLE
from tests.upstreams.place import Place
from tests.upstreams.redis import RedisServer
from tests.upstreams.upstream import Upstream

# The benches that measure a gateway as such; others measure a part of one in their own process, or bring a Redis.
FIT = frozenset({"listing", "resync", "writing", "push_latency", "push_looks"})


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    place = Place("bench-redis")
    try:
        yield RedisServer(place, "redis", *options)
    finally:
        place.close()


@contextmanager
def nodes(server: Upstream, *redis_urls: str | None) -> Iterator[list[Node]]:
    """Start a node for each URL; None: without Redis."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jmap-bench-")))
        started = []
        for number, url in enumerate(redis_urls):
            # Watching the upstream is not what is compared: with this, no refresh falls into the measurement.
            node = Node(directory / f"node{number}", server, redis_url=url, max_staleness_s=3600.0)
            stack.callback(node.close)
            node.wait()
            started.append(node)
        yield started


@contextmanager
def clustered() -> Iterator[None]:
    """Have every gateway that is started meanwhile use one Redis, which writes down what it is told."""
    with redis_server(*DURABLE) as redis:
        settings = {
            "JMAP_GATEWAY_STORE__REDIS_URL": redis.url,
            "JMAP_GATEWAY_AUTH__VAULT_KEYS": VAULT_KEYS,
            "JMAP_GATEWAY_CLUSTER__LISTEN": f"{HOST}:{free_port()}",
        }
        os.environ.update(settings)
        try:
            yield
        finally:
            for name in settings:
                del os.environ[name]
