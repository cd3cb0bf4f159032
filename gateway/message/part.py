"""One node of a message's MIME tree, whoever parsed it: our parser or an IMAP server's BODYSTRUCTURE.

Sections are numbered as IMAP numbers them (RFC 3501 section 6.4.5): "1" is the body of a message that is no
multipart; the children of a root multipart are "1", "2", …; theirs "2.1". A root multipart has section "".
A message/rfc822 part is a leaf here, as in JMAP (RFC 8621 section 4.1.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """An EmailBodyPart without its ids (RFC 8621 section 4.1.4)."""

    section: str
    type: str  # lower case, "text/plain"
    charset: str | None = None  # as RFC 8621 defines the property: implicit "us-ascii" included
    name: str | None = None
    disposition: str | None = None  # lower case
    cid: str | None = None  # no angle brackets
    language: tuple[str, ...] | None = None
    location: str | None = None
    encoding: str = "7bit"  # Content-Transfer-Encoding, lower case
    encoded_octets: int = 0  # before decoding
    decoded_octets: int | None = None  # after; None while unknown (RFC 8621's `size`)
    subparts: tuple[Part, ...] = ()

    @property
    def is_multipart(self) -> bool:
        return self.type.startswith("multipart/")

    def walk(self) -> Iterator[Part]:
        """Yield this node and all below it, depth first, in order."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.subparts))
