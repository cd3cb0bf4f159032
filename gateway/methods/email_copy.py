"""Email/copy (RFC 8621 section 4.7): the message is read from one account and stored in the other, as it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from gateway.account.account import Account
from gateway.account.backend import WHOLE, SectionVanished
from gateway.account.records import EmailMarks
from gateway.jmap.errors import SetError
from gateway.jmap.method import Arguments
from gateway.message.measure import measure
from gateway.methods.creations import Faults
from gateway.methods.email_store import Mailboxes, new_email, store
from gateway.methods.outcomes import Attempts
from gateway.methods.standard_copy import Copy
from gateway.methods.standard_set import Call


class EmailCopies:
    """How one Email/copy writes."""

    def __init__(self, call: Call, from_account: Account) -> None:
        self._account, self._from = call.account, from_account
        self._mailboxes = Mailboxes(call.account)

    def check_copy(self, copy: Copy[EmailMarks]) -> Faults:
        if "mailboxIds" not in copy.properties:
            # The original's are of another account.
            return {"mailboxIds": "is required"}
        return self._mailboxes.check_new(copy.properties["mailboxIds"], _keywords(copy))

    async def copy(self, copies: Sequence[Copy[EmailMarks]]) -> Mapping[str, Arguments | SetError]:
        attempts = Attempts()
        return {copy.creation_id: await attempts.one(self._copy(copy)) for copy in copies}

    async def _copy(self, copy: Copy[EmailMarks]) -> Arguments:
        try:
            message = await measure(_octets_of(self._from, copy.original_id))
        except SectionVanished:
            raise SetError("notFound", "the original is gone") from None
        properties = {**copy.properties, "keywords": _keywords(copy)}
        email = new_email(message, properties, received_at_s=copy.original.received_at_s)
        try:
            return await store(self._account, email)
        except SectionVanished:
            raise SetError("notFound", "the original is gone") from None


def _keywords(copy: Copy[EmailMarks]) -> Sequence[str]:
    return tuple(copy.properties.get("keywords", copy.original.keywords))


def _octets_of(account: Account, email_id: str) -> Callable[[], AsyncGenerator[bytes, None]]:
    async def octets() -> AsyncGenerator[bytes, None]:
        chunks = account.backend.stream_section(email_id, WHOLE)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    return octets
