"""What every test may ask for."""

from __future__ import annotations

import pytest

from tests.upstreams.fixtures import UPSTREAMS

pytest_plugins = ["tests.upstreams.fixtures"]

_REAL_SERVERS = frozenset({"upstream", "smtp_sink", *UPSTREAMS})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a real server, for the fast part of the tests leaves it out; leave the slow to the end."""
    for item in items:
        if _REAL_SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.upstream)
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
