"""What an Email is recognised by, and the FETCH items that a first contact with a message asks for.

Rule 1: the best identity there is (RFC 8474's EMAILID, Gmail's X-GM-MSGID, Dovecot's X-GUID); else a hash over raw
header fields, INTERNALDATE and RFC822.SIZE, which survives COPY and MOVE.
Rule 2: every message is asked for the same items in the same order, so that one reader fits all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from gateway.account import ids
from gateway.account.records import NewMessage
from gateway.account.threads import thread_key
from gateway.message.headers import parse_fields
from gateway.upstream.imap import Message

HEADER_FIELDS = "DATE FROM SENDER REPLY-TO TO CC BCC SUBJECT MESSAGE-ID IN-REPLY-TO REFERENCES"
_IDENTIFYING = ("message-id", "date", "from", "subject")


class Identity(Enum):
    """Where an Email's id comes from; the value is the FETCH items it takes."""

    OBJECTID = "EMAILID THREADID"
    GMAIL = "X-GM-MSGID X-GM-THRID"
    GUID = "X-GUID"
    FIELDS = ""

    @classmethod
    def of(cls, capabilities: frozenset[str], server_id: Mapping[str, str]) -> Identity:
        """Choose by what the server says of itself. X-GUID is no capability: Dovecot has it and names itself in ID."""
        if "OBJECTID" in capabilities:
            return cls.OBJECTID
        if "X-GM-EXT-1" in capabilities:
            return cls.GMAIL
        return cls.GUID if server_id.get("name", "").lower().startswith("dovecot") else cls.FIELDS


def light_items(identity: Identity, *, has_modseq: bool) -> str:
    """Return the FETCH items for a message that the index does not know yet."""
    items = ["UID", "FLAGS", "MODSEQ" if has_modseq else "", "INTERNALDATE", "RFC822.SIZE", identity.value]
    return " ".join([item for item in items if item] + [f"BODY.PEEK[HEADER.FIELDS ({HEADER_FIELDS})]"])


def reader(identity: Identity) -> Callable[[Message], NewMessage]:
    """Return the function that turns a response to `light_items` into what the index takes."""
    email_id, thread_id = _EMAIL_IDS[identity], _THREAD_IDS.get(identity)

    def read(message: Message) -> NewMessage:
        block = message.sections.get("HEADER.FIELDS") or b""
        id = email_id(message, block)
        thread = thread_id(message) if thread_id is not None else None
        links: Sequence[int] = ()
        if thread is None:
            thread, links = thread_key(block, id)
        return NewMessage(
            message.uid,
            message.flags,
            message.modseq,
            message.internaldate_s,
            message.size,
            id,
            thread,
            block,
            links,
        )

    return read


def _id_of_emailid(message: Message, block: bytes) -> str:
    return ids.email_id(emailid=message.emailid) if message.emailid else _id_of_fields(message, block)


def _id_of_gmail(message: Message, block: bytes) -> str:
    return ids.email_id(gmail_id=message.emailid) if message.emailid else _id_of_fields(message, block)


def _id_of_guid(message: Message, block: bytes) -> str:
    return ids.guid_email_id(message.x_guid) if message.x_guid else _id_of_fields(message, block)


def _id_of_fields(message: Message, block: bytes) -> str:
    fields = {name.lower(): value for name, value in reversed(parse_fields(block)) if name.lower() in _IDENTIFYING}
    raw = [fields.get(name, b"").strip() for name in _IDENTIFYING]
    return ids.email_id(fields=[*raw, str(message.internaldate_s), str(message.size)])


_EMAIL_IDS: Mapping[Identity, Callable[[Message, bytes], str]] = {
    Identity.OBJECTID: _id_of_emailid,
    Identity.GMAIL: _id_of_gmail,
    Identity.GUID: _id_of_guid,
    Identity.FIELDS: _id_of_fields,
}
_THREAD_IDS: Mapping[Identity, Callable[[Message], str | None]] = {
    Identity.OBJECTID: lambda message: ids.thread_id(threadid=message.threadid),
    Identity.GMAIL: lambda message: ids.thread_id(gmail_id=message.threadid),
}
