"""The writes of one account: each runs to its end, whatever becomes of the request that asked for it.

Rule 1: a request that goes away (its client hung up) stops no write: half a move helps nobody.
Rule 2: nothing is changed upstream that could not be written down here: a client told to try again does it twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from gateway.account.backend import EmailChange, NewEmail
from gateway.jmap.errors import SetError
from gateway.sync.link import Link
from gateway.sync.writes.appending import Appending
from gateway.sync.writes.changing import Change
from gateway.sync.writes.expunging import Debts

T = TypeVar("T")

CLOSE_S = 10.0  # a write under way gets so long to end when the account is closed


class Writes:
    """change_emails and append_email of one account."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._debts = Debts()
        self._running: set[asyncio.Task[Any]] = set()

    async def change_emails(self, changes: Sequence[EmailChange]) -> Mapping[str, SetError]:
        """Carry out changes; return what failed. Raises ImapError when nothing was attempted."""
        return await self.to_its_end(self._change(changes))

    async def append_email(self, email: NewEmail) -> str:
        """Store a message and return its Email id. Raises SetError, or ImapError when nothing was attempted."""
        return await self.to_its_end(Appending(self._link, self._debts, email).run())

    async def aclose(self) -> None:
        """Let writes under way end; give them up after a while."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _change(self, changes: Sequence[EmailChange]) -> Mapping[str, SetError]:
        async with self._link.turn:
            return await Change(self._link, self._debts).run(changes)

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a write of this account that nothing ends but itself. Raise `MethodError` where it cannot begin."""
        try:
            await self._link.account.ready()
        except BaseException:
            work.close()
            raise
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: whoever asked may be gone
