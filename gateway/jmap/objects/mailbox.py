"""The Mailbox data type (RFC 8621 section 2)."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from gateway.jmap.capability import MAIL, MAIL_SHARE
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.types import (
    is_boolean,
    is_id,
    is_id_or_reference,
    is_string,
    is_unsigned_int,
    map_of,
    nullable,
    object_of,
    one_of,
)

# The IANA registry "IMAP Mailbox Name Attributes": those that name a use, in lower case.
ROLES: Final = frozenset(
    {
        "all",
        "archive",
        "drafts",
        "flagged",
        "important",
        "inbox",
        "junk",
        "memos",
        "scheduled",
        "sent",
        "snoozed",
        "subscribed",
        "trash",
    }
)

# The MailboxRights object, in the order of RFC 8621 section 2.
RIGHTS: Final = (
    "mayReadItems",
    "mayAddItems",
    "mayRemoveItems",
    "maySetSeen",
    "maySetKeywords",
    "mayCreateChild",
    "mayRename",
    "mayDelete",
    "maySubmit",
)

# Together with the right of the mail-sharing draft, section 2, where the request uses it.
SHARE_RIGHTS: Final = (*RIGHTS, "mayShare")

# When these alone moved, Mailbox/changes says so in `updatedProperties` (RFC 8621 section 2.2).
COUNTS: Final = ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")


def is_mailbox_name(value: Any) -> str | None:
    """A Net-Unicode string of at least one character (RFC 5198): no control characters."""
    if type(value) is not str or not value:
        return "is not a String of at least one character"
    if any(unicodedata.category(character) == "Cc" for character in value):
        return "has a control character"
    return None


def is_sort_order(value: Any) -> str | None:
    return None if type(value) is int and 0 <= value < 2**31 else "is not a whole number between 0 and 2^31-1"


MAILBOX: Final = DataType(
    name="Mailbox",
    capability=MAIL,
    properties={
        "id": Property(is_id, is_immutable=True, is_server_set=True),
        "name": Property(is_mailbox_name, default=REQUIRED),
        "parentId": Property(nullable(is_id_or_reference), is_nullable=True, is_reference=True, is_own_reference=True),
        "role": Property(nullable(one_of(ROLES)), is_nullable=True),
        "sortOrder": Property(is_sort_order, default=0),
        "totalEmails": Property(is_unsigned_int, is_server_set=True),
        "unreadEmails": Property(is_unsigned_int, is_server_set=True),
        "totalThreads": Property(is_unsigned_int, is_server_set=True),
        "unreadThreads": Property(is_unsigned_int, is_server_set=True),
        "myRights": Property(object_of(dict.fromkeys(RIGHTS, is_boolean)), is_server_set=True),
        "isSubscribed": Property(is_boolean, default=True),
        "shareWith": Property(
            nullable(map_of(is_id, object_of(dict.fromkeys(SHARE_RIGHTS, is_boolean)))),
            is_nullable=True,
            is_map=True,
            capability=MAIL_SHARE,
        ),
    },
    methods=frozenset({"get", "changes", "set", "query", "queryChanges"}),
    filter_conditions={
        "parentId": nullable(is_id_or_reference),
        "name": is_string,
        "role": nullable(is_string),
        "hasAnyRole": is_boolean,
        "isSubscribed": is_boolean,
    },
    sort_properties=frozenset({"sortOrder", "name"}),
)
