"""The Quota data type (RFC 9425 section 4)."""

from __future__ import annotations

from typing import Final

from gateway.jmap.capability import QUOTA as QUOTA_CAPABILITY
from gateway.jmap.declare import DataType, Property
from gateway.jmap.types import is_id, is_string, is_strings, is_unsigned_int, nullable, one_of

SCOPES: Final = ("account", "domain", "global")
RESOURCE_TYPES: Final = ("count", "octets")

QUOTA: Final = DataType(
    name="Quota",
    capability=QUOTA_CAPABILITY,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "resourceType": Property(one_of(RESOURCE_TYPES), is_server_set=True),
        "used": Property(is_unsigned_int, default=0, is_server_set=True),
        "hardLimit": Property(is_unsigned_int, default=0, is_server_set=True),
        "scope": Property(one_of(SCOPES), default="account", is_server_set=True),
        "name": Property(is_string, default="", is_server_set=True),
        "types": Property(is_strings, default=(), is_server_set=True),
        "warnLimit": Property(nullable(is_unsigned_int), is_nullable=True, is_server_set=True),
        "softLimit": Property(nullable(is_unsigned_int), is_nullable=True, is_server_set=True),
        "description": Property(nullable(is_string), is_nullable=True, is_server_set=True),
    },
    methods=frozenset({"get", "changes", "query", "queryChanges"}),
    # A value that is none of the list matches nothing, and is no fault.
    filter_conditions={"name": is_string, "scope": is_string, "resourceType": is_string, "type": is_string},
    sort_properties=frozenset({"name", "used"}),
)
