"""What the index keeps of a header: the convenience properties of RFC 8621 section 4.1.3.

Rule 1: every value is what `headers` makes of the last field of its name. The expressions here only recognise the
        common shapes and leave all others to `headers`; a test holds the two equal.
Rule 2: this runs once for every message of a first indexing: measure before you touch it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.message.addresses import Address as Address
from gateway.message.dates import parse_date
from gateway.message.encodedwords import decode_unstructured, to_nfc
from gateway.message.headers import as_addresses, as_date, as_message_ids, as_text


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


# In the order of Summary: what to ask an upstream for.
FIELDS = (
    "Message-ID", "In-Reply-To", "References", "Sender", "From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date",
)  # fmt: skip
_SLOTS = {name.lower(): slot for slot, name in enumerate(FIELDS)}
# A name found as it is written need not be made lower case first.
_SLOTS_AS_WRITTEN = _SLOTS | {name: slot for slot, name in enumerate(FIELDS)} | {"Message-Id": 0, "CC": 6, "BCC": 7}

_ONE_ID = re.compile(r" ?<([!#-'*-;=?-\[\]-~]++)>").fullmatch
_MANY_IDS = re.compile(r"[ \t]*+(?:<[!#-'*-;=?-\[\]-~]++>[ \t]*+)++").fullmatch
_IDS = re.compile(r"<([^>]++)>").findall

_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~.]++"
_ADDR = _ATOM + r"@[A-Za-z0-9.\-]++"
_ADDRESSES = re.compile(
    rf'[ \t]*+(?:({_ATOM}(?: {_ATOM})*+|"[^"\\\x00-\x1f\x7f]*+") <({_ADDR})>|({_ADDR})|<({_ADDR})>)[ \t]*+(?:,|\Z)'
    r"|(.++)",  # anything else: all of the rest, or every place in it would be tried
    re.DOTALL,
).findall


def summarize(block: bytes) -> Summary:
    """Read a block of raw header fields; fields of other names are passed over."""
    # Latin-1 keeps octets apart, so that an 8-bit value can be had back as it was.
    text = block.decode("latin-1")
    has_nul = "\0" in text  # dropped from values only: alone in a line it makes no empty line
    if text.count("\n") != text.count("\r\n"):
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    end = text.find("\r\n\r\n")
    if end >= 0:
        text = text[:end]
    if text.startswith("\r\n"):
        text = ""
    values: list[str | None] = [None] * 11
    for line in text.replace("\r\n ", " ").replace("\r\n\t", "\t").split("\r\n"):
        name, colon, value = line.partition(":")
        slot = _SLOTS_AS_WRITTEN.get(name)
        if slot is None:
            slot = _SLOTS.get(name.rstrip(" \t").lower())
            if slot is None or not colon:
                continue
        elif not colon:
            continue
        values[slot] = value.replace("\0", "") if has_nul else value
    message_id, in_reply_to, references, sender, from_, to, cc, bcc, reply_to, subject, date = values
    return Summary(
        None if message_id is None else message_ids_of(message_id),
        None if in_reply_to is None else message_ids_of(in_reply_to),
        None if references is None else message_ids_of(references),
        None if sender is None else _addresses(sender),
        None if from_ is None else _addresses(from_),
        None if to is None else _addresses(to),
        None if cc is None else _addresses(cc),
        None if bcc is None else _addresses(bcc),
        None if reply_to is None else _addresses(reply_to),
        None if subject is None else text_of(subject),
        None if date is None else parse_date(date) if date.isascii() else as_date(date.encode("latin-1")),
    )


def message_ids_of(value: str) -> list[str] | None:
    """Return the MessageIds form of an unfolded value, its octets as Latin-1."""
    one = _ONE_ID(value)
    if one is not None:
        return [one[1]]
    if _MANY_IDS(value) is not None:
        return _IDS(value)
    return as_message_ids(value.encode("latin-1"))


def _addresses(value: str) -> list[Address]:
    addresses: list[Address] = []
    for name, email, bare, angled, odd in _ADDRESSES(value):
        if odd:
            return as_addresses(value.encode("latin-1"))
        if name:
            if name[0] == '"':
                name = name[1:-1].strip(" ")
            elif "=?" in name:
                name = to_nfc(decode_unstructured(name).strip(" \t\r\n"))
            addresses.append({"name": name or None, "email": email})
        else:
            addresses.append({"name": None, "email": bare or angled})
    return addresses


def text_of(value: str) -> str:
    """Return the Text form of an unfolded value, its octets as Latin-1."""
    if not value.isascii():
        return as_text(value.encode("latin-1"))
    value = value.lstrip(" \t")
    return to_nfc(decode_unstructured(value)) if "=?" in value else value
