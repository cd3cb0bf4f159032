"""Commands as octets (RFC 5804 section 4). Pure.

Rule 1: no value ends a line: what is not safe between quotes goes out as a literal, whose length stands before it.
Rule 2: a script's name holds no control character (section 1.6); such a name is a `ValueError`, before anything is
    sent.
"""

from __future__ import annotations

import re

MAX_QUOTED_OCTETS = 1024  # section 4, quoted

_SAFE = re.compile(rb"[^\x00\r\n]*", re.DOTALL)
_UNNAMEABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SPECIAL = re.compile(rb'(["\\])')


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
    """Encode a script's name. Raise ValueError for what cannot be one."""
    if not value or _UNNAMEABLE.search(value):
        raise ValueError("a script's name is empty or holds a control character")
    return string(value.encode("utf-8", "surrogateescape"))


def line(*words: bytes) -> bytes:
    """Join encoded words into one command."""
    return b" ".join(words) + b"\r\n"
