"""The SearchSnippet data type (RFC 8621 section 5). Its /get takes a filter: no standard method fits it."""

from __future__ import annotations

from typing import Final

from gateway.jmap.capability import MAIL
from gateway.jmap.declare import DataType, Property
from gateway.jmap.types import is_id, is_string, nullable

MAX_PREVIEW_OCTETS: Final = 255  # "MUST NOT be bigger than 255 octets in size", <mark> tags included

SEARCH_SNIPPET: Final = DataType(
    name="SearchSnippet",
    capability=MAIL,
    properties={
        "emailId": Property(is_id, is_server_set=True),
        "subject": Property(nullable(is_string), is_nullable=True, is_server_set=True),
        "preview": Property(nullable(is_string), is_nullable=True, is_server_set=True),
    },
    methods=frozenset(),
)
