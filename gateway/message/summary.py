"""What the index keeps of a header: the convenience properties of RFC 8621 section 4.1.2.3."""

from __future__ import annotations

from typing import Any, NamedTuple

Address = dict[str, Any]  # EmailAddress: {"name": str | None, "email": str} (RFC 8621 section 4.1.2.3)


class Summary(NamedTuple):
    """Values exactly as JMAP shows them; None where the header field is missing or does not parse."""

    message_id: list[str] | None
    in_reply_to: list[str] | None
    references: list[str] | None
    sender: list[Address] | None
    from_: list[Address] | None
    to: list[Address] | None
    cc: list[Address] | None
    bcc: list[Address] | None
    reply_to: list[Address] | None
    subject: str | None
    sent_at: str | None  # RFC 3339 with the offset of the Date header
