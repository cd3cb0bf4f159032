"""I-JSON (RFC 7493), which JMAP speaks (RFC 8620 section 1.5): parsed by orjson, less what orjson lets pass.

Rule 1: no object has two members of one name. orjson keeps the last of them silently, so the members are counted:
        outside of strings a colon stands after each member's name and nowhere else.
Rule 2: what comes out is at most MAX_DEPTH deep, so that code which follows it down may recurse.
Rule 3: strings hold no surrogates (orjson refuses them) and no noncharacters.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

# Deeper than any filter, patch or MIME tree a client writes, and far from Python's recursion limit of 1,000 frames.
MAX_DEPTH: Final = 128

_ESCAPED_COLON = re.compile(rb"\\u003[aA]")
_NONCHARACTER = re.compile(
    "[\ufdd0-\ufdef" + "".join(f"{chr(p << 16 | 0xFFFE)}{chr(p << 16 | 0xFFFF)}" for p in range(17)) + "]"
)


class NotJSON(ValueError):
    """The text is not I-JSON. The message says why in a phrase, without quoting it."""


def parse_json(octets: bytes) -> Any:
    """Return the value of an I-JSON text or raise NotJSON."""
    try:
        return orjson.loads(octets)
    except orjson.JSONDecodeError as error:
        raise NotJSON(f"{error.msg} at {error.pos}") from None
