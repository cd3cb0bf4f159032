"""Commands as octets (RFC 5804 section 4). Pure.

Rule 1: no value ends a line: what is not safe between quotes goes out as a literal, whose length stands before it.
    Only printable ASCII is: Cyrus 3.6 takes no other octets in a quoted string, and reads them as the next command.
Rule 2: a script's name holds no control character (section 1.6); such a name is `Unnameable`, before anything is
    sent.
"""

from __future__ import annotations

import re

MAX_QUOTED_OCTETS = 1024  # section 4, quoted

_SAFE = re.compile(rb"[ -~]*")
_UNNAMEABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SPECIAL = re.compile(rb'(["\\])')


class Unnameable(ValueError):
    """No script can have this name."""


def string(octets: bytes) -> bytes:
    """Encode a string: quoted where that is possible, else as a literal."""
    quoted = _SPECIAL.sub(rb"\\\1", octets)
    if len(quoted) <= MAX_QUOTED_OCTETS and _SAFE.fullmatch(quoted):
        return b'"' + quoted + b'"'
    return literal(octets)


def literal(octets: bytes) -> bytes:
    """Encode a string as a literal that the server need not agree to."""
    return b"{%d+}\r\n%b" % (len(octets), octets)


def name(value: str) -> bytes:
    """Encode a script's name. Raise Unnameable for what cannot be one."""
    if not value or _UNNAMEABLE.search(value):
        raise Unnameable("a script's name is empty or holds a control character")
    return string(value.encode("utf-8", "surrogateescape"))


def line(*words: bytes) -> bytes:
    """Join encoded words into one command."""
    return b" ".join(words) + b"\r\n"
