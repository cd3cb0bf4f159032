"""What of a header links an Email to others (RFC 8621 section 3): a part of its Summary, without the cost of the rest.

Rule 1: the links are those that `summarize` would give, always; a test holds the two equal. The expressions here only
        read blocks of the common shape and leave all others to `summarize`.
Rule 2: this runs once for every message of a first indexing: measure before you touch it.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar
from unicodedata import normalize

from gateway.message.subject import thread_subject
from gateway.message.summary import Summary, summarize, text_of

# Of a long References field the first ones (the root) and the last ones (the nearest) count: a reply's own list
# grows without end, and each entry is a row of the index.
MAX_FIRST_REFERENCES = 4
MAX_LAST_REFERENCES = 28
MAX_SUBJECTS = 8_192  # encoded ones remembered: answers repeat them, and they take long to read

# A field's name begins a line; its value goes on over folded lines; the third group is empty where a bare CR or LF
# makes the end of the value a matter of interpretation. The fourth is an empty line: there a header ends.
_FIELDS = re.compile(
    rb"\n(?:([MmIiRrSs][A-Za-z-]*+)[ \t]*+:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)(?=(\r\n|))|(\r?\n))"
).findall
_OWN, _REPLIED, _REFERENCES, _SUBJECT, _OTHER = range(5)
_SLOTS = {b"message-id": _OWN, b"in-reply-to": _REPLIED, b"references": _REFERENCES, b"subject": _SUBJECT}
_SLOTS_AS_WRITTEN = {
    b"Message-ID": _OWN, b"Message-Id": _OWN, b"In-Reply-To": _REPLIED, b"References": _REFERENCES,
    b"Subject": _SUBJECT,
}  # fmt: skip
# By far the most frequent encoded subjects: one word, in one of three charsets.
_ONE_WORD = re.compile(rb" ?=\?(utf-8|iso-8859-1|windows-1252)\?q\?([!->@-~]*+)\?=", re.IGNORECASE).fullmatch
_ASCII_LEADERS = re.compile(rb"(?:[ \t\r\n]*+(?:[Rr][Ee]|[Ff][Ww][Dd]?+)[ \t\r\n]*+:)++").match
_IDS = re.compile(rb"<([!#-'*-;=?-\[\]-~]++)>").findall
_ONLY_IDS = re.compile(rb"(?:\s*+<[!#-'*-;=?-\[\]-~]++>)++\s*+").fullmatch
_ID_OCTETS = bytes(code for code in range(0x21, 0x7F) if code not in b'"()<>\\')
_ONE_ID = re.compile(rb" ?<([!#-'*-;=?-\[\]-~]++)>").fullmatch


def thread_links(block: bytes) -> list[bytes]:
    """Return what links an email to others, the root first: of each a message id, NUL, and the subject.

    Ids are those of References, In-Reply-To and Message-ID, the subject as `thread_subject` leaves it, all in UTF-8.
    One may come twice.
    """
    if b"\0" in block:
        return links_of(summarize(block))
    values = [b""] * 5
    for name, value, is_whole, is_end in _FIELDS(b"\n" + block):
        if is_end:
            break
        if not is_whole:
            return links_of(summarize(block))
        slot = _SLOTS_AS_WRITTEN.get(name)
        values[_SLOTS.get(name.lower(), _OTHER) if slot is None else slot] = value
    own, replied, references, subject, _ = values
    if b"=?" in subject or not subject.isascii():
        tail = _subject(subject)
    elif b"[" in subject or b")" in subject:
        tail = b"\0" + thread_subject(subject.decode()).encode()
    else:
        if b":" in subject and (leaders := _ASCII_LEADERS(subject)) is not None:
            subject = subject[leaders.end() :]
        tail = b"\0" + b"".join(subject.split()).lower()
    if not references and not replied and (one := _ONE_ID(own)) is not None:
        return [one[1] + tail]
    if replied and replied.strip() in references:
        replied = b""  # most often the last of References
    listed: list[Sequence[bytes]] = []
    for value in (references, replied, own):
        ids = _ids(value) if value else ()
        if ids is None:
            return links_of(summarize(block))
        listed.append(ids)
    return [id + tail for id in _chosen(*listed)]


def _ids(value: bytes) -> list[bytes] | None:
    """Return the ids of a field that holds nothing else; None: it does."""
    words = value.split()
    text = b" ".join(words)
    # Nothing between the ids but the blanks, and nothing in them that is none of theirs: all at the speed of C.
    if (
        text.translate(None, _ID_OCTETS) == (b"<> " * len(words))[:-1]
        and text.startswith(b"<")
        and text.endswith(b">")
        and text.count(b"> <") == len(words) - 1
        and b"<>" not in text
        and value.isascii()
    ):
        return text[1:-1].split(b"> <")
    return _IDS(value) if _ONLY_IDS(value) is not None else None


def links_of(summary: Summary) -> list[bytes]:
    """Return the same of a Summary."""
    tail = "\0" + (thread_subject(summary.subject) if summary.subject else "")
    ids = _chosen(summary.references or (), summary.in_reply_to or (), summary.message_id or ())
    return [f"{id}{tail}".encode("utf-8", "surrogatepass") for id in ids]


_Id = TypeVar("_Id", bytes, str)


def _chosen(references: Sequence[_Id], replied: Sequence[_Id], own: Sequence[_Id]) -> list[_Id]:
    if len(references) <= MAX_FIRST_REFERENCES + MAX_LAST_REFERENCES and len(replied) <= 1:
        return list(references) + list(replied) + list(own[:1])
    if len(references) > MAX_FIRST_REFERENCES + MAX_LAST_REFERENCES:
        references = list(references[:MAX_FIRST_REFERENCES]) + list(references[-MAX_LAST_REFERENCES:])
    return list(references) + list(replied[:MAX_FIRST_REFERENCES]) + list(own[:1])


@lru_cache(MAX_SUBJECTS)
def _subject(value: bytes) -> bytes:
    """Return NUL and the subject of a value that has to be decoded."""
    if (one := _ONE_WORD(value)) is not None:
        try:
            decoded = a2b_qp(one[2], header=True).decode("utf-8" if one[1].lower() == b"utf-8" else "windows-1252")
        except UnicodeDecodeError:
            pass
        else:
            if decoded.isprintable():
                return b"\0" + thread_subject(normalize("NFC", decoded)).encode()
    text = value.decode("latin-1").replace("\r\n ", " ").replace("\r\n\t", "\t")
    return b"\0" + thread_subject(text_of(text)).encode("utf-8", "surrogatepass")
