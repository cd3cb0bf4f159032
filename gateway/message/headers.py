"""Header fields and their forms (RFC 8621 sections 4.1.2 and 4.1.3).

Rule 1: a raw value is the octets after the colon, folding included, without the CRLF that ends the field. Every form
        is made from it.
Rule 2: only an empty line ends a header. A line that is no field is passed over with its continuation lines.
Rule 3: bare LF ends a line as CRLF does; bare CR and NUL end nothing. No form shows a NUL.
Rule 4: an 8-bit value that is no UTF-8 shows U+FFFD in Raw form, as the RFC asks, and is guessed in the other forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.message.addresses import Address, parse_addresses, parse_groups
from gateway.message.charset import guess_header, json_safe
from gateway.message.dates import parse_date
from gateway.message.encodedwords import decode_unstructured, to_nfc

Field = tuple[str, bytes]  # (name as written, raw value)

_FIELD = re.compile(
    rb"([!-9;-~]+)[ \t]*:((?:[^\n]*+)(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)|[^\n]*+(?:\n[ \t][^\n]*+)*+(?:\n|\Z)"
)
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def header_end(data: bytes, start: int = 0) -> int:
    """Return where the body begins: after the first empty line, or at the end of the data where there is none."""
    if data.startswith((b"\r\n", b"\n"), start):
        return start + (2 if data[start] == 13 else 1)
    match = _EMPTY_LINE.search(data, start)
    return match.end() if match is not None else len(data)


def parse_fields(block: bytes) -> list[Field]:
    """Split a header into its fields, in order; what follows the empty line is ignored."""
    return [
        (match[1].decode("ascii"), match[2][:-1] if match[2].endswith(b"\r") else match[2])
        for match in _FIELD.finditer(block[: header_end(block)])
        if match[1] is not None
    ]


def as_raw(raw: bytes) -> str:
    """Return the Raw form (section 4.1.2.1)."""
    return json_safe(raw.replace(b"\0", b"").decode("utf-8", "replace"))


def unfolded(raw: bytes) -> str:
    """Return the value as Unicode with the folding undone (RFC 5322 section 2.2.3)."""
    text = guess_header(raw.replace(b"\0", b""))
    return _FOLD.sub("", text) if "\n" in text else text


def as_text(raw: bytes) -> str:
    """Return the Text form (section 4.1.2.2)."""
    # The RFC says SP; a value folded right after the colon begins with TAB where the sender folds with TAB.
    return to_nfc(decode_unstructured(unfolded(raw).lstrip(" \t")))


def as_addresses(raw: bytes) -> list[Address]:
    """Return the Addresses form (section 4.1.2.3)."""
    return parse_addresses(unfolded(raw))


def as_grouped_addresses(raw: bytes) -> list[dict[str, Any]]:
    """Return the GroupedAddresses form (section 4.1.2.4)."""
    return [{"name": group.name, "addresses": group.addresses} for group in parse_groups(unfolded(raw))]


# A comment is passed over whole, so that an id that it quotes is not taken.
_ANGLES = re.compile(r"<([^<>]*+)>|\([^()]*+\)")
_COMMENT = re.compile(r"\([^()]*+\)")
_BLANKS = re.compile(r"[ \t\r\n]+")


def as_message_ids(raw: bytes) -> list[str] | None:
    """Return the MessageIds form (section 4.1.2.5); None where there is no msg-id.

    Words between the ids are passed over, as RFC 5322 section 4.5.4 has them; an id need not hold an "@".
    """
    ids = []
    for match in _ANGLES.finditer(json_safe(raw.replace(b"\0", b"").decode("utf-8", "replace"))):
        content = match[1]
        if content:
            content = _COMMENT.sub("", content) if "(" in content else content
            content = _BLANKS.sub(" " if '"' in content else "", content).strip(" ")
            if content:
                ids.append(content)
    return ids or None


def as_date(raw: bytes) -> str | None:
    """Return the Date form (section 4.1.2.6)."""
    return parse_date(unfolded(raw))


def as_urls(raw: bytes) -> list[str] | None:
    """Return the URLs form (section 4.1.2.7, RFC 2369); None where there is no URL in angle brackets."""
    urls = [_BLANKS.sub("", match[1]) for match in _ANGLES.finditer(unfolded(raw)) if match[1]]
    return [url for url in urls if url] or None


# ---------------------------------------------------------------- header:{name}[:as{form}][:all]

FORMS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "Raw": as_raw,
    "Text": as_text,
    "Addresses": as_addresses,
    "GroupedAddresses": as_grouped_addresses,
    "MessageIds": as_message_ids,
    "Date": as_date,
    "URLs": as_urls,
}

_ADDRESS_FIELDS = frozenset(
    resent + name for resent in ("", "resent-") for name in ("from", "sender", "reply-to", "to", "cc", "bcc")
)
_FIELDS_OF_FORM: Final[Mapping[str, frozenset[str]]] = {
    "Text": frozenset(("subject", "comments", "keywords", "list-id")),
    "Addresses": _ADDRESS_FIELDS,
    "GroupedAddresses": _ADDRESS_FIELDS,
    "MessageIds": frozenset(("message-id", "in-reply-to", "references", "resent-message-id")),
    "Date": frozenset(("date", "resent-date")),
    "URLs": frozenset(("list-help", "list-unsubscribe", "list-subscribe", "list-post", "list-owner", "list-archive")),
}
# Defined in RFC 5322 or RFC 2369: only the forms of the table above. List-Id is not (RFC 2919).
_RESTRICTED = frozenset(("return-path", "received")).union(*_FIELDS_OF_FORM.values()) - {"list-id"}
_NAME = re.compile(r"[!-9;-~]+")


class HeaderPropertyError(ValueError):
    """A property begins with "header:" but the RFC does not allow it; the text says why."""


class HeaderProperty(NamedTuple):
    """A property of an Email or a body part that names a header field."""

    name: str  # lower case
    form: str  # a key of FORMS
    all: bool

    @classmethod
    def parse(cls, text: str) -> HeaderProperty:
        """Read "header:Name:asForm:all"; raise HeaderPropertyError where name or form is not allowed."""
        prefix, *rest = text.split(":")
        if prefix != "header" or not rest:
            raise HeaderPropertyError('a header property is "header:{name}", then ":as{form}" and ":all" if wanted')
        name, *suffixes = rest
        if _NAME.fullmatch(name) is None:
            raise HeaderPropertyError("a header field name is one or more printable ASCII characters without a colon")
        is_all = suffixes[-1:] == ["all"]
        if is_all:
            suffixes.pop()
        form = "Raw"
        if suffixes and suffixes[0].startswith("as"):
            form = suffixes.pop(0)[2:]
            if form not in FORMS:
                raise HeaderPropertyError("there is no such header form; the forms are " + ", ".join(FORMS))
        if suffixes:
            raise HeaderPropertyError('after the field name only ":as{form}" and ":all" may follow, in that order')
        lower = name.lower()
        if form != "Raw" and lower in _RESTRICTED and lower not in _FIELDS_OF_FORM[form]:
            raise HeaderPropertyError(f"the form {form} is not allowed for the header field {name}")
        return cls(lower, form, is_all)

    def value(self, fields: Sequence[Field]) -> Any:
        """Return the property's value in JSON: of the last such field, or with `all` of each."""
        convert = FORMS[self.form]
        if self.all:
            return [convert(raw) for name, raw in fields if name.lower() == self.name]
        return next((convert(raw) for name, raw in reversed(fields) if name.lower() == self.name), None)


def all_headers(fields: Sequence[Field]) -> list[dict[str, str]]:
    """Return the `headers` property: every field, in order, in Raw form."""
    return [{"name": name, "value": as_raw(raw)} for name, raw in fields]
