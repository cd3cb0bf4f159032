"""One FETCH response as a value. Built by `response.parse_fetch`, handed to a callback, then forgotten.

Rule 1: nothing is kept that was not in the response: absent numbers are 0, absent texts None, and `has` tells which
    items there were.
Rule 2: it stays cheap: plain slots, no tree but BODYSTRUCTURE's and those of unknown items.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag
from typing import Any

from gateway.upstream.imap import structure
from gateway.upstream.imap.structure import Structure


class Has(IntFlag):
    """Which items a FETCH response held."""

    UID = 1
    FLAGS = 2
    MODSEQ = 4
    INTERNALDATE = 8
    SIZE = 16
    IDENTITY = 32  # X-GUID, EMAILID, THREADID, X-GM-MSGID, X-GM-THRID
    SECTION = 64
    STRUCTURE = 128
    PREVIEW = 256
    OTHER = 512


class Message:
    """The items of one FETCH response (RFC 9051 section 7.5.2). Mutable only while it is parsed."""

    __slots__ = (
        "binary",
        "binary_sizes",
        "bodystructure",
        "emailid",
        "flags",
        "has",
        "internaldate_s",
        "modseq",
        "other",
        "preview",
        "sections",
        "seq",
        "size",
        "threadid",
        "uid",
        "x_guid",
    )

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.has = 0  # bits of `Has`
        self.uid = 0
        self.flags: tuple[str, ...] = ()
        self.modseq = 0
        self.internaldate_s = 0  # seconds since 1970, UTC
        self.size = 0
        self.x_guid: str | None = None
        self.emailid: str | None = None  # EMAILID, else X-GM-MSGID; THREADID, else X-GM-THRID, below
        self.threadid: str | None = None
        # By the section as asked, upper case and without the origin: "" the whole message, "HEADER", "1.2", "1.MIME";
        # "HEADER.FIELDS" for any list of fields, "HEADER.FIELDS.NOT" likewise. None: the server said NIL.
        self.sections: Mapping[str, bytes | None] = _NOTHING
        self.binary: Mapping[str, bytes | None] = _NOTHING  # BINARY[1.2]: "1.2" -> decoded octets
        self.binary_sizes: Mapping[str, int] = _NO_SIZES  # BINARY.SIZE[1.2]
        self.bodystructure: Any = None  # the lexed tree; see `structure()`
        self.preview: str | None = None
        self.other: Mapping[str, Any] = _NO_ITEMS  # any further item, lexed: "ENVELOPE", "SAVEDATE", …

    def structure(self) -> Structure | None:
        """Parse BODYSTRUCTURE; None when there was none or it makes no sense."""
        return None if self.bodystructure is None else structure.parse(self.bodystructure)

    def __repr__(self) -> str:
        return f"<Message uid={self.uid} {Has(self.has)!r}>"


# Shared by all messages without such items: never written to.
_NOTHING: dict[str, bytes | None] = {}
_NO_SIZES: dict[str, int] = {}
_NO_ITEMS: dict[str, Any] = {}
