"""What an Email/get or Email/parse asks for, worked out once from its list of properties (RFC 8621 sections 4.1, 4.2).

Rule 1: a property of the list view is read off the index row and nothing else: no header, no structure, no upstream.
Rule 2: a header property that is one of the convenience properties under another name is read off the row too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any

from gateway.account.ids import message_blob_id
from gateway.account.records import EmailRow
from gateway.jmap.errors import MethodError
from gateway.jmap.objects.email import DEFAULT_BODY_PROPERTIES, EMAIL, EMAIL_BODY_PART
from gateway.message.headers import HeaderProperty, HeaderPropertyError
from gateway.message.part import Part

Column = tuple[str, Callable[[EmailRow], Any]]
PartColumn = tuple[str, Callable[[Part], Any]]

# Clients send a handful of lists, again and again; an attacker's variety costs the others their place, no more.
CACHED_SHAPES = 256
CACHED_DATES = 10_000  # of the pages that are looked at again and again; a megabyte
# More than all the properties there are, with room for header fields: each asked for costs time on every Email.
MAX_PROPERTIES = 500


_EPOCH = datetime(1970, 1, 1)


@lru_cache(CACHED_DATES)
def utc_date(seconds: int) -> str:
    """Return a UTCDate (RFC 8620 section 1.4)."""
    # Naive arithmetic takes half the time that a time zone takes.
    return (_EPOCH + timedelta(seconds=seconds)).isoformat() + "Z"


ROW: dict[str, Callable[[EmailRow], Any]] = {
    "id": attrgetter("id"),
    "blobId": lambda row: message_blob_id(row.id),
    "threadId": attrgetter("thread_id"),
    "mailboxIds": lambda row: dict.fromkeys(row.mailbox_ids, True),
    "keywords": lambda row: dict.fromkeys(row.keywords, True),
    "size": attrgetter("size_octets"),
    "receivedAt": lambda row: utc_date(row.received_at_s),
    "messageId": attrgetter("summary.message_id"),
    "inReplyTo": attrgetter("summary.in_reply_to"),
    "references": attrgetter("summary.references"),
    "sender": attrgetter("summary.sender"),
    "from": attrgetter("summary.from_"),
    "to": attrgetter("summary.to"),
    "cc": attrgetter("summary.cc"),
    "bcc": attrgetter("summary.bcc"),
    "replyTo": attrgetter("summary.reply_to"),
    "subject": attrgetter("summary.subject"),
    "sentAt": attrgetter("summary.sent_at"),
    # Both are known, or the upstream has lost the message meanwhile.
    "hasAttachment": lambda row: row.has_attachment or False,
    "preview": lambda row: row.preview or "",
}
_DETAILS = frozenset({"hasAttachment", "preview"})
# What every row shows truly, with its details loaded or not.
EMAIL_GETTERS = {name: of for name, of in ROW.items() if name not in _DETAILS}
_BODY = frozenset({"bodyStructure", "textBody", "htmlBody", "attachments", "bodyValues"})

# RFC 8621 section 4.1.3: "The value is identical to the value of …".
_SAME_AS = {
    ("message-id", "MessageIds"): "messageId",
    ("in-reply-to", "MessageIds"): "inReplyTo",
    ("references", "MessageIds"): "references",
    ("sender", "Addresses"): "sender",
    ("from", "Addresses"): "from",
    ("to", "Addresses"): "to",
    ("cc", "Addresses"): "cc",
    ("bcc", "Addresses"): "bcc",
    ("reply-to", "Addresses"): "replyTo",
    ("subject", "Text"): "subject",
    ("date", "Date"): "sentAt",
}

_PART: dict[str, Callable[[Part], Any]] = {
    "name": attrgetter("name"),
    "type": attrgetter("type"),
    "charset": attrgetter("charset"),
    "disposition": attrgetter("disposition"),
    "cid": attrgetter("cid"),
    "language": lambda part: None if part.language is None else list(part.language),
    "location": attrgetter("location"),
    "partId": lambda part: None if part.is_multipart else part.section,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The properties of an Email that a call wants, by where they come from."""

    columns: tuple[Column, ...]
    headers: tuple[tuple[str, HeaderProperty], ...]
    all_headers: bool
    body: frozenset[str]  # of bodyStructure, textBody, htmlBody, attachments, bodyValues
    needs_details: bool

    @property
    def needs_header(self) -> bool:
        return self.all_headers or bool(self.headers)


@dataclass(frozen=True, slots=True)
class PartShape:
    """The properties of an EmailBodyPart that a call wants."""

    columns: tuple[PartColumn, ...]
    headers: tuple[tuple[str, HeaderProperty], ...]
    all_headers: bool
    has_blob_id: bool
    has_size: bool
    has_sub_parts: bool

    @property
    def needs_header(self) -> bool:
        return self.all_headers or bool(self.headers)


def email_shape(names: Sequence[str], using: frozenset[str]) -> Shape:
    """Return the shape for these properties; raise `invalidArguments` for one there is not."""
    if len(names) > MAX_PROPERTIES:
        raise MethodError("invalidArguments", f"properties: more than {MAX_PROPERTIES}")
    return _email_shape(tuple(names), using)


@lru_cache(CACHED_SHAPES)
def _email_shape(names: tuple[str, ...], using: frozenset[str]) -> Shape:
    columns: dict[str, Callable[[EmailRow], Any]] = {}
    headers: dict[str, HeaderProperty] = {}
    for name in names:
        if (header := _header(name, "properties")) is not None:
            same = None if header.all else _SAME_AS.get((header.name, header.form))
            if same is None:
                headers[name] = header
            else:
                columns[name] = ROW[same]
            continue
        declared = EMAIL.properties.get(name)
        if declared is None or (declared.capability is not None and declared.capability not in using):
            raise MethodError("invalidArguments", f"properties: Email has no property {name!r:.80}")
        if name in ROW:
            columns[name] = ROW[name]
    return Shape(
        columns=tuple(columns.items()),
        headers=tuple(headers.items()),
        all_headers="headers" in names,
        body=_BODY & set(names),
        needs_details=not _DETAILS.isdisjoint(names),
    )


def part_shape(names: Sequence[str] | None) -> PartShape:
    """Return the shape for these `bodyProperties`, None for the default. Raise `invalidArguments`."""
    if names is None:
        names = DEFAULT_BODY_PROPERTIES
    if len(names) > MAX_PROPERTIES:
        raise MethodError("invalidArguments", f"bodyProperties: more than {MAX_PROPERTIES}")
    return _part_shape(tuple(names))


@lru_cache(CACHED_SHAPES)
def _part_shape(names: tuple[str, ...]) -> PartShape:
    headers: dict[str, HeaderProperty] = {}
    for name in names:
        if (header := _header(name, "bodyProperties")) is not None:
            headers[name] = header
        elif name not in EMAIL_BODY_PART:
            raise MethodError("invalidArguments", f"bodyProperties: EmailBodyPart has no property {name!r:.80}")
    return PartShape(
        columns=tuple((name, of) for name, of in _PART.items() if name in names),
        headers=tuple(headers.items()),
        all_headers="headers" in names,
        has_blob_id="blobId" in names,
        has_size="size" in names,
        has_sub_parts="subParts" in names,
    )


def _header(name: str, argument: str) -> HeaderProperty | None:
    if not name.startswith("header:"):
        return None
    try:
        return HeaderProperty.parse(name)
    except HeaderPropertyError as error:
        raise MethodError("invalidArguments", f"{argument}: {error}") from None
