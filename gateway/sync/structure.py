"""From an IMAP server's BODYSTRUCTURE to the MIME tree that `message` and the index know."""

from __future__ import annotations

from gateway.message.parameters import file_name, join_parameters
from gateway.message.part import Part
from gateway.upstream.imap import Structure

# Stored as they are: their size is the size of what they hold (RFC 2045 section 6.2).
_AS_THEY_ARE = frozenset({"7bit", "8bit", "binary"})


def part_of(structure: Structure) -> Part:
    """Return the same tree as a Part; a message/rfc822 part is a leaf (RFC 8621 section 4.1.4)."""
    content, disposition = (
        join_parameters(parameters.items()) for parameters in (structure.parameters, structure.disposition_parameters)
    )
    kind = structure.content_type
    if kind.startswith("multipart/"):
        return Part(
            structure.section, kind, disposition=structure.disposition, subparts=tuple(map(part_of, structure.children))
        )
    return Part(
        section=structure.section,
        type=kind,
        charset=content.get("charset") or ("us-ascii" if structure.type == "text" else None),
        name=file_name(disposition, content),
        disposition=structure.disposition,
        cid=(structure.content_id or "").strip().strip("<>") or None,
        language=structure.language,
        location=structure.location,
        encoding=structure.encoding or "7bit",
        encoded_octets=structure.octets,
        decoded_octets=structure.octets if (structure.encoding or "7bit") in _AS_THEY_ARE else None,
    )
