"""PushSubscription (RFC 8620 section 7.2). It belongs to credentials, not to an account."""

from __future__ import annotations

from gateway.jmap import types
from gateway.jmap.capability import CORE
from gateway.jmap.declare import REQUIRED, DataType, Property

MAX_DEVICE_ID_CHARS = 512
MAX_TYPES = 100  # there are some thirty in all specifications together
MAX_TYPE_CHARS = 64


def _is_device_id(value: object) -> str | None:
    if type(value) is str and 0 < len(value) <= MAX_DEVICE_ID_CHARS:
        return None
    return f"is not a String of 1 to {MAX_DEVICE_ID_CHARS} characters"


def _is_types(value: object) -> str | None:
    if type(value) is not list:
        return "is not an array"
    if len(value) > MAX_TYPES or not all(type(name) is str and 0 < len(name) <= MAX_TYPE_CHARS for name in value):
        return f"is not an array of at most {MAX_TYPES} names of types"
    return None


_is_keys = types.object_of({"p256dh": types.is_string, "auth": types.is_string}, required=("p256dh", "auth"))

PUSH_SUBSCRIPTION = DataType(
    name="PushSubscription",
    capability=CORE,
    properties={
        "id": Property(types.is_id, is_immutable=True, is_server_set=True),
        "deviceClientId": Property(_is_device_id, REQUIRED, is_immutable=True),
        # Private to the device: never returned (section 7.2.1).
        "url": Property(types.is_string, REQUIRED, is_immutable=True, in_default_get=False),
        "keys": Property(types.nullable(_is_keys), is_immutable=True, is_nullable=True, in_default_get=False),
        "verificationCode": Property(types.nullable(types.is_string), is_nullable=True),
        "expires": Property(types.nullable(types.is_utc_date), is_nullable=True),
        "types": Property(types.nullable(_is_types), is_nullable=True),
    },
    methods=frozenset({"get", "set"}),
)
