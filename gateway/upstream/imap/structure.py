"""BODYSTRUCTURE (RFC 9051 section 7.5.2) as a tree of frozen values. Pure.

Rule 1: tolerant: trailing fields may be missing (Courier sends fewer), any field may be NIL, numbers may be no numbers.
Rule 2: nesting and the number of parts are bounded; what goes beyond makes the whole structure None.
Rule 3: strings are decoded as UTF-8, else Latin-1; RFC 2047 and RFC 2231 are left to whoever reads the values, except
    that parameter names come in lower case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_DEPTH = 100  # deeper multiparts exist only in attacks; servers stop earlier
MAX_PARTS = 10_000  # as many as a 1 MiB line can hold with room to spare


@dataclass(frozen=True, slots=True)
class Structure:
    """One part. Sections are numbered as in RFC 3501 section 6.4.5; the root of a multipart has section ""."""

    section: str
    type: str  # lower case: "text", "multipart", "message"
    subtype: str  # lower case
    parameters: Mapping[str, str] = field(default_factory=dict)  # names in lower case, as sent otherwise
    content_id: str | None = None  # with its angle brackets, as sent
    description: str | None = None
    encoding: str = "7bit"  # lower case
    octets: int = 0  # as stored, still encoded
    lines: int | None = None
    md5: str | None = None
    disposition: str | None = None  # lower case
    disposition_parameters: Mapping[str, str] = field(default_factory=dict)
    language: tuple[str, ...] | None = None
    location: str | None = None
    children: tuple[Structure, ...] = ()  # of a multipart
    envelope: Any = None  # of a message/rfc822 part, lexed
    message: Structure | None = None  # of a message/rfc822 part: the structure inside

    @property
    def content_type(self) -> str:
        """Return "text/plain"."""
        return f"{self.type}/{self.subtype}"

    def walk(self) -> Iterator[Structure]:
        """Yield this part and those below it, in order; a message/rfc822 part is a leaf."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.children))


def parse(tree: Any) -> Structure | None:
    """Turn a lexed BODYSTRUCTURE into a Structure; None when it makes no sense or exceeds a bound."""
    raise NotImplementedError
