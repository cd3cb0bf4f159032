"""The Range header (RFC 9110 section 14.1.2), one range. Pure."""

from __future__ import annotations

import re

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range lies outside: 416."""


def parse_range(value: str, size_octets: int) -> tuple[int, int] | None:
    """Return the first and the last octet asked for.

    None: several ranges, another unit or no range at all. A server may then send everything (section 14.2).
    """
    found = _RANGE.fullmatch(value)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:  # the last so many
        count = min(int(found[2]), size_octets)
        if count == 0:
            raise Unsatisfiable
        return size_octets - count, size_octets - 1
    first = int(found[1])
    last = min(int(found[2]), size_octets - 1) if found[2] else size_octets - 1
    if found[2] and int(found[2]) < first:
        return None
    if first >= size_octets:
        raise Unsatisfiable
    return first, last
