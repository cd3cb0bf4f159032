"""What nobody waits for waits while many accounts are opened at once."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from gateway.sync import rush as rush_module
from gateway.sync.rush import MANY, Rush


async def test_few_at_once_are_no_rush() -> None:
    rush = Rush()
    with ExitStack() as stack:
        for _ in range(MANY - 1):
            stack.enter_context(rush.opening())
        async with asyncio.timeout(1):
            await rush.over()


async def test_many_at_once_go_first() -> None:
    rush, over = Rush(), asyncio.Event()

    async def wait() -> None:
        await rush.over()
        over.set()

    with ExitStack() as stack:
        last = [stack.enter_context(ExitStack()) for _ in range(MANY)]
        for one in last:
            one.enter_context(rush.opening())
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.05)
        assert not over.is_set()
        last[0].close()
        await waiting
        assert over.is_set()


async def test_it_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rush_module, "PATIENCE_S", 0.05)
    rush = Rush()
    with ExitStack() as stack:
        for _ in range(MANY):
            stack.enter_context(rush.opening())
        async with asyncio.timeout(5):
            await rush.over()
