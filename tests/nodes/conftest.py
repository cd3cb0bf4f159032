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
    yield from _starting(tmp_path)


@pytest.fixture(scope="module")
def start_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartNode]:
    """The same, for the tests of a module that leave it running."""
    yield from _starting(tmp_path_factory.mktemp("nodes"))


def _starting(directory: Path) -> Iterator[StartNode]:
    nodes: list[Node] = []

    def make(upstream: Any, *arguments: str, name: str = "node", **settings: Any) -> Node:
        node = Node(directory / name, upstream, *arguments, **settings)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
