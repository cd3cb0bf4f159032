"""A login that is refused after it was taken: revoked, or not now?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.auth import Caller
from gateway.secret import Secret
from gateway.server import refusals as refusals_module
from gateway.server.refusals import Refusals
from gateway.upstream.imap import AuthenticationFailed, PasswordCredentials
from gateway.upstream.imap.errors import ConnectError

CALLER = Caller("ann", "main", "a1", PasswordCredentials("ann", Secret("hers")))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals_module, "LOOK_AGAIN_S", (0.0, 0.01))


class Provider:
    """An upstream that answers each login in turn; None: accepted."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers: Iterator[Exception | None] = iter(answers)
        self.asked = 0

    async def verify(self, _credentials: Any) -> None:
        self.asked += 1
        answer = next(self._answers)
        if answer is not None:
            raise answer


async def revoked_by(*answers: Exception | None, callers: int = 1) -> tuple[list[str], Provider]:
    """Tell of a refusal (several times) and return whom that revoked."""
    provider, revoked = Provider(*answers), list[str]()

    async def revoke(caller: Caller) -> None:
        revoked.append(caller.account_id)

    refusals = Refusals({"main": provider}, lambda _id: CALLER if callers else None, revoke)  # type: ignore[dict-item] # all that is asked of one
    for _ in range(5):
        refusals.told("a1")
        await asyncio.sleep(0.03)
    await refusals.aclose()
    return revoked, provider


async def test_refused_twice_is_revoked() -> None:
    """Once, however often it is told: a watcher that retries is refused each time."""
    refused = AuthenticationFailed("no")
    revoked, provider = await revoked_by(refused, refused)
    assert (revoked, provider.asked) == (["a1"], 2)


@pytest.mark.parametrize(
    "answers",
    [
        (None,),
        (AuthenticationFailed("no"), None),
        (AuthenticationFailed("busy", code="UNAVAILABLE"),),
        (AuthenticationFailed("no"), AuthenticationFailed("busy", code="UNAVAILABLE")),
        (AuthenticationFailed("no"), ConnectError("away")),
        (TimeoutError(),),
    ],
)
async def test_anything_else_is_not(answers: tuple[Exception | None, ...]) -> None:
    """Accepted again, busy, away: the subscriptions of the login stay."""
    revoked, _ = await revoked_by(*answers)
    assert revoked == []


async def test_an_account_that_was_closed_is_left_alone() -> None:
    """Nobody has its credentials any more."""
    revoked, provider = await revoked_by(callers=0)
    assert (revoked, provider.asked) == ([], 0)
