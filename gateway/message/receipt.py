"""What a message says about a receipt for it: who asks, and whether a program may answer (RFC 8098 section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.message.headers import Field, as_addresses, as_message_ids, unfolded
from gateway.message.parameters import parse_content_type

MAX_VALUE_CHARACTERS = 500  # of an Original-Recipient that is to be repeated


@dataclass(frozen=True, slots=True)
class ReceiptRequest:
    """The request of one message; without `addresses` there is none."""

    addresses: tuple[str, ...]  # of Disposition-Notification-To, each once
    message_id: str | None  # without angle brackets
    original_recipient: str | None  # as its field says
    may_be_automatic: bool  # a receipt may be sent without asking a person
    is_receipt: bool  # the message is a disposition notification
    demands: bool  # it wants something that the receipt must honour (Disposition-Notification-Options)


def read_request(fields: Sequence[Field]) -> ReceiptRequest:
    """Read a header."""
    addresses = _addresses(fields, "disposition-notification-to")
    message_ids = [id for raw in _values(fields, "message-id") for id in as_message_ids(raw) or ()]
    paths = _values(fields, "return-path")
    return ReceiptRequest(
        addresses=addresses,
        message_id=message_ids[0] if message_ids else None,
        original_recipient=_original_recipient(fields),
        # One address, and the one that errors go to: else anybody could make programs write to third parties.
        may_be_automatic=len(addresses) == 1 and bool(paths) and _same(_addresses(fields, "return-path"), addresses),
        is_receipt=any(_is_receipt(raw) for raw in _values(fields, "content-type")),
        demands=any(
            "required" in unfolded(raw).lower().replace(" ", "").replace("=", ",").split(",")
            for raw in _values(fields, "disposition-notification-options")
        ),
    )


def _values(fields: Sequence[Field], name: str) -> list[bytes]:
    return [raw for field, raw in fields if field.lower() == name]


def _addresses(fields: Sequence[Field], name: str) -> tuple[str, ...]:
    found = [address["email"] for raw in _values(fields, name) for address in as_addresses(raw)]
    return tuple(dict.fromkeys(found))


def _same(some: Sequence[str], others: Sequence[str]) -> bool:
    # Only the domain is without case for sure; who writes Ann and means ann is asked.
    return [_folded(one) for one in some] == [_folded(one) for one in others]


def _folded(address: str) -> str:
    local, _at, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def _original_recipient(fields: Sequence[Field]) -> str | None:
    for raw in _values(fields, "original-recipient"):
        value = unfolded(raw).strip()
        if ";" in value and value.isprintable() and len(value) <= MAX_VALUE_CHARACTERS:
            return value
    return None


def _is_receipt(raw: bytes) -> bool:
    kind = parse_content_type(unfolded(raw))
    is_report = kind.value == "multipart/report"
    return is_report and kind.parameters.get("report-type", "").lower() == "disposition-notification"
