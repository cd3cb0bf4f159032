"""The SieveScript data type (RFC 9661 section 2)."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.jmap.capability import MAX_SIZE_SCRIPT_NAME, SIEVE
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.types import is_boolean, is_id, is_id_or_reference, is_string, nullable

_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # section 2.1, for compatibility with ManageSieve


def is_script_name(value: Any) -> str | None:
    """A Net-Unicode string of at least one character (RFC 5198), without what section 2.1 excludes."""
    if type(value) is not str or not value:
        return "is not a String of at least one character"
    if _REFUSED.search(value):
        return "has a control character or a line separator"
    if len(value.encode()) > MAX_SIZE_SCRIPT_NAME:
        return f"is longer than {MAX_SIZE_SCRIPT_NAME} octets"
    return None


SIEVE_SCRIPT: Final = DataType(
    name="SieveScript",
    capability=SIEVE,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "name": Property(nullable(is_script_name), is_nullable=True),
        "blobId": Property(is_id_or_reference, default=REQUIRED, is_reference=True),
        "isActive": Property(is_boolean, default=False, is_server_set=True),
    },
    methods=frozenset({"get", "set", "query"}),
    filter_conditions={"name": is_string, "isActive": is_boolean},
    sort_properties=frozenset({"name", "isActive"}),
)
