"""A Redis for the gateways that are measured, so that each is one node of a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from demo.ports import HOST, free_port
from tests.nodes.running import VAULT_KEYS
from tests.upstreams.fixtures import DURABLE
from tests.upstreams.place import Place
from tests.upstreams.redis import RedisServer

# The benches that measure a gateway as such; others measure a part of one in their own process, or bring a Redis.
FIT = frozenset({"listing", "resync", "writing", "push_latency", "push_looks"})


@contextmanager
def clustered() -> Iterator[None]:
    """Have every gateway that is started meanwhile use one Redis, which writes down what it is told."""
    place = Place("bench-redis")
    settings = {
        "JMAP_GATEWAY_STORE__REDIS_URL": RedisServer(place, "redis", *DURABLE).url,
        "JMAP_GATEWAY_AUTH__VAULT_KEYS": VAULT_KEYS,
        "JMAP_GATEWAY_CLUSTER__LISTEN": f"{HOST}:{free_port()}",
    }
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in settings:
            del os.environ[name]
        place.close()
