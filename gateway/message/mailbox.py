"""The Mailbox of RFC 5321 section 4.1.2, beyond ASCII as in RFC 6531 section 3.3, and the parameters beside it. Pure.

Rule 1: what this takes can be put between angle brackets on a line: no control character, no bracket, no bare space.
        A quoted local part with a bracket is legal, and refused: servers have been led astray by less.
"""

from __future__ import annotations

import re

MAX_OCTETS = 254  # RFC 5321 section 4.5.3.1.3, without the brackets
MAX_VALUE_OCTETS = 300  # of a parameter: RFC 3461 section 5.4 allows lines 500 more octets, and xtext trebles some

_BEYOND = "\u00a1-\U0010ffff"
_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_BEYOND}-]+"
_QUOTED = rf'"(?:[\x20-\x21\x23-\x3b\x3d\x3f-\x5b\x5d-\x7e{_BEYOND}]|\\[\x20-\x3b\x3d\x3f-\x7e])*"'
_LABEL = rf"[A-Za-z0-9{_BEYOND}](?:[A-Za-z0-9{_BEYOND}-]*[A-Za-z0-9{_BEYOND}])?"
_LOCAL = rf"(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED})"
_MAILBOX = re.compile(rf"{_LOCAL}@(?:{_LABEL}(?:\.{_LABEL})*|\[[A-Za-z0-9.:-]{{1,100}}\])\Z")
_LOCAL_ALONE = re.compile(rf"{_LOCAL}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_VALUE = re.compile(r"[\x20-\x7e\u00a1-\U0010ffff]+\Z")


def is_mailbox(address: str, *, is_local: bool = False) -> bool:
    """Tell whether mail can be addressed so; with `is_local` also without a domain, which the server then adds."""
    if len(address) > MAX_OCTETS or not _is_text(address):
        return False
    if not _MAILBOX.match(address) and not (is_local and _LOCAL_ALONE.match(address)):
        return False
    return len(address.encode()) <= MAX_OCTETS


def is_parameter(name: str, value: str | None) -> bool:
    """Tell whether a parameter of MAIL or RCPT can be put on a line; its value is not encoded yet."""
    if not _NAME.match(name):
        return False
    return value is None or (_is_text(value) and bool(_VALUE.match(value)) and len(value.encode()) <= MAX_VALUE_OCTETS)


def _is_text(text: str) -> bool:
    """Tell whether all of it can be written, and none of it hides: surrogates, line and paragraph separators."""
    return not any("\ud800" <= character <= "\udfff" or character in "\u2028\u2029" for character in text)
