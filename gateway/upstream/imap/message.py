"""One FETCH response as a value. Built by `response.parse_fetch`, handed to a callback, then forgotten.

Rule 1: nothing is kept that was not in the response: absent numbers are 0, absent texts None, and `has` tells which
    items there were.
Rule 2: it stays cheap: only what was there is set, no tree but BODYSTRUCTURE's and those of unknown items.
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

    # Defaults of the class, not slots: most messages have seven of these, and setting the rest takes as long as reading
    # the response.
    has = 0  # bits of `Has`
    uid = 0
    flags: tuple[str, ...] = ()
    modseq = 0
    internaldate_s = 0  # seconds since 1970, UTC
    size = 0
    x_guid: str | None = None
    emailid: str | None = None  # EMAILID, else X-GM-MSGID; THREADID, else X-GM-THRID, below
    threadid: str | None = None
    # By the section as asked, upper case and without the origin: "" the whole message, "HEADER", "1.2", "1.MIME";
    # "HEADER.FIELDS" for any list of fields, "HEADER.FIELDS.NOT" likewise. None: the server said NIL.
    # Shared by all messages without such items, as the mappings below are: never written to.
    sections: Mapping[str, bytes | None] = {}  # never written to
    binary: Mapping[str, bytes | None] = {}  # BINARY[1.2]: "1.2" -> decoded octets
    binary_sizes: Mapping[str, int] = {}  # BINARY.SIZE[1.2]
    bodystructure: Any = None  # the lexed tree; see `structure()`
    preview: str | None = None
    other: Mapping[str, Any] = {}  # any further item, lexed: "ENVELOPE", "SAVEDATE", …

    def __init__(self, seq: int) -> None:
        self.seq = seq

    def structure(self) -> Structure | None:
        """Parse BODYSTRUCTURE; None when there was none or it makes no sense."""
        return None if self.bodystructure is None else structure.parse(self.bodystructure)

    def __repr__(self) -> str:
        return f"<Message uid={self.uid} {Has(self.has)!r}>"
