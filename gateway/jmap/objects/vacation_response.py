"""The VacationResponse data type (RFC 8621 section 8)."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from gateway.jmap.capability import VACATION_RESPONSE
from gateway.jmap.declare import DataType, Property
from gateway.jmap.types import is_boolean, is_id, is_utc_date, nullable

MAX_TEXT: Final = 100_000  # characters of one body; servers take scripts of 32 kB to 1 MB
MAX_SUBJECT: Final = 250  # characters; as a header field, encoded, still no longer than mail servers pass on


def is_body(value: Any) -> str | None:
    """A String that a Sieve script can hold, which is any without NUL."""
    if type(value) is not str:
        return "is not a String"
    if len(value) > MAX_TEXT:
        return f"is longer than {MAX_TEXT} characters"
    return "has a NUL" if "\0" in value else None


def is_subject(value: Any) -> str | None:
    """The same, of one line."""
    if type(value) is str and any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in value):
        return "has a control character"
    return is_body(value) if type(value) is not str or len(value) <= MAX_SUBJECT else "is too long for a header field"


VACATION: Final = DataType(
    name="VacationResponse",
    capability=VACATION_RESPONSE,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "isEnabled": Property(is_boolean, default=False),
        "fromDate": Property(nullable(is_utc_date), is_nullable=True),
        "toDate": Property(nullable(is_utc_date), is_nullable=True),
        "subject": Property(nullable(is_subject), is_nullable=True),
        "textBody": Property(nullable(is_body), is_nullable=True),
        "htmlBody": Property(nullable(is_body), is_nullable=True),
    },
    methods=frozenset({"get", "set"}),
)
