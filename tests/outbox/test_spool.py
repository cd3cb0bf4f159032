"""Messages put aside, and when they are due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.outbox.schedule import Key, Schedule
from gateway.outbox.spool import Gone, Spool, TooLarge
from gateway.store.outgoing import OutgoingFiles


async def chunks(*pieces: bytes, fault: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if fault is not None:
        raise fault


async def read(spool: Spool, id: str) -> bytes:
    return b"".join([chunk async for chunk in spool.octets("a1", id)])


async def test_what_was_put_aside_comes_back(tmp_path: Path) -> None:
    """As it goes out."""
    spool = Spool(OutgoingFiles(tmp_path))
    prepared = await spool.put("a1", "E1", chunks(b"To: a\nBc", b"c: b\n\n", b"x\xff"))
    assert await read(spool, "E1") == b"To: a\r\n\r\nx\xff"
    assert (prepared.size_octets, prepared.is_8bit) == (11, True)
    assert [name for name, _value in prepared.fields] == ["To", "Bcc"]


async def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(OutgoingFiles(tmp_path))
    with pytest.raises(TooLarge):
        await spool.put("a1", "E1", chunks(b"\r\n", b"x" * 100), max_octets=50)
    with pytest.raises(ConnectionError):
        await spool.put("a1", "E1", chunks(b"x", fault=ConnectionError()))
    assert await spool.litter() == {}
    with pytest.raises(Gone):
        await read(spool, "E1")


async def test_each_is_due_once_and_in_time() -> None:
    """The last word counts; one that is dropped is not due."""
    due: list[tuple[Key, float]] = []
    schedule = Schedule(lambda key: due.append((key, time.time())))
    running = asyncio.create_task(schedule.run())
    start = time.time()
    schedule.put(("a", "late"), start + 0.2)
    schedule.put(("a", "moved"), start + 100)
    schedule.put(("a", "gone"), start + 0.1)
    schedule.put(("b", "now"), start)
    await asyncio.sleep(0.05)
    assert [key for key, _at in due] == [("b", "now")]
    schedule.put(("a", "moved"), start + 0.3)
    schedule.drop(("a", "gone"))
    assert sorted(schedule.keys("a")) == [("a", "late"), ("a", "moved")]
    await asyncio.sleep(0.4)
    assert [key for key, _at in due] == [("b", "now"), ("a", "late"), ("a", "moved")]
    assert all(at >= start + wait for (_key, at), wait in zip(due, (0, 0.2, 0.3), strict=True))
    assert len(schedule) == 0
    running.cancel()
