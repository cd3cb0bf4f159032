"""The Principal and ShareNotification data types (RFC 9670 sections 2 and 3)."""

from __future__ import annotations

from typing import Final

from gateway.jmap.capability import PRINCIPALS
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.types import (
    is_boolean,
    is_id,
    is_object,
    is_string,
    is_strings,
    is_utc_date,
    map_of,
    nullable,
    object_of,
    one_of,
)

TYPES: Final = ("individual", "group", "resource", "location", "other")

PRINCIPAL: Final = DataType(
    name="Principal",
    capability=PRINCIPALS,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "type": Property(one_of(TYPES), default=REQUIRED),
        "name": Property(is_string, default=REQUIRED),
        "description": Property(nullable(is_string), is_nullable=True),
        "email": Property(nullable(is_string), is_nullable=True),
        "timeZone": Property(nullable(is_string), is_nullable=True),
        "capabilities": Property(map_of(is_string, is_object), default={}, is_server_set=True),
        "accounts": Property(nullable(map_of(is_id, is_object)), is_nullable=True, is_server_set=True),
    },
    methods=frozenset({"get", "changes", "set", "query", "queryChanges"}),
    filter_conditions={
        "accountIds": is_strings,
        "email": is_string,
        "name": is_string,
        "text": is_string,
        "type": is_string,
        "timeZone": is_string,
    },
    sort_properties=frozenset({"name"}),
)

SHARE_NOTIFICATION: Final = DataType(
    name="ShareNotification",
    capability=PRINCIPALS,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "created": Property(is_utc_date, is_immutable=True, is_server_set=True),
        "changedBy": Property(
            object_of({"name": is_string, "email": nullable(is_string), "principalId": nullable(is_id)}),
            is_immutable=True,
            is_server_set=True,
        ),
        "objectType": Property(is_string, is_immutable=True, is_server_set=True),
        "objectAccountId": Property(is_id, is_immutable=True, is_server_set=True),
        "objectId": Property(is_id, is_immutable=True, is_server_set=True),
        "oldRights": Property(
            nullable(map_of(is_string, is_boolean)), is_nullable=True, is_immutable=True, is_server_set=True
        ),
        "newRights": Property(
            nullable(map_of(is_string, is_boolean)), is_nullable=True, is_immutable=True, is_server_set=True
        ),
        "name": Property(is_string, default="", is_immutable=True, is_server_set=True),
    },
    methods=frozenset({"get", "changes", "set", "query", "queryChanges"}),
    filter_conditions={
        "after": nullable(is_utc_date),
        "before": nullable(is_utc_date),
        "objectType": is_string,
        "objectAccountId": is_id,
    },
    sort_properties=frozenset({"created"}),
)
