"""Storing a message in an account: what Email/set, Email/import and Email/copy do alike (RFC 8621 sections 4.6 to 4.8).

Rule 1: mailboxes and rights are checked before anything goes upstream; an Email is in one mailbox at least.
Rule 2: the answer is read off the index after the write: it is what a /get would say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any

from gateway.account.account import Account
from gateway.account.backend import NewEmail
from gateway.account.ids import message_blob_id
from gateway.account.records import MailboxRow
from gateway.jmap.capability import MAIL
from gateway.jmap.errors import SetError
from gateway.jmap.method import Arguments
from gateway.jmap.types import date_to_seconds
from gateway.message.build import ContentChanged
from gateway.methods.blob_source import BlobNotFound
from gateway.methods.creations import Faults

# Of one Email: IMAP servers keep some dozens of names for a mailbox, people use five.
MAX_KEYWORDS = 100


class Mailboxes:
    """The mailboxes of an account as one call finds them, and what may be done there."""

    def __init__(self, account: Account) -> None:
        self._account = account

    @cached_property
    def rows(self) -> Mapping[str, MailboxRow]:
        with self._account.snapshot() as snapshot:
            return {row.facts.id: row for row in snapshot.mailboxes()}

    def check_new(self, mailbox_ids: Collection[str], keywords: Collection[str]) -> Faults:
        """Check where a new Email is to be, and its keywords. Raise tooManyMailboxes, tooManyKeywords, forbidden."""
        self.check_keywords(keywords)
        if faults := self.check_places(mailbox_ids):
            return faults
        self.need("mayAddItems", mailbox_ids)
        self.need_for_keywords(keywords, mailbox_ids)
        return {}

    def check_places(self, mailbox_ids: Collection[str]) -> Faults:
        """Check the set of mailboxes that an Email is to be in. Raise tooManyMailboxes."""
        if not mailbox_ids:
            return {"mailboxIds": "names no Mailbox: an Email is in one at least"}
        if any(id not in self.rows for id in mailbox_ids):
            return {"mailboxIds": "names a Mailbox that does not exist"}
        limit = self._account.capabilities.get(MAIL, {}).get("maxMailboxesPerEmail")
        if limit is not None and len(mailbox_ids) > limit:
            raise SetError("tooManyMailboxes", f"an Email is in at most {limit} Mailboxes")
        return {}

    def check_keywords(self, keywords: Collection[str]) -> None:
        if len(keywords) > MAX_KEYWORDS:
            raise SetError("tooManyKeywords", f"an Email has at most {MAX_KEYWORDS} keywords")

    def need(self, right: str, mailbox_ids: Iterable[str]) -> None:
        """Raise `forbidden` unless the right is there in all of these mailboxes."""
        for id in mailbox_ids:
            row = self.rows.get(id)
            if row is not None and right not in row.facts.rights:
                raise SetError("forbidden", f"{right} is false for a Mailbox of the Email")

    def need_for_keywords(self, keywords: Iterable[str], mailbox_ids: Collection[str]) -> None:
        """Raise `forbidden` unless these keywords may be set or cleared in all of these mailboxes."""
        for right in {"maySetSeen" if keyword == "$seen" else "maySetKeywords" for keyword in keywords}:
            self.need(right, mailbox_ids)


def new_email(message: Any, properties: Mapping[str, Any], *, received_at_s: int | None = None) -> NewEmail:
    """Return what the backend is to store: a built or measured message with an Email's properties."""
    if properties.get("receivedAt") is not None:
        received_at_s = int(date_to_seconds(properties["receivedAt"]))
    return NewEmail(
        octets=message.octets,
        size_octets=message.size_octets,
        mailbox_ids=tuple(properties["mailboxIds"]),
        keywords=frozenset(properties["keywords"]),
        received_at_s=received_at_s,
        has_utf8_headers=message.has_utf8_headers,
    )


async def store(account: Account, email: NewEmail) -> Arguments:
    """Append a message and return what `created` says of it. Raise SetError."""
    try:
        id = await account.backend.append_email(email)
    except BlobNotFound:
        raise SetError("serverFail", "a blob of the message went away") from None
    except ContentChanged:
        raise SetError("serverFail", "a blob of the message is not what it was a moment ago") from None
    return created(account, id)


def created(account: Account, id: str) -> Arguments:
    """Return the properties of a new Email that RFC 8621 section 4.6 asks for."""
    with account.snapshot() as snapshot:
        row = snapshot.emails([id]).get(id)
    if row is None:
        raise SetError("serverFail", "the message was stored and is gone again")
    return {"id": id, "blobId": message_blob_id(id), "threadId": row.thread_id, "size": row.size_octets}
