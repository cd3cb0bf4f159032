"""Whether a node that is silent still runs."""

from __future__ import annotations

import asyncio
import socket

import pytest

from demo.ports import HOST, bound_port, free_port
from gateway.server import nodes
from gateway.server.nodes import is_down


async def test_nothing_listens() -> None:
    assert await is_down(f"http://{HOST}:{free_port()}")


async def test_it_listens() -> None:
    """A node that is stopped for a while listens too: its system takes connections for it."""
    with bound_port() as listener:
        listener.listen()
        assert not await is_down(f"http://{HOST}:{listener.getsockname()[1]}")


async def test_what_is_not_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer, no route, no such name: it may run all the same."""
    monkeypatch.setattr(nodes, "KNOCK_S", 0.2)

    async def fails(error: OSError) -> bool:
        async def connect(*_arguments: object) -> None:
            raise error

        monkeypatch.setattr(asyncio, "open_connection", connect)
        return await is_down("http://node:8082")

    assert not await fails(socket.gaierror("no such name"))
    assert not await fails(OSError(113, "No route to host"))

    async def never(*_arguments: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", never)
    assert not await is_down("http://node:8082")
