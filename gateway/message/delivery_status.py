"""Delivery status notifications (RFC 3464, RFC 6533): what became of a message, recipient by recipient.

Rule 1: a group of fields that names a recipient is about that recipient; the one before them is about the message.
        MTAs leave the latter out, or run the two together.
Rule 2: an Action that is missing or unknown follows from the class of the Status (RFC 3463 section 2); without either
        nothing is said, and the recipient is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.message.headers import as_text
from gateway.message.parse import ParsedMessage, parse_message
from gateway.message.report import Group, Report, find_report, typed_address, value_of, without_comments

TYPES: Final = frozenset(("message/delivery-status", "message/global-delivery-status"))
# A reply line of SMTP has 512 octets at most, and of a long reply the beginning says what it is about.
MAX_DIAGNOSTIC_CHARACTERS: Final = 2_000

_ACTIONS = frozenset(("failed", "delayed", "delivered", "relayed", "expanded"))
_ACTION_OF_CLASS = {"2": "delivered", "4": "delayed", "5": "failed"}
_DELIVERED = {"failed": "no", "delayed": "queued", "delivered": "yes"}  # relayed, expanded: who knows
_CODE_OF_ACTION = {"failed": "550", "delayed": "450"}
_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?!\d)")
_REPLY = re.compile(r"#?([2345]\d\d)(?:[ -]|\Z)")
_FIRST_OF_MANY = re.compile(r"([2345]\d\d)-(\d\.\d{1,3}\.\d{1,3} )?")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """What became of one recipient. Addresses stand without their type."""

    final_recipient: str | None  # the address that the report is about
    original_recipient: str | None  # the address as the sender gave it to ORCPT
    action: str  # failed, delayed, delivered, relayed or expanded
    status: str | None  # "5.1.1" (RFC 3463)
    diagnostic_type: str | None  # "smtp", lower case
    diagnostic: str | None  # in one line
    remote_mta: str | None
    will_retry_until: str | None  # as written

    @property
    def delivered(self) -> str:
        """`DeliveryStatus.delivered` of RFC 8621 section 7: queued, yes, no or unknown."""
        return _DELIVERED.get(self.action, "unknown")

    @property
    def smtp_reply(self) -> str:
        """`DeliveryStatus.smtpReply`: what SMTP said, or in its form what the report says (RFC 8621 section 7)."""
        text = self.diagnostic or ""
        if _REPLY.match(text):
            return text.lstrip("#")
        status = self.status or {"failed": "5.0.0", "delayed": "4.0.0"}.get(self.action, "2.0.0")
        return f"{_CODE_OF_ACTION.get(self.action, '250')} {status} {text or self.action}"


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """A delivery status notification."""

    envelope_id: str | None  # Original-Envelope-Id: the ENVID of the sender
    message_id: str | None  # of the message that it is about, without angle brackets
    reporting_mta: str | None
    recipients: tuple[RecipientStatus, ...]  # at least one


def parse_delivery_report(data: bytes) -> DeliveryReport | None:
    """Read a whole message as a delivery status notification; None: it is none."""
    return delivery_report_of(parse_message(data))


def delivery_report_of(message: ParsedMessage) -> DeliveryReport | None:
    """Do what `parse_delivery_report` does with a message that is parsed already."""
    report = find_report(message, TYPES)
    return None if report is None else _read(report)


def _read(report: Report) -> DeliveryReport | None:
    about_all = report.groups[0]  # Rule 1: it may be about a recipient too
    recipients = tuple(status for group in report.groups if (status := _recipient(group)) is not None)
    if not recipients:
        return None
    mta = value_of(about_all, "reporting-mta")
    return DeliveryReport(
        envelope_id=value_of(about_all, "original-envelope-id"),
        message_id=report.message_id,
        reporting_mta=None if mta is None else typed_address(without_comments(mta))[1] or None,
        recipients=recipients,
    )


def _recipient(group: Group) -> RecipientStatus | None:
    original, final = _address(group, "original-recipient"), _address(group, "final-recipient")
    if original is None and final is None:
        return None
    found = _STATUS.search(value_of(group, "status") or "")
    status = None if found is None else found[0]
    action = without_comments(value_of(group, "action") or "").lower()
    if action not in _ACTIONS:
        if found is None:
            return None
        action = _ACTION_OF_CLASS[found[1]]
    kind, diagnostic = _diagnostic(group)
    mta = value_of(group, "remote-mta")
    return RecipientStatus(
        final_recipient=final,
        original_recipient=original,
        action=action,
        status=status,
        diagnostic_type=kind,
        diagnostic=diagnostic,
        remote_mta=None if mta is None else typed_address(without_comments(mta))[1] or None,
        will_retry_until=value_of(group, "will-retry-until"),
    )


def _address(group: Group, name: str) -> str | None:
    value = value_of(group, name)
    return None if value is None else typed_address(value)[1] or None


def _diagnostic(group: Group) -> tuple[str | None, str | None]:
    """Return the type and the text of the Diagnostic-Code, several lines of a reply made one."""
    raw = next((raw for name, raw in group if name.lower() == "diagnostic-code"), None)
    if raw is None:
        return None, None
    kind, semicolon, text = as_text(raw[: 4 * MAX_DIAGNOSTIC_CHARACTERS]).partition(";")
    if not semicolon or not re.fullmatch(r"\s*[A-Za-z0-9-]{1,32}\s*", kind):
        kind, text = "", as_text(raw[: 4 * MAX_DIAGNOSTIC_CHARACTERS])
    text = _BLANKS.sub(" ", text).strip()
    first = _FIRST_OF_MANY.match(text)
    if first is not None:
        # Several lines made one as RFC 8621 section 7 has it: what further lines have in common with the first goes.
        shared = re.compile(rf"(?<= ){first[1]}[ -](?:{re.escape(first[2] or '')})?")
        text = f"{first[1]} {first[2] or ''}{shared.sub('', text[first.end() :])}"
    return kind.strip().lower() or None, text[:MAX_DIAGNOSTIC_CHARACTERS].strip() or None
