"""Email/parse (RFC 8621 section 4.9): blobs as Emails that are in no mailbox.

Rule 1: what only the mail store knows (id, mailboxIds, keywords, receivedAt, threadId) is null.
Rule 2: blobs are read and parsed one after another: one message is in memory at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.account.backend import HEADER
from gateway.account.ids import part_blob_id
from gateway.account.records import EmailRow
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.method import Arguments, Context
from gateway.jmap.objects.email import EMAIL
from gateway.message.body import flatten, has_attachment
from gateway.message.parse import ParsedMessage
from gateway.message.preview import preview
from gateway.message.summary import summarize
from gateway.methods import standard
from gateway.methods.blob_source import BlobNotFound, BlobTooLarge, parse_blob, parts_of
from gateway.methods.email import BODY_ARGUMENTS, RENDERED_AT_ONCE_OCTETS, Wanted, render
from gateway.methods.email_body import ValueOptions, body_value, octets_to_ask, plan_body
from gateway.methods.email_shape import email_shape, part_shape

EMAIL_PARSE: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "blobIds": Argument(types.is_ids_or_references, required=True),
    "properties": Argument(types.nullable(types.is_strings)),
    **BODY_ARGUMENTS,
}
# RFC 8621 section 4.9: its own default, without what only the mail store knows.
DEFAULT_PROPERTIES = (
    "messageId",
    "inReplyTo",
    "references",
    "sender",
    "from",
    "to",
    "cc",
    "bcc",
    "replyTo",
    "subject",
    "sentAt",
    "hasAttachment",
    "preview",
    "bodyValues",
    "textBody",
    "htmlBody",
    "attachments",
)
# Of the text that a preview is made of; HTML may begin with a long style sheet.
MAX_PREVIEW_OCTETS = 256 * 1024
_NULL = ("id", "mailboxIds", "keywords", "receivedAt", "threadId")


async def parse(context: Context, arguments: Arguments) -> Arguments:
    """Email/parse."""
    checked = check_arguments(arguments, EMAIL_PARSE)
    account = standard.account_of(context, checked["accountId"], EMAIL.capability)
    names = DEFAULT_PROPERTIES if checked["properties"] is None else checked["properties"]
    wanted = Wanted(
        email_shape(names, context.using),
        part_shape(checked["bodyProperties"]),
        ValueOptions.of(checked),
    )
    parsed: dict[str, Any] = {}
    not_parsable: list[str] = []
    not_found: list[str] = []
    for blob_id in standard.requested_ids(context, checked["blobIds"], argument="blobIds") or ():
        try:
            message, size_octets = await parse_blob(account, blob_id)
        except BlobNotFound:
            not_found.append(blob_id)
        except BlobTooLarge:
            not_parsable.append(blob_id)
        else:
            if message.fields:
                parsed[blob_id] = await _shown(message, blob_id, size_octets, wanted)
            else:
                # Without one header field it is no message, whatever it is (RFC 5322 section 3.6).
                not_parsable.append(blob_id)
    return {
        "accountId": account.id,
        "parsed": parsed or None,
        "notParsable": not_parsable or None,
        "notFound": not_found or None,
    }


async def _shown(message: ParsedMessage, blob_id: str, size_octets: int, wanted: Wanted) -> dict[str, Any]:
    if size_octets <= RENDERED_AT_ONCE_OCTETS:
        return show(message, blob_id, size_octets, wanted)
    return await asyncio.to_thread(show, message, blob_id, size_octets, wanted)


def show(message: ParsedMessage, blob_id: str, size_octets: int, wanted: Wanted) -> dict[str, Any]:
    """Return one parsed message as asked for."""
    root = message.root
    row = EmailRow(
        id="",
        thread_id="",
        mailbox_ids=(),
        keywords=(),
        size_octets=size_octets,
        received_at_s=0,
        summary=summarize(message.header_block),
        preview=_preview(message) if wanted.shape.needs_details else None,
        has_attachment=has_attachment(root),
        structure=root,
    )
    # Every section is at hand, whole.
    plan = replace(plan_body(root, wanted.shape, wanted.parts, wanted.values), sections={})
    container = parts_of(blob_id)
    email = render(
        row,
        plan if wanted.shape.body else None,
        wanted,
        partial(_section, message),
        lambda section: part_blob_id(container, section),
    )
    email.update((name, None) for name in _NULL if name in email)
    if "blobId" in email:
        email["blobId"] = blob_id
    return email


def _preview(message: ParsedMessage) -> str:
    """Return the preview of the first text that is shown."""
    lists = flatten(message.root)
    part = next((part for part in (*lists.text, *lists.html) if part.type.startswith("text/")), None)
    if part is None:
        return ""
    asked = octets_to_ask(part, MAX_PREVIEW_OCTETS)
    encoded = message.section(part.section)[:asked]
    value = body_value(part, encoded, asked=asked, max_octets=MAX_PREVIEW_OCTETS)["value"]
    return preview(value, is_html=part.type == "text/html")


def _section(message: ParsedMessage, section: str) -> bytes:
    if section == HEADER:
        return message.header_block
    if section.endswith(".MIME"):
        return message.part_header(section.removesuffix(".MIME"))
    return message.section(section)
