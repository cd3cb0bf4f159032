"""What of a header links an Email to others (RFC 8621 section 3): a part of its Summary, without the cost of the rest.

Rule 1: the links are those that `summarize` would give, always; a test holds the two equal. The expressions here only
        read blocks of the common shape and leave all others to `summarize`.
Rule 2: this runs once for every message of a first indexing: measure before you touch it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from gateway.message.subject import thread_subject
from gateway.message.summary import Summary, summarize, text_of

# Of a long References field the first ones (the root) and the last ones (the nearest) count: a reply's own list
# grows without end, and each entry is a row of the index.
MAX_FIRST_REFERENCES = 4
MAX_LAST_REFERENCES = 28
MAX_SUBJECTS = 2_048  # encoded ones remembered: answers repeat them, and they take long to read

# A field's name begins a line; its value goes on over folded lines; the third group is empty where a bare CR or LF
# makes the end of the value a matter of interpretation.
_FIELDS = re.compile(rb"\n([MmIiRrSs][A-Za-z-]*+)[ \t]*+:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)(?=(\r\n|))").findall
_MESSAGE_ID, _IN_REPLY_TO, _REFERENCES, _SUBJECT = b"message-id", b"in-reply-to", b"references", b"subject"
_IDS = re.compile(rb"<([!#-'*-;=?-\[\]-~]++)>").findall
_ONLY_IDS = re.compile(rb"(?:\s*+<[!#-'*-;=?-\[\]-~]++>)++\s*+").fullmatch


def thread_links(block: bytes) -> list[bytes]:
    """Return what links an email to others, the root first: of each a message id, NUL, and the subject.

    Ids are those of References, In-Reply-To and Message-ID, the subject as `thread_subject` leaves it, all in UTF-8.
    One may come twice.
    """
    lines = b"\n" + block
    if b"\0" in block or b"\n\n" in lines or lines.find(b"\n\r\n") not in (len(lines) - 3, -1):
        return links_of(summarize(block))
    own = replied = references = subject = b""
    for name, value, end in _FIELDS(lines):
        if not end:
            return links_of(summarize(block))
        name = name.lower()
        if name == _SUBJECT:
            subject = value
        elif name == _MESSAGE_ID:
            own = value
        elif name == _IN_REPLY_TO:
            replied = value
        elif name == _REFERENCES:
            references = value
    if replied and replied.strip() in references:
        replied = b""  # most often the last of References
    for value in (own, replied, references):
        if value and _ONLY_IDS(value) is None:
            return links_of(summarize(block))
    if b"=?" in subject or not subject.isascii():
        tail = _subject(subject)
    elif b":" in subject or b"[" in subject or b")" in subject:
        tail = b"\0" + thread_subject(subject.decode()).encode()
    else:
        tail = b"\0" + b"".join(subject.split()).lower()
    if not references:
        return [id + tail for id in [*_IDS(replied)[:MAX_FIRST_REFERENCES], *_IDS(own)[:1]]]
    return [id + tail for id in _chosen(_IDS(references), _IDS(replied), _IDS(own))]


def links_of(summary: Summary) -> list[bytes]:
    """Return the same of a Summary."""
    tail = "\0" + (thread_subject(summary.subject) if summary.subject else "")
    ids = _chosen(summary.references or (), summary.in_reply_to or (), summary.message_id or ())
    return [f"{id}{tail}".encode("utf-8", "surrogatepass") for id in ids]


_Id = TypeVar("_Id", bytes, str)


def _chosen(references: Sequence[_Id], replied: Sequence[_Id], own: Sequence[_Id]) -> list[_Id]:
    if len(references) > MAX_FIRST_REFERENCES + MAX_LAST_REFERENCES:
        references = list(references[:MAX_FIRST_REFERENCES]) + list(references[-MAX_LAST_REFERENCES:])
    return list(references) + list(replied[:MAX_FIRST_REFERENCES]) + list(own[:1])


@lru_cache(MAX_SUBJECTS)
def _subject(value: bytes) -> bytes:
    """Return NUL and the subject of a value that has to be decoded."""
    text = value.decode("latin-1").replace("\r\n ", " ").replace("\r\n\t", "\t")
    return b"\0" + thread_subject(text_of(text)).encode("utf-8", "surrogatepass")
