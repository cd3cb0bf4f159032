"""The Blob data type (RFC 9404 section 4). It has no state and no changes: a blob is its octets."""

from __future__ import annotations

from typing import Final

from gateway.jmap.capability import BLOB as CAPABILITY
from gateway.jmap.capability import BLOB_DIGESTS
from gateway.jmap.declare import DataType, Property
from gateway.jmap.types import is_boolean, is_id, is_string, is_unsigned_int, nullable

DIGEST: Final = "digest:"  # before the name of an algorithm

BLOB: Final = DataType(
    name="Blob",
    capability=CAPABILITY,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        # One of the two below, as the octets are.
        "data": Property(is_string, is_server_set=True),
        "data:asText": Property(nullable(is_string), is_nullable=True, is_server_set=True, in_default_get=False),
        "data:asBase64": Property(is_string, is_server_set=True, in_default_get=False),
        "size": Property(is_unsigned_int, is_server_set=True),
        "isEncodingProblem": Property(is_boolean, default=False, is_server_set=True, in_default_get=False),
        "isTruncated": Property(is_boolean, default=False, is_server_set=True, in_default_get=False),
        **{f"{DIGEST}{name}": Property(is_string, is_server_set=True, in_default_get=False) for name in BLOB_DIGESTS},
    },
)
