"""What a login is offered, when the upstream is slow, gone or full of others' mailboxes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.jmap.capability import QUOTA
from gateway.jmap.errors import MethodError
from gateway.server import offers as offers_module
from gateway.server.offers import MAX_SHARED, Offers
from gateway.sync.identity import Identity
from gateway.sync.imap_backend import ImapBackend
from gateway.sync.link import Facts
from gateway.sync.plan import Tier
from gateway.sync.scope import Scope

FACTS = Facts(frozenset({"NAMESPACE", "QUOTA"}), Tier.NEITHER, Identity.FIELDS)


class Backend(ImapBackend):
    """One that answers from what a test puts in."""

    def __init__(self) -> None:
        self.told: Facts | MethodError = FACTS
        self.scopes: list[Scope] = []
        self.waits = asyncio.Event()
        self.waits.set()
        self.looks = self.fresh_looks = 0

    async def facts(self) -> Facts:
        self.looks += 1
        await self.waits.wait()
        if isinstance(self.told, MethodError):
            raise self.told
        return self.told

    async def shared_scopes(self, *, fresh: bool) -> list[Scope]:
        self.fresh_looks += fresh
        return self.scopes


class Stub:
    """What of an account is asked."""

    def __init__(self, id: str) -> None:
        self.id, self.backend = id, Backend()
        self.capabilities: dict[str, Any] = {}
        self.is_gone = False

    def subscribe(self, _callback: Any) -> None: ...

    async def fresh(self, _need: Any) -> None:
        raise MethodError("serverUnavailable")

    def snapshot(self) -> Any:
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...

    def mailboxes(self) -> list[Any]:
        return []

    async def aclose(self) -> None: ...

    async def forget(self) -> None:
        self.is_gone = True


def make(own: Stub, **options: Any) -> Offers:
    async def open_shared(id: str, _scope: Scope) -> Any:
        return Stub(id)

    return Offers(own, open_shared, **options)  # type: ignore[arg-type] # a stub is all it needs


def owner(name: str) -> Scope:
    return Scope(f"user/{name}/", "/", name, is_personal=False)


async def test_a_slow_server_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request waits for a while, the next ones do not; what is learned late is learned."""
    monkeypatch.setattr(offers_module, "WAIT_S", 0.1)
    own = Stub("A1")
    own.backend.waits.clear()
    offers = make(own)
    begun = time.monotonic()
    for _ in range(20):
        await offers.learn()
    assert time.monotonic() - begun < 1.0
    assert (own.backend.looks, own.capabilities) == (1, {})
    own.backend.waits.set()
    await asyncio.sleep(0.05)
    assert own.capabilities == {QUOTA: {}}
    await offers.aclose()


async def test_a_server_that_is_gone_is_asked_again(tmp_path: Path) -> None:
    """A failure is no answer, and harms nothing."""
    own = Stub("A1")
    own.backend.told = MethodError("serverUnavailable")
    offers = make(own, interval_s=0.0)
    await offers.learn()
    assert own.capabilities == {}
    own.backend.told = FACTS
    await offers.learn()
    assert own.capabilities == {QUOTA: {}}
    await offers.aclose()


async def test_accounts_come_and_go() -> None:
    """Each owner is one account with an id of its own, the same when it comes back; a failed look closes none."""
    own, told = Stub("A1"), list[set[str]]()
    offers: Offers = make(own, interval_s=0.0, changed=lambda: told.append(set(offers.shared)))
    own.backend.scopes = [owner("bob"), owner("carol")]
    await offers.learn()
    await offers.learn()
    bob, carol = offers.shared
    assert told == [{bob, carol}]
    own.backend.told = MethodError("serverUnavailable")
    await offers.learn()
    assert set(offers.shared) == {bob, carol}
    own.backend.told = FACTS
    gone: Any = offers.shared[bob]
    own.backend.scopes = [owner("carol")]
    await offers.learn()
    assert (set(offers.shared), gone.is_gone) == ({carol}, True)
    own.backend.scopes = [owner("bob")]
    await offers.learn()
    assert (set(offers.shared), told[-1]) == ({bob}, {bob})
    await offers.aclose()


async def test_there_are_never_too_many() -> None:
    """Thousands who share do not become thousands of indexes."""
    own = Stub("A1")
    own.backend.scopes = [owner(f"u{number}") for number in range(1000)]
    offers = make(own)
    await offers.learn()
    assert len(offers.shared) == MAX_SHARED
    await offers.aclose()


async def test_logins_for_looks_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look has connections that are new anyway; later one is made every few minutes."""
    own = Stub("A1")
    own.backend.told = replace(FACTS, identity=Identity.GUID)
    offers = make(own, interval_s=1.0)
    begun = time.monotonic()
    await offers.learn()
    assert (own.backend.looks, own.backend.fresh_looks) == (1, 0)
    for minute in range(1, 11):
        monkeypatch.setattr(offers_module, "time", SimpleNamespace(monotonic=partial(float, begun + 60 * minute)))
        await offers.learn()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert (own.backend.looks, own.backend.fresh_looks) == (11, 2)
    monkeypatch.undo()
    await offers.aclose()
