"""Message disposition notifications (RFC 8098): what a recipient's mail program did with a message.

Rule 1: modes and types have no case there and are lower case here, as RFC 9007 section 2 wants them.
Rule 2: without a Disposition that can be read it is no notification; any other field may be missing or odd.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.message.headers import as_text
from gateway.message.parse import ParsedMessage, parse_message
from gateway.message.report import Group, find_report, first_message_id, value_of, without_comments

TYPES: Final = frozenset(("message/disposition-notification", "message/global-disposition-notification"))
ACTION_MODES: Final = ("manual-action", "automatic-action")
SENDING_MODES: Final = ("mdn-sent-manually", "mdn-sent-automatically")
DISPOSITION_TYPES: Final = ("deleted", "dispatched", "displayed", "processed")  # those of RFC 8098

MAX_EXTENSION_FIELDS: Final = 100
MAX_ERRORS: Final = 100

_DISPOSITION = re.compile(r"([\w-]+)\s*/\s*([\w-]+)\s*;\s*([\w-]+)\s*(?:/\s*(.*))?", re.ASCII | re.DOTALL)
# In lower case; all others are extensions. RFC 2298 had two more for what is `Error` now.
FIELDS: Final = frozenset(
    (
        "reporting-ua", "mdn-gateway", "original-recipient", "final-recipient", "original-message-id", "disposition",
        "error", "failure", "warning",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DispositionReport:
    """A message disposition notification. Addresses keep their type: `rfc822; ann@example.com`."""

    text: str | None  # what it says to people
    subject: str | None
    reporting_ua: str | None
    gateway: str | None
    original_recipient: str | None
    final_recipient: str | None
    original_message_id: str | None  # with angle brackets, as the field has it
    action_mode: str
    sending_mode: str
    type: str  # one of DISPOSITION_TYPES, or one that RFC 2298 had: denied, failed
    modifiers: tuple[str, ...]
    errors: tuple[str, ...]
    extension_fields: Mapping[str, str]
    message_id: str | None  # of the message that it is about, without angle brackets; from whatever tells it
    has_whole_message: bool  # which came back with it


def parse_disposition_report(data: bytes) -> DispositionReport | None:
    """Read a whole message as a disposition notification; None: it is none."""
    return disposition_report_of(parse_message(data))


def disposition_report_of(message: ParsedMessage) -> DispositionReport | None:
    """Do what `parse_disposition_report` does with a message that is parsed already."""
    report = find_report(message, TYPES)
    if report is None:
        return None
    group = [field for fields in report.groups for field in fields]  # one group, by the RFC; empty lines are met
    found = _DISPOSITION.fullmatch(without_comments(value_of(group, "disposition") or ""))
    if found is None or found[1].lower() not in ACTION_MODES or found[2].lower() not in SENDING_MODES:
        return None
    modifiers = (word.strip().lower() for word in (found[4] or "").split(","))
    subject = next((as_text(raw) for name, raw in reversed(message.fields) if name.lower() == "subject"), None)
    original = first_message_id(group, "original-message-id")
    return DispositionReport(
        text=report.text,
        subject=subject,
        reporting_ua=value_of(group, "reporting-ua"),
        gateway=value_of(group, "mdn-gateway"),
        original_recipient=value_of(group, "original-recipient"),
        final_recipient=value_of(group, "final-recipient"),
        original_message_id=None if original is None else f"<{original}>",
        action_mode=found[1].lower(),
        sending_mode=found[2].lower(),
        type=found[3].lower(),
        modifiers=tuple(word for word in modifiers if word),
        errors=_errors(group),
        extension_fields=_extensions(group),
        message_id=original or report.message_id,
        has_whole_message=report.has_whole_message,
    )


def _errors(group: Group) -> tuple[str, ...]:
    # RFC 2298 had two more fields for the same.
    found = [as_text(raw).strip() for name, raw in group if name.lower() in ("error", "failure", "warning")]
    return tuple(text for text in found[:MAX_ERRORS] if text)


def _extensions(group: Group) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, raw in group:
        if name.lower() not in FIELDS and len(fields) < MAX_EXTENSION_FIELDS:
            fields.setdefault(name, as_text(raw).strip())
    return fields
