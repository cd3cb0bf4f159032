"""The Email data type and its body parts (RFC 8621 section 4).

Rule 1: `header:…` properties (section 4.1.3) are not in the table: their names are open. `message.headers` reads them.
Rule 2: the order of the table is the order of RFC 8621, and so that of a default /get.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.jmap.capability import MAIL
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.types import (
    Check,
    is_boolean,
    is_date,
    is_id,
    is_id_or_reference,
    is_ids_or_references,
    is_string,
    is_strings,
    is_unsigned_int,
    is_utc_date,
    list_of,
    map_of,
    nullable,
    object_of,
    set_of,
)

# Printable ASCII but space ( ) { ] % * " and backslash (section 4.1.1). Case does not count; we answer in lower case.
_KEYWORD = re.compile(r"[!#$&'+-\[^-z|}~]{1,255}")


def is_keyword(value: Any) -> str | None:
    return None if type(value) is str and _KEYWORD.fullmatch(value) else "is not a keyword"


def is_header_condition(value: Any) -> str | None:
    """The `header` of a filter: a field's name and, perhaps, text to look for in it (section 4.4.1)."""
    if is_strings(value) is None and 1 <= len(value) <= 2 and value[0]:
        return None
    return "is not an array of one or two Strings"


_ADDRESS: Final = object_of({"name": nullable(is_string), "email": is_string}, required=("email",))
_ADDRESSES: Final = nullable(list_of(_ADDRESS))
_STRINGS: Final = nullable(is_strings)
_HEADERS: Final = list_of(object_of({"name": is_string, "value": is_string}, required=("name", "value")))
_BODY_VALUE: Final = object_of(
    {"value": is_string, "isEncodingProblem": is_boolean, "isTruncated": is_boolean}, required=("value",)
)


def is_body_part(value: Any) -> str | None:
    """An EmailBodyPart as a client gives one: declared properties, `header:…` and parts below it."""
    if type(value) is not dict:
        return "is not an EmailBodyPart"
    for name, item in value.items():
        declared = EMAIL_BODY_PART.get(name)
        if declared is None:
            if not name.startswith("header:"):
                return "has a property that an EmailBodyPart does not know"
        elif (fault := declared.check(item)) is not None:
            return f"has a property {name} that {fault}"
    return None


def _is_body_parts(value: Any) -> str | None:
    # By name, for an EmailBodyPart holds EmailBodyParts. Their depth is that of the request (jmap.strict_json).
    return _BODY_PARTS(value)


EMAIL_BODY_PART: Final[dict[str, Property]] = {
    "partId": Property(nullable(is_string), is_nullable=True),
    "blobId": Property(nullable(is_id_or_reference), is_nullable=True),
    "size": Property(is_unsigned_int),
    "headers": Property(_HEADERS, in_default_get=False),
    "name": Property(nullable(is_string), is_nullable=True),
    "type": Property(is_string),
    "charset": Property(nullable(is_string), is_nullable=True),
    "disposition": Property(nullable(is_string), is_nullable=True),
    "cid": Property(nullable(is_string), is_nullable=True),
    "language": Property(_STRINGS, is_nullable=True),
    "location": Property(nullable(is_string), is_nullable=True),
    "subParts": Property(nullable(_is_body_parts), is_nullable=True, in_default_get=False),
}
_BODY_PARTS: Final[Check] = list_of(is_body_part)

# What `bodyProperties` is when a client leaves it out (section 4.2).
DEFAULT_BODY_PROPERTIES: Final = tuple(name for name, declared in EMAIL_BODY_PART.items() if declared.in_default_get)

EMAIL: Final = DataType(
    name="Email",
    capability=MAIL,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "blobId": Property(is_id, is_immutable=True, is_server_set=True),
        "threadId": Property(is_id, is_immutable=True, is_server_set=True),
        "mailboxIds": Property(set_of(is_id_or_reference), default=REQUIRED, is_map=True, is_reference=True),
        "keywords": Property(set_of(is_keyword), default={}, is_map=True, fold_key=str.lower),
        "size": Property(is_unsigned_int, is_immutable=True, is_server_set=True),
        "receivedAt": Property(is_utc_date, is_immutable=True),
        "messageId": Property(_STRINGS, is_immutable=True, is_nullable=True),
        "inReplyTo": Property(_STRINGS, is_immutable=True, is_nullable=True),
        "references": Property(_STRINGS, is_immutable=True, is_nullable=True),
        "sender": Property(_ADDRESSES, is_immutable=True, is_nullable=True),
        "from": Property(_ADDRESSES, is_immutable=True, is_nullable=True),
        "to": Property(_ADDRESSES, is_immutable=True, is_nullable=True),
        "cc": Property(_ADDRESSES, is_immutable=True, is_nullable=True),
        "bcc": Property(_ADDRESSES, is_immutable=True, is_nullable=True),
        "replyTo": Property(_ADDRESSES, is_immutable=True, is_nullable=True),
        "subject": Property(nullable(is_string), is_immutable=True, is_nullable=True),
        "sentAt": Property(nullable(is_date), is_immutable=True, is_nullable=True),
        "hasAttachment": Property(is_boolean, is_immutable=True, is_server_set=True),
        "preview": Property(is_string, is_immutable=True, is_server_set=True),
        "bodyValues": Property(map_of(is_string, _BODY_VALUE), default={}, is_immutable=True),
        "textBody": Property(_BODY_PARTS, default=[], is_immutable=True),
        "htmlBody": Property(_BODY_PARTS, default=[], is_immutable=True),
        "attachments": Property(_BODY_PARTS, default=[], is_immutable=True),
        "headers": Property(_HEADERS, is_immutable=True, in_default_get=False),
        "bodyStructure": Property(is_body_part, is_immutable=True, in_default_get=False),
    },
    methods=frozenset({"get", "changes", "set", "query", "queryChanges", "copy"}),
    open_prefix="header:",
    filter_conditions={
        "inMailbox": is_id_or_reference,
        "inMailboxOtherThan": is_ids_or_references,
        "before": is_utc_date,
        "after": is_utc_date,
        "minSize": is_unsigned_int,
        "maxSize": is_unsigned_int,
        "allInThreadHaveKeyword": is_keyword,
        "someInThreadHaveKeyword": is_keyword,
        "noneInThreadHaveKeyword": is_keyword,
        "hasKeyword": is_keyword,
        "notKeyword": is_keyword,
        "hasAttachment": is_boolean,
        "text": is_string,
        "from": is_string,
        "to": is_string,
        "cc": is_string,
        "bcc": is_string,
        "subject": is_string,
        "body": is_string,
        "header": is_header_condition,
    },
    sort_properties=frozenset(
        {
            "receivedAt",
            "size",
            "from",
            "to",
            "subject",
            "sentAt",
            "hasKeyword",
            "allInThreadHaveKeyword",
            "someInThreadHaveKeyword",
        }
    ),
)

# The sorts whose Comparator must name a keyword (section 4.4.2).
KEYWORD_SORTS: Final = frozenset({"hasKeyword", "allInThreadHaveKeyword", "someInThreadHaveKeyword"})
