"""The Identity data type (RFC 8621 section 6)."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from gateway.jmap.capability import SUBMISSION
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.types import is_boolean, is_id, is_string, list_of, nullable, object_of

MAX_NAME_CHARACTERS: Final = 500  # a display name is a line of a header
MAX_SIGNATURE_CHARACTERS: Final = 100_000  # with a picture in it; each Identity/get brings all of them
MAX_ADDRESSES: Final = 100  # of a replyTo or bcc


def is_line(value: Any) -> str | None:
    """A String that is one line: it will stand in a header field."""
    if type(value) is not str:
        return "is not a String"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in value):
        return "has a control character"
    return f"has more than {MAX_NAME_CHARACTERS} characters" if len(value) > MAX_NAME_CHARACTERS else None


def _is_signature(value: Any) -> str | None:
    if fault := is_string(value):
        return fault
    if "\0" in value:
        return "has a NUL"
    return f"has more than {MAX_SIGNATURE_CHARACTERS} characters" if len(value) > MAX_SIGNATURE_CHARACTERS else None


_is_addresses = list_of(object_of({"name": nullable(is_line), "email": is_line}, required=("email",)))


def _is_some_addresses(value: Any) -> str | None:
    return _is_addresses(value) or (f"has more than {MAX_ADDRESSES} items" if len(value) > MAX_ADDRESSES else None)


IDENTITY: Final = DataType(
    name="Identity",
    capability=SUBMISSION,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "name": Property(is_line, default=""),
        "email": Property(is_line, default=REQUIRED, is_immutable=True),
        "replyTo": Property(nullable(_is_some_addresses), is_nullable=True),
        "bcc": Property(nullable(_is_some_addresses), is_nullable=True),
        "textSignature": Property(_is_signature, default=""),
        "htmlSignature": Property(_is_signature, default=""),
        "mayDelete": Property(is_boolean, default=True, is_server_set=True),
    },
    methods=frozenset({"get", "changes", "set"}),
)
