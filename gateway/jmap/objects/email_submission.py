"""The EmailSubmission data type (RFC 8621 section 7)."""

from __future__ import annotations

from typing import Any, Final

from gateway.jmap.capability import SUBMISSION
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.types import (
    is_id,
    is_id_or_reference,
    is_ids,
    is_ids_or_references,
    is_object,
    is_string,
    is_utc_date,
    list_of,
    map_of,
    nullable,
    object_of,
    one_of,
)

# Parameter names are looked at later: which there are depends on the server for sending.
_is_address = object_of(
    {"email": is_string, "parameters": nullable(map_of(is_string, nullable(is_string)))}, required=("email",)
)
_is_envelope = object_of({"mailFrom": _is_address, "rcptTo": list_of(_is_address)}, required=("mailFrom", "rcptTo"))
_is_delivery_status = map_of(is_string, is_object)


def _is_undo_status(value: Any) -> str | None:
    return one_of(("pending", "final", "canceled"))(value)


EMAIL_SUBMISSION: Final = DataType(
    name="EmailSubmission",
    capability=SUBMISSION,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "identityId": Property(is_id_or_reference, default=REQUIRED, is_immutable=True, is_reference=True),
        "emailId": Property(is_id_or_reference, default=REQUIRED, is_immutable=True, is_reference=True),
        "threadId": Property(is_id, is_immutable=True, is_server_set=True),
        "envelope": Property(nullable(_is_envelope), is_immutable=True, is_nullable=True),
        "sendAt": Property(is_utc_date, is_immutable=True, is_server_set=True),
        # Set by the server on creation, and by the client afterwards: `email_submission_set` knows.
        "undoStatus": Property(_is_undo_status, default="pending"),
        "deliveryStatus": Property(nullable(_is_delivery_status), is_server_set=True),
        "dsnBlobIds": Property(is_ids, default=[], is_server_set=True),
        "mdnBlobIds": Property(is_ids, default=[], is_server_set=True),
    },
    methods=frozenset({"get", "changes", "set", "query", "queryChanges"}),
    filter_conditions={
        "identityIds": is_ids_or_references,
        "emailIds": is_ids_or_references,
        "threadIds": is_ids_or_references,
        "undoStatus": is_string,
        "before": is_utc_date,
        "after": is_utc_date,
    },
    # Section 7.3 says "sentAt" and means the property: both words sort.
    sort_properties=frozenset({"emailId", "threadId", "sentAt", "sendAt"}),
)
