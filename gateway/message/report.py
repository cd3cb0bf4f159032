"""multipart/report (RFC 6522): what a mail system says about a message that it was given.

Rule 1: the part that is for machines tells a report, wherever it stands: lists and scanners wrap reports, and forget
        what the multipart around it was called.
Rule 2: anything can be asked; what is no report is None. Nothing here raises, and every part is read up to a limit.
Rule 3: a report is a claim by whoever sent it. That it speaks of a message of ours is for the caller to find out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.message.body import body_value
from gateway.message.charset import json_safe
from gateway.message.headers import Field, as_message_ids, header_end, parse_fields, unfolded
from gateway.message.parse import ParsedMessage
from gateway.message.part import Part
from gateway.message.transfer import decode_transfer

# Far above what is sent: a recipient takes some 500 octets, and no MTA reports on more than it takes recipients.
MAX_MACHINE_OCTETS: Final = 1 << 20
MAX_GROUPS: Final = 1_000
# Of a returned message only the header counts.
MAX_RETURNED_OCTETS: Final = 256 << 10

_WHOLE = frozenset(("message/rfc822", "message/global", "text/rfc822"))
_RETURNED = _WHOLE | {"text/rfc822-headers", "message/rfc822-headers", "message/global-headers", "message/partial"}
_COMMENT = re.compile(r"\([^()]*+\)")
_CODE_POINT = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")

Group = Sequence[Field]


@dataclass(frozen=True, slots=True)
class Report:
    """The three parts of a report."""

    groups: tuple[Group, ...]  # of fields, as empty lines part them (RFC 3464 section 2.1); none of them is empty
    text: str | None  # what it says to people
    returned: Group  # the header of the message that it is about; empty where it was not returned
    has_whole_message: bool  # not its header alone came back
    answers: str | None  # the message that the report itself names as its cause, in In-Reply-To or References

    @property
    def message_id(self) -> str | None:
        """The Message-ID of the message that the report is about, without angle brackets."""
        return first_message_id(self.returned, "message-id") or self.answers


def find_report(message: ParsedMessage, machine_types: frozenset[str]) -> Report | None:
    """Find the report of which the part for machines has one of these types."""
    root = message.root
    machine = next((part for part in root.walk() if part.type in machine_types), None)
    if machine is None:
        return None
    siblings = next((part.subparts for part in root.walk() if machine in part.subparts), (machine,))
    at = siblings.index(machine)
    groups = _groups(_octets(message, machine, MAX_MACHINE_OCTETS))
    if not groups:
        return None
    text = next((leaf for part in siblings[:at] for leaf in part.walk() if leaf.type == "text/plain"), None)
    returned = next((leaf for part in siblings[at + 1 :] for leaf in part.walk() if leaf.type in _RETURNED), None)
    fields = message.fields
    return Report(
        groups,
        None if text is None else body_value(message.section(text.section), text)[0],
        () if returned is None else parse_fields(_octets(message, returned, MAX_RETURNED_OCTETS)),
        returned is not None and returned.type in _WHOLE,
        first_message_id(fields, "in-reply-to") or first_message_id(fields, "references", last=True),
    )


def value_of(group: Group, name: str) -> str | None:
    """Return the unfolded value of the first field of a name (lower case); None where it says nothing."""
    for field, raw in group:
        if field.lower() == name and (value := unfolded(raw).strip()):
            return value
    return None


def without_comments(value: str) -> str:
    """Return a value of tokens without its comments (RFC 3464 section 2.1.1)."""
    return _COMMENT.sub(" ", value).strip() if "(" in value else value


def typed_address(value: str) -> tuple[str, str]:
    """Take `address-type ";" address` apart (RFC 3464 section 2.1.2): (type in lower case, address).

    A value without a type is taken for an address of the usual type; angle brackets around it are dropped. Of
    RFC 6533 section 3's ways to write UTF-8 in ASCII, `\\x{…}` is undone.
    """
    kind, semicolon, address = value.partition(";")
    if not semicolon:
        kind, address = "rfc822", value
    kind, address = kind.strip().lower(), address.strip()
    if kind == "utf-8" and "\\x{" in address:
        address = _CODE_POINT.sub(_code_point, address)
    if address.startswith("<") and address.endswith(">"):
        address = address[1:-1].strip()
    return kind, address


def first_message_id(group: Group, name: str, *, last: bool = False) -> str | None:
    """Return the first msg-id (or the last) of the fields of a name."""
    for field, raw in group:
        if field.lower() == name and (ids := as_message_ids(raw)):
            return ids[-1 if last else 0]
    return None


def _code_point(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return json_safe(chr(number)) if 0x20 <= number <= 0x10FFFF else match[0]


def _octets(message: ParsedMessage, part: Part, at_most: int) -> bytes:
    return decode_transfer(message.section(part.section)[:at_most], part.encoding)[0]


def _groups(block: bytes) -> tuple[Group, ...]:
    groups: list[Group] = []
    start = 0
    while start < len(block) and len(groups) < MAX_GROUPS:
        stop = header_end(block, start)
        if fields := parse_fields(block[start:stop]):
            groups.append(fields)
        start = stop
    return tuple(groups)
