"""What every test may ask for."""

from __future__ import annotations

import pytest

from tests.upstreams.fixtures import UPSTREAMS

pytest_plugins = ["tests.upstreams.fixtures"]

_REAL_SERVERS = frozenset({"upstream", "smtp_sink", *UPSTREAMS})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a real server: the fast part of the tests leaves it out."""
    for item in items:
        if _REAL_SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.upstream)
