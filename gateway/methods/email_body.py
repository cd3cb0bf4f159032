"""The body of an Email as JMAP shows it (RFC 8621 section 4.1.4), from its structure and the sections it needs. Pure.

Rule 1: `sections_wanted` names every section before anything is fetched, so that those of all the Emails of a call are
loaded together; `render` then finds them all there.
Rule 2: octets are asked for in their transfer encoding, and no more of them than the value that is wanted can need.
Rule 3: a section that is missing makes an empty value with `isEncodingProblem`, never a failure of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.account.backend import HEADER
from gateway.message.body import BodyLists, flatten
from gateway.message.charset import decode_text, truncate_utf8
from gateway.message.headers import HeaderProperty, all_headers, parse_fields
from gateway.message.part import Part
from gateway.message.transfer import decoder
from gateway.methods.email_shape import PartShape, Shape

# A text part longer than this is no text for a person: it comes cut, `isTruncated`, and whole by its blobId.
MAX_VALUE_OCTETS = 16 * 1024 * 1024

# All others, the unknown ones too, leave the octets as they are (RFC 8621 section 4.1.4, `blobId`).
ENCODINGS = frozenset({"base64", "quoted-printable"})


@dataclass(frozen=True, slots=True)
class ValueOptions:
    """Which bodyValues are wanted (RFC 8621 section 4.2)."""

    text: bool = False
    html: bool = False
    every: bool = False
    max_octets: int = 0  # 0: no truncation

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> ValueOptions:
        return cls(
            arguments["fetchTextBodyValues"],
            arguments["fetchHTMLBodyValues"],
            arguments["fetchAllBodyValues"],
            arguments["maxBodyValueBytes"],
        )


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """What one Email's body needs: the parts whose values, and those whose headers, are shown."""

    root: Part
    lists: BodyLists
    values: tuple[Part, ...]
    sections: Mapping[str, int | None]  # section -> at most so many octets of it; None: a header, all of it


def plan_body(root: Part, shape: Shape, parts: PartShape, options: ValueOptions) -> BodyPlan:
    """Say what is needed of an Email with this structure."""
    lists = flatten(root)
    values = tuple(_with_values(root, lists, options)) if "bodyValues" in shape.body else ()
    sections: dict[str, int | None] = {}
    if parts.needs_header:
        sections.update(dict.fromkeys((header_section(root, part) for part in _shown(root, lists, shape)), None))
    for part in values:
        sections[part.section] = octets_to_ask(part, options.max_octets)
    return BodyPlan(root, lists, values, sections)


def lacks_sizes(plan: BodyPlan, shape: Shape, parts: PartShape) -> bool:
    """Tell whether a part is shown whose `size` is not known."""
    if not parts.has_size:
        return False
    return any(size_of(part) is None for part in _shown(plan.root, plan.lists, shape))


def render_body(
    plan: BodyPlan,
    shape: Shape,
    parts: PartShape,
    options: ValueOptions,
    *,
    section: Callable[[str], bytes | None],
    blob_id: Callable[[str], str],
) -> dict[str, Any]:
    """Return the body properties of one Email. `section` gives loaded octets, `blob_id` the id of a part's blob."""

    def one(part: Part) -> dict[str, Any]:
        shown: dict[str, Any] = {name: of(part) for name, of in parts.columns}
        if parts.has_blob_id:
            shown["blobId"] = None if part.is_multipart else blob_id(part.section)
        if parts.has_size:
            size = size_of(part)
            shown["size"] = part.encoded_octets if size is None else size
        if parts.needs_header:
            block = section(header_section(plan.root, part)) or b""
            shown |= header_properties(block, parts.headers, with_headers=parts.all_headers)
        if parts.has_sub_parts:
            shown["subParts"] = None
        return shown

    def tree(part: Part) -> dict[str, Any]:
        shown = one(part)
        # Even where bodyProperties does not name subParts: the tree is what bodyStructure is for.
        if part.is_multipart:
            shown["subParts"] = [tree(child) for child in part.subparts]
        return shown

    body: dict[str, Any] = {}
    if "bodyStructure" in shape.body:
        body["bodyStructure"] = tree(plan.root)
    for name, listed in (
        ("textBody", plan.lists.text),
        ("htmlBody", plan.lists.html),
        ("attachments", plan.lists.attachments),
    ):
        if name in shape.body:
            body[name] = [one(part) for part in listed]
    if "bodyValues" in shape.body:
        body["bodyValues"] = {
            part.section: body_value(
                part, section(part.section), asked=plan.sections.get(part.section), max_octets=options.max_octets
            )
            for part in plan.values
        }
    return body


