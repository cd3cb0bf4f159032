"""A login that the mail server refuses after it has taken it before: has it been revoked?

Rule 1: one refusal proves nothing: servers refuse for a while under load, or while somebody guesses at the login. What
        was built on the credentials ends when they are refused twice, some time apart, for no passing reason.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from gateway.auth.caller import Caller
from gateway.auth.login import NOT_NOW
from gateway.server.upstreams import Provider
from gateway.upstream.imap import AuthenticationFailed, ImapError

LOOK_AGAIN_S = (0.0, 30.0)
REST_S = 300.0  # after a look, before the next one at the same account: a watcher that retries is refused each time
LOOK_TIMEOUT_S = 60.0

log = logging.getLogger(__name__)


class Refusals:
    """Call `told` with the account whose login was refused. `revoked` is called when that is certain."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        caller_of: Callable[[str], Caller | None],
        revoked: Callable[[Caller], Awaitable[None]],
    ) -> None:
        self._providers, self._caller_of, self._revoked = providers, caller_of, revoked
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._rests_until: dict[str, float] = {}

    def told(self, account_id: str) -> None:
        """Look into a refusal, if that is not under way."""
        if account_id in self._looks or self._rests_until.get(account_id, 0) > time.monotonic():
            return
        task = self._looks[account_id] = asyncio.create_task(self._look(account_id), name="refusal")
        task.add_done_callback(lambda done: self._done(account_id, done))

    async def aclose(self) -> None:
        tasks = list(self._looks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, account_id: str, task: asyncio.Task[None]) -> None:
        self._looks.pop(account_id, None)
        now = time.monotonic()
        self._rests_until = {id: until for id, until in self._rests_until.items() if until > now}
        self._rests_until[account_id] = now + REST_S
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a refusal was not looked into", exc_info=error)

    async def _look(self, account_id: str) -> None:
        caller: Caller | None = None
        for wait_s in LOOK_AGAIN_S:
            await asyncio.sleep(wait_s)
            caller = self._caller_of(account_id)
            if caller is None or not await self._is_refused(caller):
                return
        if caller is not None:
            log.info("credentials were revoked", extra={"account": account_id, "upstream": caller.upstream})
            await self._revoked(caller)

    async def _is_refused(self, caller: Caller) -> bool:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                await self._providers[caller.upstream].verify(caller.credentials)
        except AuthenticationFailed as error:
            return error.code not in NOT_NOW
        except (ImapError, OSError):
            return False
        return False
