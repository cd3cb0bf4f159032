"""Email/set (RFC 8621 section 4.6): drafts are created, keywords and mailboxes changed, Emails destroyed.

Rule 1: an update is a difference against the index: what others change meanwhile stays.
Rule 2: all updates of a call are one call of the backend, and all destructions: 500 Emails cost a handful of commands.
Rule 3: a message is put together and measured whole before the first octet goes upstream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any

from gateway.account.account import Account
from gateway.account.backend import EmailChange
from gateway.account.records import Changes, EmailMarks
from gateway.account.snapshot import Snapshot
from gateway.jmap.arguments import Argument
from gateway.jmap.capability import MAIL
from gateway.jmap.declare import DataType
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.method import Arguments
from gateway.jmap.objects.email import EMAIL
from gateway.jmap.reference import resolve_id
from gateway.message.build import NewMessage, NewPart, Octets, Text, build_message
from gateway.message.parameters import parse_content_type
from gateway.methods import email
from gateway.methods.blob_source import BlobNotFound, FoundBlob, find_blob, prepare_blobs
from gateway.methods.creations import Creation, Faults
from gateway.methods.email_copy import EmailCopies
from gateway.methods.email_create import Draft, read_draft
from gateway.methods.email_create_part import PartPlan
from gateway.methods.email_store import Mailboxes, new_email, store
from gateway.methods.outcomes import Attempts
from gateway.methods.reach import EVERYTHING, KNOWN, is_complete
from gateway.methods.standard_set import Call, Update

MAX_DIFFERENCES = 256  # remembered: a thousand Emails have a handful of combinations between them


class MarksView:
    """What can change of the Emails of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._known: dict[str, EmailMarks] = {}

    @property
    def state(self) -> str:
        return self._snapshot.state("Email")

    def has(self, ids: Sequence[str]) -> bool:
        """Tell whether all of these are there, and remember them."""
        self._known = self._snapshot.email_marks(ids)
        return len(self._known) == len(ids)

    def records(self, ids: Sequence[str] | None, *, at_most: int) -> Mapping[str, EmailMarks]:
        if ids is None:
            return self._snapshot.email_marks(self._snapshot.email_ids(at_most + 1))
        if self._known.keys() != set(ids):
            self._known = self._snapshot.email_marks(ids)
        return self._known

    def changes(self, since: str, *, at_most: int) -> Changes:
        return self._snapshot.changes("Email", since, at_most)


class EmailSetSource:
    """Emails for the standard /set and /copy."""

    data_type: DataType = EMAIL
    tells_updated_properties = False
    getters: Mapping[str, Callable[[EmailMarks], Any]] = {
        "mailboxIds": lambda marks: dict.fromkeys(marks.mailbox_ids, True),
        "keywords": lambda marks: dict.fromkeys(marks.keywords, True),
    }
    set_arguments: Mapping[str, Argument] = {}
    copy_properties = frozenset({"mailboxIds", "keywords", "receivedAt"})

    @asynccontextmanager
    async def look(self, account: Account, ids: Sequence[str] | None = ()) -> AsyncIterator[MarksView]:
        await account.fresh(KNOWN)
        with account.snapshot() as snapshot:
            view = MarksView(snapshot)
            if not ids or view.has(ids) or is_complete(snapshot):
                yield view
                return
        await account.fresh(EVERYTHING)  # they may be in a mailbox that nobody has asked for yet
        with account.snapshot() as snapshot:
            yield MarksView(snapshot)

    async def state(self, account: Account) -> str:
        with account.snapshot() as snapshot:
            return snapshot.state("Email")

    def writes(self, call: Call) -> EmailWrites:
        return EmailWrites(call)

    def copies(self, call: Call, from_account: Account) -> EmailCopies:
        return EmailCopies(call, from_account)


