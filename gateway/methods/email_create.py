"""An Email as a client gives it to Email/set -> header fields and a tree of parts (RFC 8621 section 4.6). Pure.

Rule 1: everything that section forbids is found before a blob is looked for, and each property in fault is named; what
is wrong inside a part is told of the property that holds the part.
Rule 2: a property that is null, or a list that is empty, is a header field that is not there.
Rule 3: Message-ID and Date are supplied where the client gives none.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.jmap import types
from gateway.jmap.objects.email import EMAIL
from gateway.message.build_header import HeaderValueError, encode_field, is_empty
from gateway.message.headers import HeaderProperty, HeaderPropertyError
from gateway.methods.creations import Creation, Faults
from gateway.methods.email_create_part import PartPlan, PartReader
from gateway.methods.email_shape import utc_date

# The convenience properties of RFC 8621 section 4.1.3, in the order in which their fields are written.
_CONVENIENCE: Final[Mapping[str, tuple[str, str]]] = {
    "from": ("From", "Addresses"),
    "sender": ("Sender", "Addresses"),
    "replyTo": ("Reply-To", "Addresses"),
    "to": ("To", "Addresses"),
    "cc": ("Cc", "Addresses"),
    "bcc": ("Bcc", "Addresses"),
    "subject": ("Subject", "Text"),
    "sentAt": ("Date", "Date"),
    "messageId": ("Message-ID", "MessageIds"),
    "inReplyTo": ("In-Reply-To", "MessageIds"),
    "references": ("References", "MessageIds"),
}
_RANK: Final = {name.lower(): rank for rank, (name, _form) in enumerate(_CONVENIENCE.values())}
_BODY: Final = ("textBody", "htmlBody", "attachments")
_addresses: Final = EMAIL.properties["from"].check
_FORM_CHECKS: Final[Mapping[str, types.Check]] = {
    "Raw": types.is_string,
    "Text": types.is_string,
    "Addresses": _addresses,
    "GroupedAddresses": types.list_of(
        types.object_of({"name": types.nullable(types.is_string), "addresses": _addresses}, required=("addresses",))
    ),
    "MessageIds": types.is_strings,
    "Date": types.is_date,
    "URLs": types.is_strings,
}
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to build: its header fields, whole, but for the fields of the root part."""

    fields: tuple[bytes, ...]
    root: PartPlan

    def blob_ids(self) -> Iterator[str]:
        """Yield the blob ids in the tree, as the client gave them."""
        return (part.blob_id for part in self.root.walk() if part.blob_id is not None)


def read_draft(creation: Creation, *, now_s: float | None = None) -> tuple[Draft | None, Faults]:
    """Return the message that an Email stands for, or what is wrong with it."""
    given = {name: value for name, value in creation.properties.items() if creation.given(name)}
    faults: Faults = {}
    if "headers" in given:
        faults["headers"] = "must not be given: each header field is a property of its own"
    fields = header_fields(given, faults)
    for name, property in fields.names.items():
        if name.startswith("content-"):
            faults[property[0]] = "is a header field of a body part, not of the Email"
    root = _structure(given, faults)
    if root is not None:
        _check_root(root, fields, faults)
    if faults or root is None:
        return None, faults
    return Draft(tuple(_supplied(given, fields, root, time.time() if now_s is None else now_s)), root), faults


@dataclass(frozen=True, slots=True)
class Fields:
    """Header fields that properties make: those of each name with the properties they come from."""

    names: Mapping[str, list[str]]  # lower case -> properties that give it a value
    octets: tuple[tuple[str, bytes], ...]  # (lower-case name, whole field)


def header_fields(
    given: Mapping[str, Any], faults: Faults, *, known: Mapping[str, tuple[str, str]] = _CONVENIENCE
) -> Fields:
    """Encode the header fields that these properties stand for."""
    names: dict[str, list[str]] = {}
    octets: list[tuple[str, bytes]] = []
    for property, value in given.items():
        if property in known:
            name, form, values = *known[property], [value]
        elif property.startswith("header:"):
            try:
                header = HeaderProperty.parse(property)
                values = _checked(header, value)
            except (HeaderPropertyError, HeaderValueError) as error:
                faults[property] = str(error)
                continue
            name, form = property.split(":")[1], header.form
        else:
            continue
        if value is None:
            continue
        names.setdefault(name.lower(), []).append(property)
        try:
            octets += [(name.lower(), encode_field(name, form, one)) for one in values if not is_empty(form, one)]
        except HeaderValueError as error:
            faults[property] = str(error)
    for properties in names.values():
        if len(properties) > 1:
            faults.update(dict.fromkeys(properties, "is one of several properties for the same header field"))
    octets.sort(key=lambda field: _RANK.get(field[0], len(_RANK)))
    return Fields(names, tuple(octets))