def header_properties(
    block: bytes, wanted: Iterable[tuple[str, HeaderProperty]], *, with_headers: bool
) -> dict[str, Any]:
    """Return the `header:…` properties wanted, and `headers` if asked for, of a raw header block."""
    fields = parse_fields(block)
    shown: dict[str, Any] = {name: header.value(fields) for name, header in wanted}
    if with_headers:
        shown["headers"] = all_headers(fields)
    return shown


def header_section(root: Part, part: Part) -> str:
    """Return the section with the header fields of a part; those of the root are the message's."""
    return HEADER if part is root or not part.section else f"{part.section}.MIME"


def size_of(part: Part) -> int | None:
    """Return RFC 8621's `size` where it is known without the octets; a multipart has no octets of its own."""
    if part.is_multipart:
        return 0
    if part.decoded_octets is None and part.encoding not in ENCODINGS:
        return part.encoded_octets
    return part.decoded_octets


def octets_to_ask(part: Part, max_octets: int) -> int:
    """Return how many octets of the encoded section a value of so many octets can need."""
    wide = next((factor for charset, factor in _WIDE if (part.charset or "").lower().startswith(charset)), 1)
    return int(_limit(max_octets) * wide * _ENCODED.get(part.encoding, _PLAIN)) + _SLACK_OCTETS


def body_value(part: Part, encoded: bytes | None, *, asked: int | None, max_octets: int) -> dict[str, Any]:
    """Return the EmailBodyValue of a text part from the first `asked` octets of its section; None: from all of it."""
    if encoded is None:
        return {"value": "", "isEncodingProblem": True, "isTruncated": False}
    is_whole = asked is None or len(encoded) < asked
    transfer = decoder(part.encoding)
    decoded = transfer.feed(encoded)
    if is_whole:
        decoded += transfer.finish()
    text, has_bad_charset = decode_text(decoded, part.charset)
    if has_bad_charset and not is_whole:
        text, has_bad_charset = _without_last_character(decoded, part, text)
    is_html, limit = part.type == "text/html", _limit(max_octets)
    if is_html and not is_whole:
        # Always cut a little, so that a tag which ends past the octets at hand is cut off.
        limit = min(limit, max(1, len(text.encode()) - 1))
    value, is_cut = truncate_utf8(text, limit, is_html=is_html)
    return {
        "value": value,
        "isEncodingProblem": transfer.problem or has_bad_charset,
        "isTruncated": is_cut or not is_whole,
    }


# How many octets of a section make one octet of a value, at worst: CRLF becomes LF; a character that is three octets
# of UTF-8 is nine of quoted-printable, and lines have soft breaks; base64 is four for three, with line ends.
_PLAIN = 2.0
_ENCODED = {"quoted-printable": 3.2, "base64": 2.8}
_WIDE = (("utf-16", 2), ("utf16", 2), ("ucs-2", 2), ("utf-32", 4), ("utf32", 4), ("ucs-4", 4))
_SLACK_OCTETS = 512  # a byte order mark, escape sequences, the line that is cut off at the end


def _limit(max_octets: int) -> int:
    return min(max_octets, MAX_VALUE_OCTETS) if max_octets else MAX_VALUE_OCTETS


def _without_last_character(decoded: bytes, part: Part, text: str) -> tuple[str, bool]:
    """Decode without the last few octets: where they alone are bad, they are a character that the cut took in two."""
    for dropped in range(1, 4):
        shorter, is_bad = decode_text(decoded[:-dropped], part.charset)
        if not is_bad:
            return shorter, False
    return text, True


def _with_values(root: Part, lists: BodyLists, options: ValueOptions) -> Iterable[Part]:
    wanted: dict[str, Part] = {}
    for is_wanted, parts in (
        (options.text, lists.text),
        (options.html, lists.html),
        (options.every, root.walk()),
    ):
        if is_wanted:
            wanted.update((part.section, part) for part in parts if part.type.startswith("text/"))
    return wanted.values()


def _shown(root: Part, lists: BodyLists, shape: Shape) -> Iterable[Part]:
    """Yield every part that the answer shows; some more than once."""
    if "bodyStructure" in shape.body:
        yield from root.walk()
    if "textBody" in shape.body:
        yield from lists.text
    if "htmlBody" in shape.body:
        yield from lists.html
    if "attachments" in shape.body:
        yield from lists.attachments
