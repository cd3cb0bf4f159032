"""JMAP ids, derived from what the upstream says of an object, so that they come out the same after a rebuild.

RFC 8620 section 1.2 (Id), RFC 8474 (OBJECTID).

Rule 1: an id of the upstream is taken verbatim where it is a JMAP Id and cannot be mistaken for one of ours.
Rule 2: everything else is a letter and 26 octets of BLAKE2b, each of which gives five bits as a digit of base32: 130
bits, and cheap, for each message of an index needs two of them.
Rule 3: a blob id says where its octets are: nothing is stored to resolve it. An email id is the last part of a blob
id, so that it may hold any character of an Id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal, NamedTuple

MAX_ID_OCTETS = 255  # RFC 8620 section 1.2
MAX_VERBATIM_OCTETS = 180  # leaves room for a section before it in a blob id
DIGEST_OCTETS = 26
_DIGITS = b"abcdefghijklmnopqrstuvwxyz234567" * 8
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")
_PART_BLOB = re.compile(r"p([0-9]{1,9}(?:-[0-9]{1,9}){0,40})_([A-Za-z0-9_-]+)\Z")
_UPLOAD_BLOB = re.compile(r"u_([0-9a-f]{64})\Z")


class BlobRef(NamedTuple):
    """Where the octets of a blob are: of `message` and `part` `email_id`, of `part` also `section`."""

    kind: Literal["message", "part", "upload"]
    email_id: str = ""
    section: str = ""  # "2.1"
    digest: str = ""  # of `upload`: SHA-256 in hex


def is_id(value: str) -> bool:
    """Tell whether `value` is an Id (RFC 8620 section 1.2)."""
    return _ID.match(value) is not None


def email_id(
    *,
    emailid: str | None = None,
    gmail_id: str | None = None,
    guid: str | None = None,
    fields: Sequence[str | bytes] | None = None,
) -> str:
    """Return the id of an Email by the best identity given.

    `emailid` is OBJECTID's EMAILID, `gmail_id` X-GM-MSGID, `guid` Dovecot's X-GUID; `fields` the raw Message-ID, Date,
    From and Subject with INTERNALDATE and RFC822.SIZE.
    """
    if emailid:
        return _verbatim("M", emailid)
    if gmail_id:
        return digest_id("M", "gmail", gmail_id)
    if guid:
        return guid_email_id(guid)
    if fields is None:
        raise ValueError("an email needs an identity")
    return digest_id("M", "fields", *fields)


def guid_email_id(guid: str) -> str:
    """Return the id of an Email by Dovecot's X-GUID."""
    octets = guid.encode("utf-8", "surrogatepass")
    digest = blake2b(b"4:guid%d:%b" % (len(octets), octets), digest_size=DIGEST_OCTETS).digest()  # as `digest` has it
    return "M" + digest.translate(_DIGITS).decode()


def thread_id(*, threadid: str | None = None, gmail_id: str | None = None) -> str | None:
    """Return the id of a Thread as the upstream tells it (THREADID, X-GM-THRID); None: the index computes it."""
    if threadid:
        return _verbatim("T", threadid)
    return digest_id("T", "gmail", gmail_id) if gmail_id else None


def link_digest(link: bytes) -> bytes:
    """Return the digest of what links emails (`message.threadkeys`): a message id, NUL, and a subject."""
    return blake2b(link, digest_size=DIGEST_OCTETS).digest()


def mailbox_id(
    *, mailboxid: str | None = None, guid: str | None = None, path: str | None = None, uidvalidity: int = 0
) -> str:
    """Return the id of a Mailbox: MAILBOXID, Dovecot's X-GUID of STATUS, else minted from name and UIDVALIDITY."""
    if mailboxid:
        return _verbatim("B", mailboxid)
    if guid:
        return digest_id("B", "guid", guid)
    if path is None:
        raise ValueError("a mailbox needs an identity")
    return digest_id("B", "path", path, str(uidvalidity))


def message_blob_id(email: str) -> str:
    """Return the blob id of a whole message."""
    return f"m_{email}"


def part_blob_id(email: str, section: str) -> str:
    """Return the blob id of one part; the section "" is the whole message."""
    return f"p{section.replace('.', '-')}_{email}" if section else message_blob_id(email)


def upload_blob_id(digest: str) -> str:
    """Return the blob id of an upload, or of a Sieve script, by the SHA-256 of its octets, in hex."""
    return f"u_{digest}"


def parse_blob_id(blob_id: str) -> BlobRef | None:
    """Return what a blob id points at; None when it cannot be one of ours."""
    if len(blob_id) > MAX_ID_OCTETS:
        return None
    if blob_id.startswith("m_"):
        email = blob_id[2:]
        return BlobRef("message", email_id=email) if is_id(email) else None
    if found := _PART_BLOB.match(blob_id):
        return BlobRef("part", email_id=found[2], section=found[1].replace("-", "."))
    if found := _UPLOAD_BLOB.match(blob_id):
        return BlobRef("upload", digest=found[1])
    return None


def digest_id(letter: str, *values: str | bytes) -> str:
    """Return `letter` and 130 bits of BLAKE2b over the values in lower-case base32, 27 characters."""
    return id_of(letter, digest(*values))


def digest(*values: str | bytes) -> bytes:
    """Return the BLAKE2b of values, whose bounds count."""
    octets = [value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass") for value in values]
    return blake2b(b"".join([b"%d:%b" % (len(one), one) for one in octets]), digest_size=DIGEST_OCTETS).digest()


def id_of(letter: str, digest: bytes) -> str:
    """Return `letter` and a digest in base32."""
    return letter + digest.translate(_DIGITS).decode()


def _verbatim(letter: str, value: str) -> str:
    return value if len(value) <= MAX_VERBATIM_OCTETS and is_id(value) else digest_id(letter, "objectid", value)
