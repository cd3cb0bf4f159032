"""A write runs to its end, whoever goes away."""

from __future__ import annotations

import asyncio

import pytest

from gateway.sync import under_way
from gateway.sync.under_way import UnderWay


async def test_who_asked_goes_away() -> None:
    """The write goes on without it, and closing waits for the end."""
    writes, may_end, done = UnderWay(), asyncio.Event(), []

    async def write() -> None:
        await may_end.wait()
        done.append(True)

    asked = asyncio.create_task(writes.to_its_end(write()))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    may_end.set()
    await writes.aclose()
    assert done == [True]


async def test_it_fails_for_who_asked() -> None:
    """Its fault is raised where it was asked for, and nothing is left to wait for."""
    writes = UnderWay()

    async def write() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await writes.to_its_end(write())
    await writes.aclose()


async def test_one_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up when closing has waited long enough."""
    monkeypatch.setattr(under_way, "CLOSE_S", 0.01)
    writes = UnderWay()
    asked = asyncio.create_task(writes.to_its_end(asyncio.sleep(60)))
    await asyncio.sleep(0)
    await writes.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asked
