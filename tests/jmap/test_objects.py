"""The declared data types against the property lists of RFC 8621."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap.declare import REQUIRED, DataType
from gateway.jmap.objects.email import (
    DEFAULT_BODY_PROPERTIES,
    EMAIL,
    EMAIL_BODY_PART,
    KEYWORD_SORTS,
    is_body_part,
    is_header_condition,
    is_keyword,
)
from gateway.jmap.objects.mailbox import COUNTS, MAILBOX, RIGHTS, is_mailbox_name
from gateway.jmap.objects.search_snippet import SEARCH_SNIPPET
from gateway.jmap.objects.thread import THREAD

TYPES = [MAILBOX, THREAD, EMAIL, SEARCH_SNIPPET]


def test_default_email_properties() -> None:
    """A default Email/get answers with the list of section 4.2, in its order."""
    assert list(EMAIL.default_properties()) == [
        *["id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "messageId", "inReplyTo"],
        *["references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt", "hasAttachment"],
        *["preview", "bodyValues", "textBody", "htmlBody", "attachments"],
    ]
    assert EMAIL.properties.keys() - EMAIL.default_properties() == {"headers", "bodyStructure"}


def test_default_body_properties() -> None:
    """`bodyProperties` defaults to the list of section 4.2; headers and subParts must be asked for."""
    assert list(DEFAULT_BODY_PROPERTIES) == [
        *["partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location"]
    ]
    assert EMAIL_BODY_PART.keys() - DEFAULT_BODY_PROPERTIES == {"headers", "subParts"}


def test_mailbox() -> None:
    """A Mailbox has the properties of section 2, and its counts are among them."""
    assert list(MAILBOX.properties) == [
        *["id", "name", "parentId", "role", "sortOrder", "totalEmails", "unreadEmails", "totalThreads"],
        *["unreadThreads", "myRights", "isSubscribed"],
        "shareWith",  # of the mail-sharing draft
    ]
    assert {name for name, declared in MAILBOX.properties.items() if declared.is_server_set} == {
        *COUNTS,
        "id",
        "myRights",
    }
    assert MAILBOX.properties["name"].default is REQUIRED
    assert len(RIGHTS) == 9


@pytest.mark.parametrize("data_type", TYPES)
def test_defaults_fit(data_type: DataType) -> None:
    """A default has the type of its property, or stands for what the server works out."""
    for name, declared in data_type.properties.items():
        if declared.default is None:
            assert declared.is_nullable or declared.is_server_set or declared.is_immutable, name
        elif declared.default is not REQUIRED:
            assert declared.check(declared.default) is None, name


@pytest.mark.parametrize("data_type", TYPES)
def test_nullable_properties(data_type: DataType) -> None:
    """What is said to be nullable takes null, and nothing else does."""
    for name, declared in data_type.properties.items():
        assert (declared.check(None) is None) is declared.is_nullable, name


@pytest.mark.parametrize(
    ("condition", "good", "bad"),
    [
        ("inMailbox", "M1", None),
        ("inMailboxOtherThan", ["M1"], "M1"),
        ("before", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00+01:00"),
        ("minSize", 0, -1),
        ("hasKeyword", "$Seen", "a b"),
        ("hasAttachment", False, "false"),
        ("text", "", None),
        ("header", ["Subject"], "Subject"),
    ],
)
def test_email_conditions(condition: str, good: Any, bad: Any) -> None:
    """The conditions of section 4.4.1 have the types given there."""
    check = EMAIL.filter_conditions[condition]
    assert check(good) is None
    assert check(bad) is not None


def test_sorts() -> None:
    """All sorts of section 4.4.2 are offered, those by keyword among them."""
    assert len(EMAIL.sort_properties) == 9
    assert EMAIL.sort_properties > KEYWORD_SORTS
    assert MAILBOX.sort_properties == {"sortOrder", "name"}


def test_keywords() -> None:
    """A keyword is printable ASCII without the characters that IMAP forbids (section 4.1.1)."""
    allowed = {chr(code) for code in range(0x21, 0x7F)} - set('(){]%*"\\')
    assert {chr(code) for code in range(0x180) if is_keyword(chr(code)) is None} == allowed
    assert is_keyword("x" * 255) is None
    for bad in ("", "x" * 256, None, 1, "a\n", ["a"]):
        assert is_keyword(bad)


def test_header_condition() -> None:
    """A header condition has one or two elements."""
    for good in (["X-A"], ["X-A", ""], ["X-A", "text"]):
        assert is_header_condition(good) is None
    for bad in ([], ["a", "b", "c"], ["a", None], [""], "a", None):
        assert is_header_condition(bad)


def test_mailbox_names() -> None:
    """A Mailbox name has at least one character and no control characters."""
    for good in ("a", "Ünï/code ☃", " "):
        assert is_mailbox_name(good) is None
    for bad in ("", "a\n", "\0", "\x85", None, 1):
        assert is_mailbox_name(bad)


@pytest.mark.parametrize(
    "part",
    [
        {"partId": "1"},
        {"blobId": "B1", "disposition": "attachment", "name": None, "header:X-A": "b"},
        {"type": "multipart/mixed", "subParts": [{"partId": "1", "type": "text/plain"}]},
        {},
    ],
)
def test_body_parts(part: Any) -> None:
    """A body part may have any of its properties, header fields and parts of its own."""
    assert is_body_part(part) is None


@pytest.mark.parametrize("part", [None, [], {"partID": "1"}, {"size": -1}, {"subParts": [{"x": 1}]}, {"type": None}])
def test_bad_body_parts(part: Any) -> None:
    """A property that is unknown or of the wrong type is found at every depth."""
    assert is_body_part(part)