def _checked(header: HeaderProperty, value: Any) -> list[Any]:
    """Return the values of a header property, one for each field; raise HeaderValueError."""
    if value is None:
        return []
    values = value if header.all else [value]
    fault = "is not an array" if type(values) is not list else None
    for one in values if fault is None else ():
        fault = fault or _FORM_CHECKS[header.form](one) or ("is null" if one is None else None)
    if fault is not None:
        raise HeaderValueError(fault)
    return list(values)


def _structure(given: Mapping[str, Any], faults: Faults) -> PartPlan | None:
    """Return the tree of parts, from bodyStructure or put together from the three lists."""
    values = given.get("bodyValues") or {}
    for value in values.values():
        for flag in ("isEncodingProblem", "isTruncated"):
            if value.get(flag):
                faults["bodyValues"] = f"has a value that says {flag}"
    if "bodyStructure" in given:
        for name in _BODY:
            if name in given:
                faults[name] = "must not be given beside bodyStructure"
        return PartReader("bodyStructure", values, faults, header_fields).read(given["bodyStructure"], is_root=True)
    lists: dict[str, list[PartPlan | None]] = {}
    for name, type, default_disposition in (
        ("textBody", "text/plain", None),
        ("htmlBody", "text/html", None),
        ("attachments", None, "attachment"),
    ):
        parts = given.get(name) or []
        embeds = name == "attachments" and bool(lists["htmlBody"])
        reader = PartReader(name, values, faults, header_fields, type, default_disposition, embeds=embeds)
        lists[name] = [reader.read(part) for part in parts]
        if type is not None and parts:
            found = lists[name][0]
            if len(parts) > 1 or (found is not None and found.type != type):
                faults.setdefault(name, f"does not hold exactly one part, of type {type}")
    if faults:
        return None
    return arrange(*([part for part in parts if part is not None] for parts in lists.values()))


def arrange(text: Sequence[PartPlan], html: Sequence[PartPlan], attachments: Sequence[PartPlan]) -> PartPlan:
    """Put a tree together: alternative of text and HTML, the HTML related with what it embeds, attachments beside."""
    embedded = [part for part in attachments if part.is_embedded]
    body = list(html)
    if embedded:
        body = [PartPlan("multipart/related", {"type": "text/html"}, subparts=(*html, *embedded))]
    if text and body:
        body = [PartPlan("multipart/alternative", subparts=(*text, *body))]
    body = body or list(text)
    beside = [part for part in attachments if part not in embedded]
    if not beside:
        return body[0] if body else PartPlan("text/plain", {"charset": "utf-8"}, text="")
    return PartPlan("multipart/mixed", subparts=(*body, *beside))


def _check_root(root: PartPlan, fields: Fields, faults: Faults) -> None:
    """The root part's fields and the Email's are one header."""
    for name in root.names & fields.names.keys():
        text = "stands for a header field that bodyStructure has, too"
        faults.update(dict.fromkeys(fields.names[name], text))
        faults["bodyStructure"] = "has a header field that the Email has, too"


def _supplied(given: Mapping[str, Any], fields: Fields, root: PartPlan, now_s: float) -> Iterator[bytes]:
    """Yield the header fields in order, Date and Message-ID among them."""
    octets = list(fields.octets)
    has: Collection[str] = {name for name, _field in octets} | root.names
    if "date" not in has:
        octets.append(("date", encode_field("Date", "Date", utc_date(int(now_s)))))
    if "message-id" not in has:
        octets.append(("message-id", encode_field("Message-ID", "MessageIds", [new_message_id(given)])))
    octets.sort(key=lambda field: _RANK.get(field[0], len(_RANK)))
    return (field for _name, field in octets)


def new_message_id(given: Mapping[str, Any]) -> str:
    """Return a Message-ID that nobody else makes, in the sender's domain where there is one (RFC 5322 3.6.4)."""
    senders = given.get("from") or [{"email": ""}]
    domain = senders[0]["email"].rpartition("@")[2]
    return f"{uuid.uuid4()}@{domain if _DOMAIN.fullmatch(domain) else 'localhost'}"
