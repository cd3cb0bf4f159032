"""Nodes and workers, ended with the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.nodes.running import Node

StartNode = Callable[..., Node]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartNode]:
    """Start a node: `start(upstream, name="a", …)`."""
    nodes: list[Node] = []

    def make(upstream: Any, *arguments: str, name: str = "node", **settings: Any) -> Node:
        node = Node(tmp_path / name, upstream, *arguments, **settings)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
