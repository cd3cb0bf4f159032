"""What of a header decides the Thread of an Email: a part of its Summary, without the cost of the rest.

Rule 1: the values are those of `summarize`, always; a test holds the two equal.
Rule 2: this runs once for every message of a first indexing: measure before you touch it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.message.subject import thread_subject
from gateway.message.summary import field_lines, message_ids_of, text_of


class ThreadKeys(NamedTuple):
    """The MessageIds forms of three fields, and the Subject as `thread_subject` leaves it."""

    message_id: Sequence[str]
    in_reply_to: Sequence[str]
    references: Sequence[str]
    subject: str


_MESSAGE_ID, _IN_REPLY_TO, _REFERENCES, _SUBJECT, _OTHER = range(5)
_SLOTS = {"message-id": _MESSAGE_ID, "in-reply-to": _IN_REPLY_TO, "references": _REFERENCES, "subject": _SUBJECT}
# A name found as it is written need not be made lower case first.
_SLOTS_AS_WRITTEN = {
    "Message-ID": _MESSAGE_ID, "Message-Id": _MESSAGE_ID, "In-Reply-To": _IN_REPLY_TO, "References": _REFERENCES,
    "Subject": _SUBJECT, "From": _OTHER, "To": _OTHER, "Cc": _OTHER, "CC": _OTHER, "Date": _OTHER, "Sender": _OTHER,
    "Reply-To": _OTHER, "": _OTHER,
}  # fmt: skip
_NONE: tuple[str, ...] = ()


def thread_keys(block: bytes) -> ThreadKeys:
    """Read a block of raw header fields."""
    message_id = in_reply_to = references = subject = None
    for line in field_lines(block):
        name, colon, value = line.partition(":")
        slot = _SLOTS_AS_WRITTEN.get(name)
        if slot is None:
            slot = _SLOTS.get(name.rstrip(" \t").lower(), _OTHER)
        if slot == _OTHER or not colon:
            continue
        if slot == _SUBJECT:
            subject = value
        elif slot == _MESSAGE_ID:
            message_id = value
        elif slot == _IN_REPLY_TO:
            in_reply_to = value
        else:
            references = value
    return ThreadKeys(
        _NONE if message_id is None else message_ids_of(message_id) or _NONE,
        _NONE if in_reply_to is None else message_ids_of(in_reply_to) or _NONE,
        _NONE if references is None else message_ids_of(references) or _NONE,
        "" if subject is None else thread_subject(text_of(subject)),
    )
