"""What every test may ask for."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.upstreams.fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the slow tests to the end: what is wrong shows soon."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
