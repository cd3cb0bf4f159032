"""What the Sieve engine of an upstream can do, found out without a login and kept: the Session tells it.

Rule 1: a Session waits for the first answer for a moment, and never for a second one: what was found out is believed
    until a look, every few minutes, says otherwise.
Rule 2: a server that did not answer twice in a row is not there: nothing of it is advertised until it answers again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from gateway.account.account import Account
from gateway.account.scripts import SCRIPT, SieveFacts
from gateway.jmap.capability import BLOB, BLOB_TYPE_NAMES, SIEVE, VACATION_RESPONSE, sieve_account_capability
from gateway.sync.sieve.scripts import facts_of
from gateway.upstream.managesieve import Connection, ManageSieveError
from gateway.upstream.tls import Endpoint

FIRST_WAIT_S = 1.0  # a greeting takes milliseconds, or the server is not well
LOOK_S = 300.0  # an engine changes with an upgrade
LOOK_AGAIN_S = 15.0  # where the last look failed
FAILURES = 2

log = logging.getLogger(__name__)


class SieveEngine:
    """The engine of one upstream. `start()` looks at it from now on, until `aclose()`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.facts: SieveFacts | None = None
        self._subscribers: list[Callable[[], None]] = []
        self._has_looked = asyncio.Event()
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._look_round(), name=f"sieve {self.endpoint.host}")

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when the facts have changed; return the function that ends this."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    async def first_look(self) -> None:
        """Wait for the first look, but not for long."""
        try:
            async with asyncio.timeout(FIRST_WAIT_S):
                await self._has_looked.wait()
        except TimeoutError:
            return

    async def look(self) -> SieveFacts | None:
        """Ask the server now. What it says is told to everybody."""
        try:
            connection = await Connection.open(self.endpoint, None)
        except ManageSieveError as error:
            self._failures += 1
            if self._failures == 1:
                log.warning("sieve_unreachable", extra={"host": self.endpoint.host, "error": type(error).__name__})
            if self._failures >= FAILURES:
                self._tell(None)
        else:
            if self._failures:
                log.info("sieve_reachable", extra={"host": self.endpoint.host})
            self._failures = 0
            self._tell(facts_of(connection.capabilities))
            await connection.logout()
        self._has_looked.set()
        return self.facts

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _look_round(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_AGAIN_S if self._failures else LOOK_S)

    def _tell(self, facts: SieveFacts | None) -> None:
        if facts != self.facts:
            self.facts = facts
            for callback in list(self._subscribers):
                callback()


def advertise(account: Account) -> None:
    """Make an account's capabilities tell what its Sieve engine can do now."""
    facts = account.scripts.facts if account.scripts is not None else None
    for offered in (account.capabilities, account.session_capabilities):
        offered.pop(SIEVE, None)
        offered.pop(VACATION_RESPONSE, None)
    blob = account.capabilities.get(BLOB)
    if blob is not None:  # where Blob/lookup finds a blob
        blob["supportedTypeNames"] = [*BLOB_TYPE_NAMES, *([SCRIPT] if facts is not None else [])]
    if facts is None:
        return
    account.capabilities[SIEVE] = _account_capability(facts)
    account.session_capabilities[SIEVE] = {"implementation": facts.implementation}
    if facts.has_vacation:
        account.capabilities[VACATION_RESPONSE] = {}


def _account_capability(facts: SieveFacts) -> dict[str, Any]:
    return sieve_account_capability(
        extensions=facts.extensions,
        notification_methods=facts.notification_methods,
        external_lists=facts.external_lists,
        max_redirects=facts.max_redirects,
    )
