"""`server.sieve`: what is advertised follows what the ManageSieve server says, and whether it is there."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.server import sieve
from gateway.server.sieve import SieveEngine
from tests.upstream.managesieve.scripted import GREETING, Peer, serve


async def test_facts_without_a_login() -> None:
    """The greeting tells all; whoever subscribed hears of a change, and of nothing else."""
    greeting = GREETING
    heard: list[tuple[str, ...] | None] = []

    async def script(peer: Peer) -> None:
        peer.send(greeting)
        assert await peer.command() == b"LOGOUT"

    async with serve(script) as endpoint:
        engine = SieveEngine(endpoint)
        stop = engine.subscribe(lambda: heard.append(engine.facts.extensions if engine.facts else None))
        assert await engine.look() == await engine.look()
        assert heard == [("fileinto",)]
        greeting = GREETING.replace(b"fileinto", b"fileinto vacation enotify")
        facts = await engine.look()
        assert facts is not None
        assert facts.has_vacation
        assert not facts.has_dates
        assert (facts.implementation, facts.notification_methods, facts.external_lists) == ("test", (), None)
        stop()
        greeting = GREETING
        await engine.look()
        assert heard == [("fileinto",), ("fileinto", "vacation", "enotify")]


async def test_a_server_that_is_away() -> None:
    """One failure changes nothing, a second one in a row ends what is offered, and an answer brings it back."""
    is_there = True

    async def script(peer: Peer) -> None:
        if is_there:
            peer.send(GREETING)
            await peer.command()

    async with serve(script) as endpoint:
        engine = SieveEngine(endpoint)
        facts = await engine.look()
        assert facts is not None
        is_there = False
        assert await engine.look() == facts
        assert await engine.look() is None
        is_there = True
        assert await engine.look() == facts


async def test_nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing delays a Session for a moment only."""
    monkeypatch.setattr(sieve, "FIRST_WAIT_S", 0.05)

    async def script(peer: Peer) -> None:
        await asyncio.sleep(5)

    async with serve(script) as endpoint:
        engine = SieveEngine(endpoint)
        engine.start()
        begun = time.monotonic()
        await engine.first_look()
        assert time.monotonic() - begun < 1
        assert engine.facts is None
        await engine.aclose()
