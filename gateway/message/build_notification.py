"""A message disposition notification put together (RFC 8098 section 3): a multipart/report of two or three parts.

Rule 1: the part for machines is ASCII; where an address is not, it is one of RFC 6533, in UTF-8.
Rule 2: nothing that a client or the original message gives ends a field or begins another (`build_header`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.message.build import NewMessage, NewPart, Octets, Text, build_message
from gateway.message.build_header import encode_field

_SENDING_MODES: Final = {
    "mdn-sent-manually": "MDN-sent-manually",
    "mdn-sent-automatically": "MDN-sent-automatically",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What is to be told. Recipients are `type; address`; message ids have no angle brackets."""

    sender: Mapping[str, str | None]  # an EmailAddress
    recipients: Sequence[str]  # whom it is sent to
    date: str  # RFC 3339
    message_id: str
    subject: str
    text: str
    action_mode: str
    sending_mode: str
    type: str
    final_recipient: str
    original_recipient: str | None = None
    original_message_id: str | None = None
    reporting_ua: str | None = None
    extension_fields: Mapping[str, str] = field(default_factory=dict)
    original: Octets | None = None  # the message that it is about, to be enclosed


async def build_notification(one: Notification) -> NewMessage:
    """Build the message. Raise `HeaderValueError` where a value cannot stand in a field."""
    ids = [one.original_message_id] if one.original_message_id else []
    fields = [
        encode_field("Date", "Date", one.date),
        encode_field("Message-ID", "MessageIds", [one.message_id]),
        encode_field("From", "Addresses", [one.sender]),
        encode_field("To", "Addresses", [{"name": None, "email": address} for address in one.recipients]),
        encode_field("Subject", "Text", one.subject),
        *(encode_field(name, "MessageIds", ids) for name in ("In-Reply-To", "References") if ids),
    ]
    if one.sending_mode == "mdn-sent-automatically":
        fields.append(encode_field("Auto-Submitted", "Text", "auto-replied"))  # RFC 3834 section 5
    machine = b"".join(_machine_fields(one))
    kind = "disposition-notification"
    is_global = not machine.isascii()
    parts = [
        NewPart("text/plain", {"charset": "utf-8"}, content=Text(one.text)),
        NewPart(f"message/{'global-' if is_global else ''}{kind}", content=_octets(machine)),
    ]
    if one.original is not None:
        parts.append(NewPart("message/rfc822", content=one.original))
    return await build_message(fields, NewPart("multipart/report", {"report-type": kind}, subparts=tuple(parts)))


def _machine_fields(one: Notification) -> list[bytes]:
    """Return the fields of the second part, in the order of RFC 8098 section 3.1."""
    found = []
    if one.reporting_ua:
        found.append(encode_field("Reporting-UA", "Text", one.reporting_ua))
    if one.original_recipient:
        found.append(encode_field("Original-Recipient", "Raw", f" {one.original_recipient}"))
    found.append(encode_field("Final-Recipient", "Raw", f" {one.final_recipient}"))
    if one.original_message_id:
        found.append(encode_field("Original-Message-ID", "MessageIds", [one.original_message_id]))
    mode = f"{one.action_mode}/{_SENDING_MODES[one.sending_mode]}; {one.type}"
    found.append(encode_field("Disposition", "Text", mode))
    found += [encode_field(name, "Text", value) for name, value in one.extension_fields.items()]
    return found


def _octets(data: bytes) -> Octets:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield data

    return Octets(chunks, len(data))
