"""The Session object (RFC 8620 section 2, RFC 8621 section 1.3)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap.capability import (
    CORE,
    MAIL,
    MAX_SIZE_MAILBOX_NAME,
    SUBMISSION,
    WEBSOCKET,
    core_capability,
    mail_account_capability,
)
from gateway.jmap.limits import Limits
from gateway.jmap.objects.email import EMAIL
from gateway.jmap.session import AccountInfo, Urls, session_object, session_state

URLS = {
    "api": "https://jmap.example.com/api",
    "download": "https://jmap.example.com/download/{accountId}/{blobId}/{name}?accept={type}",
    "upload": "https://jmap.example.com/upload/{accountId}",
    "event_source": "https://jmap.example.com/eventsource?types={types}&closeafter={closeafter}&ping={ping}",
}
MAIL_OBJECT = mail_account_capability(email_sort_options=EMAIL.sort_properties)
OWN = AccountInfo("A1", "john@example.com", capabilities={MAIL: MAIL_OBJECT})
SHARED = AccountInfo(
    "A0",
    "jane@example.com",
    is_personal=False,
    is_read_only=True,
    capabilities={MAIL: MAIL_OBJECT, SUBMISSION: {"maxDelayedSend": 0, "submissionExtensions": {}}},
)


def session(*accounts: AccountInfo, limits: Limits | None = None, **settings: Any) -> dict[str, Any]:
    return session_object("john@example.com", accounts or (OWN,), limits or Limits(), Urls(**URLS), **settings)


def test_every_property() -> None:
    """Every property of section 2 is there."""
    shown = session(SHARED, OWN, extra_capabilities={WEBSOCKET: {"url": "wss://jmap.example.com/ws"}})
    assert shown == {
        "capabilities": {
            CORE: core_capability(Limits()),
            MAIL: {},
            SUBMISSION: {},
            WEBSOCKET: {"url": "wss://jmap.example.com/ws"},
        },
        "accounts": {
            "A0": {
                "name": "jane@example.com",
                "isPersonal": False,
                "isReadOnly": True,
                "accountCapabilities": {
                    MAIL: MAIL_OBJECT,
                    SUBMISSION: {"maxDelayedSend": 0, "submissionExtensions": {}},
                },
            },
            "A1": {
                "name": "john@example.com",
                "isPersonal": True,
                "isReadOnly": False,
                "accountCapabilities": {MAIL: MAIL_OBJECT},
            },
        },
        "primaryAccounts": {MAIL: "A1"},
        "username": "john@example.com",
        "apiUrl": URLS["api"],
        "downloadUrl": URLS["download"],
        "uploadUrl": URLS["upload"],
        "eventSourceUrl": URLS["event_source"],
        "state": shown["state"],
    }
    assert shown["state"]
    assert session_state(shown) == shown["state"]


def test_core_is_nobodys_primary() -> None:
    """The core capability has no primary account, though accounts may list it, and keeps its own object."""
    shown = session(AccountInfo("A1", "x", capabilities={CORE: {}, MAIL: MAIL_OBJECT}))
    assert shown["primaryAccounts"] == {MAIL: "A1"}
    assert shown["capabilities"][CORE] == core_capability(Limits())


def test_no_accounts() -> None:
    """A login without accounts has a Session."""
    shown = session_object("x", [], Limits(), Urls(**URLS))
    assert (shown["accounts"], shown["primaryAccounts"], list(shown["capabilities"])) == ({}, {}, [CORE])


def test_state_is_of_the_content() -> None:
    """The state is the same for the same content and another for each change of it."""
    shown = [
        session(),
        session(OWN, SHARED),
        session(AccountInfo("A1", "renamed", capabilities={MAIL: MAIL_OBJECT})),
        session(limits=Limits(max_calls_in_request=5)),
        session(extra_capabilities={WEBSOCKET: {}}),
        session_object("jane@example.com", [OWN], Limits(), Urls(**URLS)),
        session_object("john@example.com", [OWN], Limits(), Urls(**{**URLS, "api": "https://other.example.com"})),
    ]
    assert len({one["state"] for one in shown}) == len(shown)
    assert session()["state"] == session()["state"]


def test_ticket() -> None:
    """A ticket is part of eventSourceUrl and not of the state: it is new with every Session."""
    shown = session(event_source_ticket="a b/{c}&")
    assert shown["eventSourceUrl"] == URLS["event_source"] + "&ticket=a%20b%2F%7Bc%7D%26"
    assert shown["state"] == session()["state"]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("api", "/api"),
        ("api", "https://h/{accountId}"),
        ("api", "ftp://h/"),
        ("download", "https://h/{accountId}/{blobId}/{name}"),
        ("download", "https://h/{accountId}/{blobId}/{name}?accept={type}&x={x}"),
        ("download", "https://h/{accountId}/{accountId}/{blobId}/{name}?accept={type}"),
        ("upload", "https://h/"),
        ("upload", "https://h/{accountId}/{"),
        ("upload", "https://h/{+accountId}"),
        ("event_source", "https://h/?types={types}&closeafter={closeAfter}&ping={ping}"),
        ("event_source", "https://h/?types={types}&closeafter={closeafter}"),
    ],
)
def test_templates(name: str, url: str) -> None:
    """A relative URL, a missing, unknown or repeated variable and a stray brace are found at the start."""
    with pytest.raises(ValueError, match="Url "):
        Urls(**{**URLS, name: url})


def test_core_capability() -> None:
    """The core object has every field of section 2, at or above the suggested minimum, under the limits' numbers."""
    core = core_capability(Limits())
    minimum = {
        "maxSizeUpload": 50_000_000,
        "maxConcurrentUpload": 4,
        "maxSizeRequest": 10_000_000,
        "maxConcurrentRequests": 4,
        "maxCallsInRequest": 16,
        "maxObjectsInGet": 500,
        "maxObjectsInSet": 500,
    }
    assert core.keys() == {*minimum, "collationAlgorithms"}
    assert all(core[name] >= least for name, least in minimum.items())
    assert core["collationAlgorithms"] == ["i;ascii-casemap", "i;octet", "i;unicode-casemap"]


def test_mail_capability() -> None:
    """The mail object has every field of RFC 8621 section 1.3.1."""
    assert {
        "maxMailboxesPerEmail": None,
        "maxMailboxDepth": None,
        "maxSizeMailboxName": MAX_SIZE_MAILBOX_NAME,
        "maxSizeAttachmentsPerEmail": 36_000_000,
        "emailQuerySortOptions": sorted(EMAIL.sort_properties),
        "mayCreateTopLevelMailbox": True,
    } == MAIL_OBJECT
    with pytest.raises(ValueError, match="100"):
        mail_account_capability(email_sort_options=[], max_size_mailbox_name=99)
