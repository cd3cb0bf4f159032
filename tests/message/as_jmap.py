"""A message as the Email object of JMAP that gateway.message makes of it: what the .json files hold."""

from __future__ import annotations

from typing import Any

from gateway.message.body import body_value, flatten, has_attachment, preview_part
from gateway.message.parse import parse_message
from gateway.message.part import Part
from gateway.message.preview import preview
from gateway.message.summary import summarize


def as_jmap(data: bytes) -> dict[str, Any]:
    """Return the Email properties; the body lists hold partIds only."""
    message = parse_message(data)
    summary = summarize(message.header_block)
    lists = flatten(message.root)
    values = {}
    for part in message.root.walk():
        if part.type.startswith("text/"):
            text, problem = body_value(message.section(part.section), part)
            values[part.section] = {"value": text, "isEncodingProblem": problem, "isTruncated": False}
    shown = preview_part(lists)
    return {
        "messageId": summary.message_id,
        "inReplyTo": summary.in_reply_to,
        "references": summary.references,
        "sender": summary.sender,
        "from": summary.from_,
        "to": summary.to,
        "cc": summary.cc,
        "bcc": summary.bcc,
        "replyTo": summary.reply_to,
        "subject": summary.subject,
        "sentAt": summary.sent_at,
        "preview": (
            "" if shown is None else preview(str(values[shown.section]["value"]), is_html=shown.type == "text/html")
        ),
        "hasAttachment": has_attachment(message.root),
        "bodyStructure": _structure(message.root),
        "textBody": [part.section for part in lists.text],
        "htmlBody": [part.section for part in lists.html],
        "attachments": [part.section for part in lists.attachments],
        "bodyValues": values,
    }


def _structure(part: Part) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "partId": None if part.is_multipart else part.section,
        "type": part.type,
        "charset": part.charset,
        "name": part.name,
        "disposition": part.disposition,
        "cid": part.cid,
        "language": None if part.language is None else list(part.language),
        "location": part.location,
        "size": part.decoded_octets,
        "subParts": [_structure(child) for child in part.subparts] if part.is_multipart else None,
    }
    return shown
