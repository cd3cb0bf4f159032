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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a real server, for the fast part of the tests leaves it out; leave the slow to the end.

    What is for `make soak` alone is left out elsewhere.
    """
    from tests.upstreams.fixtures import UPSTREAMS  # here, for pytest rewrites the assertions of a plugin it loads

    real_servers = {"upstream", "smtp_sink", "shared_redis", "redis_cluster", "watched_redis", "own_redis", *UPSTREAMS}
    for item in items:
        if real_servers & _named(item):
            item.add_marker(pytest.mark.upstream)
    if os.environ.get("SOAK") != "1" and (left_out := [item for item in items if item.get_closest_marker("soak")]):
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def _named(item: pytest.Item) -> set[str]:
    """Return the fixtures that a test asks for, and what may be the name of one among its parameters."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {*getattr(item, "fixturenames", ()), *(value for value in parameters if isinstance(value, str))}
