"""What every test may ask for."""

from __future__ import annotations

import os

import pytest

from demo import ports

pytest_plugins = ["tests.upstreams.fixtures"]


def pytest_configure() -> None:
    """Let the processes of one run draw the ports of their servers from parts of their own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        ports.draw_from_part(int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a real server, for the fast part of the tests leaves it out; leave the slow to the end."""
    from tests.upstreams.fixtures import UPSTREAMS  # here, for pytest rewrites the assertions of a plugin it loads

    real_servers = {"upstream", "smtp_sink", "shared_redis", "redis_cluster", "own_redis", *UPSTREAMS}
    for item in items:
        if real_servers & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.upstream)
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
