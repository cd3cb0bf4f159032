"""A MIME tree -> what to show as body and what as attachments (RFC 8621 section 4.1.4).

Rule 1: the decomposition is the RFC's algorithm, line by line.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.message.charset import decode_text
from gateway.message.parse import MAX_DEPTH
from gateway.message.part import Part
from gateway.message.transfer import Decoder as Decoder
from gateway.message.transfer import decode_transfer as decode_transfer
from gateway.message.transfer import decoder as decoder

_MEDIA = ("image/", "audio/", "video/")
_SIGNATURES = frozenset(
    ("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature")
)  # fmt: skip


class BodyLists(NamedTuple):
    """Parts in the order in which they are shown."""

    text: list[Part]
    html: list[Part]
    attachments: list[Part]


def flatten(root: Part) -> BodyLists:
    """Return textBody, htmlBody and attachments."""
    lists = BodyLists([], [], [])
    _flatten((root,), "mixed", False, lists.html, lists.text, lists.attachments, 0)
    return lists


def _flatten(
    parts: tuple[Part, ...],
    multipart_type: str,
    in_alternative: bool,
    html_body: list[Part] | None,
    text_body: list[Part] | None,
    attachments: list[Part],
    depth: int,
) -> None:
    text_length = -1 if text_body is None else len(text_body)
    html_length = -1 if html_body is None else len(html_body)
    for index, part in enumerate(parts):
        is_media = part.type.startswith(_MEDIA)
        is_inline = (
            part.disposition != "attachment"
            and (is_media or part.type in ("text/plain", "text/html"))
            # Of multipart/related only the first part can be inline; a text with a file name that does not come
            # first is taken for an attachment.
            and (index == 0 or (multipart_type != "related" and (is_media or not part.name)))
        )
        if part.is_multipart:
            if depth < MAX_DEPTH:
                subtype = part.type.partition("/")[2]
                is_alternative = in_alternative or subtype == "alternative"
                _flatten(part.subparts, subtype, is_alternative, html_body, text_body, attachments, depth + 1)
        elif not is_inline:
            attachments.append(part)
        elif multipart_type == "alternative":
            if part.type == "text/plain" and text_body is not None:
                text_body.append(part)
            elif part.type == "text/html" and html_body is not None:
                html_body.append(part)
            else:
                attachments.append(part)
        else:
            if in_alternative and part.type == "text/plain":
                html_body = None
            elif in_alternative and part.type == "text/html":
                text_body = None
            if text_body is not None:
                text_body.append(part)
            if html_body is not None:
                html_body.append(part)
            if (text_body is None or html_body is None) and is_media:
                attachments.append(part)
    if multipart_type == "alternative" and text_body is not None and html_body is not None:
        if text_length == len(text_body) and html_length != len(html_body):
            text_body.extend(html_body[html_length:])
        elif html_length == len(html_body) and text_length != len(text_body):
            html_body.extend(text_body[text_length:])


def preview_part(lists: BodyLists) -> Part | None:
    """Return the part to make the preview of: the first text that is shown and not empty."""
    shown = (*lists.text, *lists.html)
    return next((part for part in shown if part.type.startswith("text/") and part.encoded_octets), None)


def body_value(octets: bytes, part: Part) -> tuple[str, bool]:
    """Return an EmailBodyValue of a text part's encoded octets, not truncated: (value, isEncodingProblem)."""
    decoded, has_transfer_problem = decode_transfer(octets, part.encoding)
    text, has_charset_problem = decode_text(decoded, part.charset)
    return text, has_transfer_problem or has_charset_problem


def has_attachment(root: Part) -> bool:
    """Tell whether there is something to download.

    As the RFC has it, any attachment without Content-Disposition: inline, but for two kinds that it lets a server
    ignore: images that a multipart/related embeds, and the signature of a multipart/signed.
    """
    ignored = _embedded(root)
    return any(part.disposition != "inline" and part.section not in ignored for part in flatten(root).attachments)


def _embedded(root: Part) -> set[str]:
    sections = set()
    for part in root.walk():
        if part.type == "multipart/related":
            sections |= {
                image.section
                for image in part.subparts[1:]
                if image.cid and image.type.startswith("image/") and image.disposition != "attachment"
            }
        elif part.type == "multipart/signed":
            sections |= {signature.section for signature in part.subparts[1:2] if signature.type in _SIGNATURES}
    return sections
