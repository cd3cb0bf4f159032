"""Messages that wait to be sent, put aside as they go out: without Bcc (`message.outgoing`).

Rule 1: a message belongs to a submission whose job is in the store; one without is litter of a crash, and is swept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping

from gateway.account.submitting import Prepared
from gateway.message.outgoing import Outgoing
from gateway.store.api import OutgoingStore


class TooLarge(Exception):
    """The message is larger than allowed."""


class Gone(Exception):
    """The message is not there (any more)."""


class Spool:
    """One for the gateway."""

    def __init__(self, store: OutgoingStore) -> None:
        self._store = store

    async def put(
        self, account_id: str, id: str, chunks: AsyncIterator[bytes], *, max_octets: int | None = None
    ) -> Prepared:
        """Write a message; raise `TooLarge`, `HeaderTooLong` or what reading it raises, and leave nothing then."""
        outgoing = Outgoing()
        async with self._store.writing(account_id, id) as write:
            async for chunk in chunks:
                await write(outgoing.feed(chunk))
                if max_octets is not None and outgoing.size_octets > max_octets:
                    raise TooLarge
            await write(outgoing.finish())
        return Prepared(
            id=id,
            fields=outgoing.fields,
            size_octets=outgoing.size_octets,
            is_8bit=outgoing.is_8bit,
            has_utf8_headers=outgoing.has_utf8_headers,
        )

    async def octets(self, account_id: str, id: str) -> AsyncIterator[bytes]:
        """Yield a message. Raise `Gone`."""
        try:
            async for chunk in self._store.octets(account_id, id):
                yield chunk
        except FileNotFoundError:
            raise Gone from None

    async def has(self, account_id: str, id: str) -> bool:
        return await self._store.has(account_id, id)

    async def drop(self, account_id: str, id: str) -> None:
        await self._store.drop(account_id, id)

    async def litter(self) -> Mapping[str, Collection[str]]:
        """Return what a crash may have left, submissions by account: those that have no job are to be dropped."""
        return await self._store.litter()