class EmailWrites:
    """How one Email/set writes."""

    def __init__(self, call: Call) -> None:
        self._call, self._account = call, call.account
        self._mailboxes = Mailboxes(call.account)
        self._drafts: dict[str, Draft] = {}

    async def current(self, record: EmailMarks, names: Collection[str]) -> Mapping[str, Any]:
        """Show the header and body properties of one Email as a /get does."""
        known = [name for name in names if name.startswith("header:") or name in EMAIL.properties]
        arguments = {"accountId": self._account.id, "ids": [record.id], "properties": known}
        try:
            shown = await email.get(self._call.context, arguments)
        except MethodError:  # a header property that the RFC does not know: it will be refused, by its name
            return {}
        return shown["list"][0] if shown["list"] else {}

    # ------------------------------------------------------------ create

    def check_create(self, creation: Creation) -> Faults:
        draft, faults = read_draft(creation)
        properties = creation.properties
        if "mailboxIds" in properties and "keywords" in properties:
            faults |= self._mailboxes.check_new(properties["mailboxIds"], properties["keywords"])
        if draft is not None:
            self._drafts[creation.id] = draft
        return faults

    async def create(self, creations: Sequence[Creation]) -> Mapping[str, Arguments | SetError]:
        wanted = [id for one in creations for id in self._blob_ids(self._drafts[one.id])]
        if wanted:
            await prepare_blobs(self._account, wanted, sizes=False)
        attempts = Attempts()
        # One after another: they are found in the order in which they were given.
        return {creation.id: await attempts.one(self._create(creation)) for creation in creations}

    async def _create(self, creation: Creation) -> Arguments:
        message = await self._built(self._drafts[creation.id])
        return await store(self._account, new_email(message, creation.properties))

    def _blob_ids(self, draft: Draft) -> Iterable[str]:
        return [resolve_id(self._call.context, id) for id in draft.blob_ids()]

    async def _built(self, draft: Draft) -> NewMessage:
        """Put the message together. Raise blobNotFound, tooLarge."""
        blobs: dict[str, FoundBlob] = {}
        missing: dict[str, None] = {}
        for blob_id in draft.blob_ids():
            if blob_id in blobs:
                continue
            try:
                blobs[blob_id] = await find_blob(self._account, resolve_id(self._call.context, blob_id))
            except BlobNotFound:
                missing[blob_id] = None
        if missing:
            raise _blob_not_found(missing)
        try:
            message = await build_message(draft.fields, _part(draft.root, blobs))
        except BlobNotFound as error:
            raise _blob_not_found([str(error)]) from None
        limit = self._account.capabilities.get(MAIL, {}).get("maxSizeAttachmentsPerEmail")
        if limit is not None and message.blob_octets > limit:
            raise SetError("tooLarge", f"the attachments have more than {limit} octets")
        return message

    # ------------------------------------------------------------ update, destroy

    def alike(self, record: EmailMarks) -> Hashable:
        return record.keywords, record.mailbox_ids

    def check_update(self, update: Update[EmailMarks]) -> Faults:
        change, mailboxes = _difference(update), self._mailboxes
        now = frozenset(update.record.mailbox_ids)
        self._mailboxes.check_keywords(update.changes.get("keywords", ()))
        if "mailboxIds" in update.changes and (faults := mailboxes.check_places(update.changes["mailboxIds"])):
            return faults
        mailboxes.need("mayAddItems", change.add_mailboxes)
        mailboxes.need("mayRemoveItems", change.remove_mailboxes)
        mailboxes.need_for_keywords(change.add_keywords | change.remove_keywords, now | change.add_mailboxes)
        return {}

    async def update(self, updates: Sequence[Update[EmailMarks]]) -> Mapping[str, Arguments | SetError | None]:
        return await self._account.backend.change_emails([_difference(update) for update in updates])

    async def destroy(self, records: Mapping[str, EmailMarks]) -> Mapping[str, SetError]:
        failed: dict[str, SetError] = {}
        changes: list[EmailChange] = []
        for id, row in records.items():
            try:
                self._mailboxes.need("mayRemoveItems", row.mailbox_ids)
            except SetError as error:
                failed[id] = error
            else:
                changes.append(EmailChange(email_id=id, remove_mailboxes=frozenset(row.mailbox_ids)))
        return {**failed, **(await self._account.backend.change_emails(changes) if changes else {})}


def _difference(update: Update[EmailMarks]) -> EmailChange:
    marks, changes = update.record, update.changes
    add_keywords, remove_keywords = _apart(marks.keywords, tuple(changes.get("keywords", marks.keywords)))
    add_mailboxes, remove_mailboxes = _apart(marks.mailbox_ids, tuple(changes.get("mailboxIds", marks.mailbox_ids)))
    return EmailChange(
        email_id=marks.id,
        add_keywords=add_keywords,
        remove_keywords=remove_keywords,
        add_mailboxes=add_mailboxes,
        remove_mailboxes=remove_mailboxes,
    )


@lru_cache(MAX_DIFFERENCES)
def _apart(now: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Return what comes and what goes."""
    return frozenset(wanted).difference(now), frozenset(now).difference(wanted)


def _part(plan: PartPlan, blobs: Mapping[str, FoundBlob]) -> NewPart:
    """Return the part to build."""
    content: Text | Octets | None = None
    type = plan.type
    if plan.text is not None:
        content = Text(plan.text)
    elif plan.blob_id is not None:
        blob = blobs[plan.blob_id]
        # What an upstream tells of a part's size may be off by a few octets: only that of an upload is sure.
        content = Octets(partial(blob.chunks, 0), None if blob.email_id is not None else blob.size_octets)
        type = type or _type_of(blob)
    return NewPart(
        type or "application/octet-stream",
        plan.parameters,
        plan.fields,
        content,
        tuple(_part(subpart, blobs) for subpart in plan.subparts),
    )


def _type_of(blob: FoundBlob) -> str:
    """Return the type of a blob for which the client gives none."""
    type = parse_content_type(blob.type).value if blob.type and "/" in blob.type else ""
    return "application/octet-stream" if not type or type.startswith("multipart/") else type


def _blob_not_found(blob_ids: Iterable[str]) -> SetError:
    return SetError("blobNotFound", notFound=list(blob_ids))
