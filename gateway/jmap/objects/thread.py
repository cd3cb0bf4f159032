"""The Thread data type (RFC 8621 section 3)."""

from __future__ import annotations

from typing import Final

from gateway.jmap.capability import MAIL
from gateway.jmap.declare import DataType, Property
from gateway.jmap.types import is_id, is_ids

THREAD: Final = DataType(
    name="Thread",
    capability=MAIL,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "emailIds": Property(is_ids, is_server_set=True),
    },
    methods=frozenset({"get", "changes"}),
)
