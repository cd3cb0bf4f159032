"""The writes of one account's Emails, each of which runs to its end (`under_way`).

Rule 1: nothing is changed upstream that could not be written down here: a client told to try again does it twice.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from gateway.account.backend import EmailChange, NewEmail
from gateway.jmap.errors import SetError
from gateway.sync.link import Link
from gateway.sync.under_way import UnderWay
from gateway.sync.writes.appending import Appending
from gateway.sync.writes.changing import Change
from gateway.sync.writes.expunging import Debts

T = TypeVar("T")


class Writes(UnderWay):
    """change_emails and append_email of one account, among all that is under way."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._debts = Debts()

    async def change_emails(self, changes: Sequence[EmailChange]) -> Mapping[str, SetError]:
        """Carry out changes; return what failed. Raises ImapError when nothing was attempted."""
        return await self.to_its_end(self._change(changes))

    async def append_email(self, email: NewEmail) -> str:
        """Store a message and return its Email id. Raises SetError, or ImapError when nothing was attempted."""
        return await self.to_its_end(Appending(self._link, self._debts, email).run())

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
        return await super().to_its_end(work)
