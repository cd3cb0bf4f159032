"""Calls of every method that would succeed, and what a hostile client makes of them. Pure, from a seeded Random.

A twist leaves most of a call as it was: what is wrong everywhere is refused at the door and tries nothing behind it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

DEEP = 100  # below the 128 levels that the reader lets through


def nested(levels: int, leaf: Any, *, key: str | None = None) -> Any:
    for _ in range(levels):
        leaf = [leaf] if key is None else {key: leaf}
    return leaf


# What is no type at all, what is the right type and out of range, and what means something to IMAP, SMTP, Sieve, SQL,
# MIME, a header, a path or a JSON pointer.
VALUES: Sequence[Any] = (
    *(None, True, False, 0, 1, -1, 255, 256, 2**31, 2**32, 2**53 - 1, 2**53, -(2**53), 2**63, 2**64, 10**300),
    *(0.5, -0.0, 1e308, 1e-320, [], {}, [None], [[]], {"": None}, {"a": None}, [True, 1, "a", {}]),
    *(
        "",
        " ",
        "\t",
        "\x00",
        "\x7f",
        "\r\n",
        "a\r\nX: y",
        "\r\nA1 LOGOUT\r\n",
        "x\r\n.\r\nQUIT\r\n",
        "\ufeff",
        "\ufffd",
    ),
    *("é", "e\u0301", "\u202e", "\U0001f600", "ſ", "İ", "ß", "\u2028", "\u0085", "a" * 255, "a" * 256, "é" * 200),
    *(
        "a" * 70_000,
        "{5}",
        "{5+}\r\nabcde",
        '"',
        "\\",
        '\\"',
        "*",
        "%",
        "(",
        ")",
        "]",
        "&",
        "&AOk-",
        "&-",
        "=?utf-8?q?=0D?=",
    ),
    *(
        "'; DROP TABLE emails; --",
        "%s%n",
        "../../etc/passwd",
        "file:///etc/passwd",
        "/",
        "//",
        "~",
        "~0~1~2",
        "#",
        "##",
    ),
    *(
        "#no-such-creation",
        "#c",
        "INBOX",
        "inbox",
        "Drafts",
        "NIL",
        "\\Seen",
        "$seen",
        "$SEEN",
        "\\Recent",
        "me",
        "anyone",
    ),
    *(
        "keywords/$seen",
        "mailboxIds/x",
        "create",
        "a@b",
        "<a@b>",
        "@",
        "a@" + "b." * 120 + "c",
        '"a b"@c',
        "a@[127.0.0.1]",
    ),
    *("header:Subject", "header:subject:asRaw:all", "header:", "header:From:asDate", "header:X:asText:all:all", "all"),
    *("1970-01-01T00:00:00Z", "0000-00-00T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:60Z", "today"),
    *("2026-02-30T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01", "i;ascii-casemap", "i;no-such", "text/plain"),
    *("text/plain; charset=utf-16", "multipart/mixed", "message/rfc822", "text/", "data:asBase64", "http://127.0.0.1/"),
    *(
        "https://[::1]/",
        "https://push.invalid/x",
        "https://a:b@push.invalid",
        'require ["vacation"]; keep;',
        "if true {",
    ),
    nested(DEEP, 1),
    nested(DEEP, "x", key="a"),
    nested(DEEP, {}, key="conditions"),
    [f"x{n}" for n in range(600)],
    {f"x{n}": True for n in range(600)},
    {f"x{n}": None for n in range(600)},
    {"operator": "NOT", "conditions": []},
    {"operator": "XOR", "conditions": [{}]},
    {"operator": "AND", "conditions": [{"operator": "OR", "conditions": [{"text": "a"}, {"body": "b"}]}] * 40},
    {"resultOf": "0", "name": "Core/echo", "path": "/a"},
    {"email": "a@b", "name": "x"},
    [{"email": "a@b\r\nRCPT TO:<c@d>", "name": "x\r\nBcc: e@f"}],
    [{"property": "receivedAt", "isAscending": "no"}],
    [{"property": "hasKeyword", "keyword": ""}],
)
PATHS: Sequence[str] = (
    *(
        "",
        "/",
        "id",
        "a/b/c",
        "keywords",
        "keywords/",
        "keywords/$seen",
        "keywords/$seen/x",
        "keywords/a b",
        "keywords/~2",
    ),
    *("mailboxIds", "mailboxIds/", "mailboxIds/x", "mailboxIds/#x", "mailboxIds/" + "a" * 300, "/keywords/$seen", "~"),
    *(
        "shareWith/x",
        "shareWith/x/mayReadItems",
        "name/x",
        "subject/0",
        "from/0/email",
        "bodyValues/1/value",
        "types/0",
    ),
    *(
        "envelope/mailFrom",
        "undoStatus",
        "header:X-A",
        "header:Subject:asText",
        "attachments/0/blobId",
        "threadId",
        "a" * 5000,
    ),
)


@dataclass(slots=True)
class Known:
    """What a client of the account has seen."""

    account: str
    other: str  # another account, to copy from
    mailboxes: Sequence[str] = ("x",)
    emails: Sequence[str] = ("x",)
    threads: Sequence[str] = ("x",)
    blobs: Sequence[str] = ("x",)
    theirs: Sequence[str] = ("x",)  # emails of the other account
    records: Mapping[str, Sequence[str]] = field(default_factory=dict)  # ids by type
    states: Mapping[str, str] = field(default_factory=dict)
    address: str = "a@b"

    def ids(self) -> list[str]:
        each = [*self.mailboxes, *self.emails[:20], *self.threads[:20], *self.blobs[:20], *self.theirs]
        return each + [id for ids in self.records.values() for id in ids[:10]] + [self.account, self.other]


def good_calls(known: Known, draw: Random) -> dict[str, list[dict[str, Any]]]:
    """Return arguments that each method takes, by its name."""
    mailbox, inbox = draw.choice(known.mailboxes), known.mailboxes[0]
    email, thread, blob = draw.choice(known.emails), draw.choice(known.threads), draw.choice(known.blobs)
    serial = f"n{draw.randrange(10**9)}"

    def record(name: str) -> str:
        return draw.choice(known.records.get(name) or ["x"])

    account = {"accountId": known.account}
    from_other = {**account, "fromAccountId": known.other}
    people = [{"name": "Ann", "email": known.address}]
    letter = {
        "mailboxIds": {inbox: True},
        "keywords": {"$draft": True, "$seen": True},
        "from": people,
        "to": people,
        "subject": serial,
        "sentAt": "2026-01-01T00:00:00+01:00",
        "header:X-A:asText": "b",
        "messageId": [f"{serial}@x"],
    }
    part = {"partId": "1", "type": "text/plain", "charset": "utf-8", "disposition": "inline", "language": ["en"]}
    whole = {
        "type": "multipart/mixed",
        "subParts": [part, {"blobId": blob, "type": "image/png", "name": "a", "cid": "c"}],
    }
    values = {"1": {"value": "Hello", "isEncodingProblem": False, "isTruncated": False}}
    condition = {
        "inMailbox": mailbox,
        "inMailboxOtherThan": [mailbox],
        "before": "2027-01-01T00:00:00Z",
        "after": "2000-01-01T00:00:00Z",
        "minSize": 0,
        "maxSize": 10**9,
        "hasKeyword": "$seen",
        "notKeyword": "$flagged",
        "allInThreadHaveKeyword": "$seen",
        "someInThreadHaveKeyword": "$seen",
        "noneInThreadHaveKeyword": "$flagged",
        "hasAttachment": False,
        "text": "hello",
        "from": "ann",
        "to": "ann",
        "cc": "ann",
        "bcc": "ann",
        "subject": "n",
        "body": "hello",
        "header": ["X-A", "b"],
    }
    narrow = dict(draw.sample(sorted(condition.items()), 2))
    tree = {"operator": draw.choice(["AND", "OR", "NOT"]), "conditions": [narrow, {"text": "a"}]}
    email_filter = draw.choice([narrow, tree, None])
    email_sort = [
        {"property": "hasKeyword", "keyword": "$flagged", "isAscending": False},
        {"property": draw.choice(["receivedAt", "size", "from", "to", "subject", "sentAt"]), "isAscending": False},
    ]
    page = {"position": 0, "anchor": None, "anchorOffset": 0, "limit": 10, "calculateTotal": True}
    mailbox_filter = {"parentId": None, "name": "a", "role": None, "hasAnyRole": True, "isSubscribed": True}
    mailbox_filter = dict(draw.sample(sorted(mailbox_filter.items()), 1))
    mailbox_sort = [{"property": "sortOrder", "isAscending": True, "collation": "i;ascii-casemap"}]
    disposition = {"actionMode": "manual-action", "sendingMode": "mdn-sent-manually", "type": "displayed"}
    receipt = {
        "forEmailId": email,
        "subject": "read",
        "textBody": "read it",
        "includeOriginalMessage": True,
        "reportingUA": "x; y",
        "disposition": disposition,
        "finalRecipient": f"rfc822; {known.address}",
        "extensionFields": {"X-A": "b"},
    }
    envelope = {
        "mailFrom": {"email": known.address, "parameters": None},
        "rcptTo": [{"email": "someone@example.org", "parameters": {"NOTIFY": "NEVER"}}],
    }
    vacation = {
        "isEnabled": True,
        "fromDate": "2026-01-01T00:00:00Z",
        "toDate": None,
        "subject": "away",
        "textBody": "away",
        "htmlBody": None,
    }
    push = {"deviceClientId": serial, "url": "https://push.invalid/" + serial, "types": ["Email"], "expires": None}
    calls: dict[str, list[dict[str, Any]]] = {
        "Core/echo": [{"a": 1}],
        "Mailbox/set": [
            {**account, "create": {"c": {"name": serial, "parentId": mailbox, "sortOrder": 3, "isSubscribed": True}}},
            {**account, "create": {"c": {"name": serial}, "d": {"name": "x", "parentId": "#c", "role": None}}},
            {**account, "update": {mailbox: {"name": serial, "parentId": None, "isSubscribed": False}}},
            {**account, "update": {mailbox: {"shareWith": {record("Principal"): {"mayReadItems": True}}}}},
            {**account, "destroy": [record("spare")], "onDestroyRemoveEmails": True},
        ],
        "Mailbox/query": [{**account, **page, "filter": mailbox_filter, "sort": mailbox_sort, "sortAsTree": True}],
        "Email/get": [
            {
                **account,
                "ids": [email],
                "properties": ["bodyValues", "header:From:asAddresses", "bodyStructure", "preview"],
                "bodyProperties": ["partId", "header:Content-Type:asRaw"],
                "fetchAllBodyValues": True,
                "fetchTextBodyValues": True,
                "fetchHTMLBodyValues": False,
                "maxBodyValueBytes": 10,
            },
        ],
        "Email/query": [{**account, **page, "filter": email_filter, "sort": email_sort, "collapseThreads": True}],
        "Email/set": [
            {**account, "create": {"c": {**letter, "textBody": [part], "bodyValues": values}}},
            {**account, "create": {"c": {**letter, "bodyStructure": whole, "bodyValues": values}}},
            {**account, "update": {email: {"keywords/$seen": True, f"mailboxIds/{mailbox}": True}}},
            {**account, "update": {email: {"keywords": {"$seen": True, "x": True}, "mailboxIds": {mailbox: True}}}},
            {**account, "destroy": [email], "ifInState": known.states.get("Email")},
        ],
        "Email/copy": [
            {
                **from_other,
                "create": {
                    "c": {"id": draw.choice(known.theirs), "mailboxIds": {inbox: True}, "keywords": {"a": True}}
                },
                "onSuccessDestroyOriginal": False,
                "ifInState": None,
                "destroyFromIfInState": None,
            },
        ],
        "Email/import": [
            {
                **account,
                "emails": {
                    "c": {
                        "blobId": blob,
                        "mailboxIds": {inbox: True},
                        "keywords": {"$seen": True},
                        "receivedAt": "2026-01-01T00:00:00Z",
                    },
                },
            },
        ],
        "Email/parse": [
            {**account, "blobIds": [blob], "properties": ["subject", "bodyValues"], "fetchAllBodyValues": True}
        ],
        "SearchSnippet/get": [{**account, "filter": {"text": "hello"}, "emailIds": [email]}],
        "Identity/set": [
            {
                **account,
                "create": {"c": {"email": known.address, "name": "Ann", "replyTo": people, "textSignature": "A"}},
            },
            {**account, "update": {record("Identity"): {"name": serial, "bcc": people, "htmlSignature": "<b>"}}},
            {**account, "destroy": [record("Identity")]},
        ],
        "EmailSubmission/query": [
            {
                **account,
                **page,
                "filter": {"undoStatus": "final", "emailIds": [email], "before": "2027-01-01T00:00:00Z"},
                "sort": [{"property": "sentAt"}],
            },
        ],
        "EmailSubmission/set": [
            {
                **account,
                "create": {"c": {"identityId": record("Identity"), "emailId": email, "envelope": envelope}},
                "onSuccessUpdateEmail": {"#c": {"keywords/$draft": None}},
                "onSuccessDestroyEmail": [],
            },
            {**account, "update": {record("EmailSubmission"): {"undoStatus": "canceled"}}},
            {**account, "destroy": [record("EmailSubmission")]},
        ],
        "MDN/send": [
            {
                **account,
                "identityId": record("Identity"),
                "send": {"c": receipt},
                "onSuccessUpdateEmail": {"#c": {"keywords/$mdnsent": True}},
            },
        ],
        "MDN/parse": [{**account, "blobIds": [blob]}],
        "Blob/copy": [{**from_other, "blobIds": [blob]}],
        "Blob/upload": [
            {
                **account,
                "create": {
                    "c": {"data": [{"data:asText": "x"}, {"blobId": blob, "offset": 0, "length": 3}], "type": "a/b"}
                },
            },
        ],
        "Blob/get": [
            {**account, "ids": [blob], "properties": ["data:asBase64", "digest:sha-256"], "offset": 1, "length": 9}
        ],
        "Blob/lookup": [{**account, "ids": [blob], "typeNames": ["Mailbox", "Email", "Thread"]}],
        "SieveScript/query": [
            {**account, **page, "filter": {"name": "a", "isActive": False}, "sort": [{"property": "name"}]},
        ],
        "SieveScript/set": [
            {
                **account,
                "create": {"c": {"name": serial, "blobId": draw.choice(known.records.get("script") or ["x"])}},
                "onSuccessActivateScript": "#c",
            },
            {**account, "update": {record("SieveScript"): {"name": serial}}, "onSuccessDeactivateScript": True},
            {**account, "destroy": [record("SieveScript")]},
        ],
        "SieveScript/validate": [{**account, "blobId": draw.choice(known.records.get("script") or ["x"])}],
        "VacationResponse/get": [{**account, "ids": ["singleton"], "properties": ["isEnabled"]}],
        "VacationResponse/set": [{**account, "update": {"singleton": vacation}}],
        "Principal/query": [{**account, **page, "filter": {"text": "fresh", "type": "individual"}, "sort": None}],
        "Principal/set": [
            {**account, "update": {record("Principal"): {"description": "x", "timeZone": "Europe/Vienna"}}}
        ],
        "ShareNotification/query": [
            {**account, **page, "filter": {"after": "2026-01-01T00:00:00Z"}, "sort": [{"property": "created"}]},
        ],
        "ShareNotification/set": [{**account, "destroy": [record("ShareNotification")]}],
        "Quota/query": [
            {**account, **page, "filter": {"scope": "account", "type": "Email"}, "sort": [{"property": "name"}]},
        ],
        "PushSubscription/get": [{"ids": None, "properties": ["expires", "types"]}],
        "PushSubscription/set": [
            {"create": {"c": push}},
            {"update": {record("PushSubscription"): {"verificationCode": "x", "expires": "2027-01-01T00:00:00Z"}}},
            {"destroy": [record("PushSubscription")]},
        ],
    }
    for name in (
        "Mailbox",
        "Thread",
        "Identity",
        "EmailSubmission",
        "SieveScript",
        "Principal",
        "ShareNotification",
        "Quota",
    ):
        ids = {"Mailbox": mailbox, "Thread": thread}.get(name) or record(name)
        calls[f"{name}/get"] = [{**account, "ids": [ids], "properties": None}]
    for name in (
        "Mailbox",
        "Email",
        "Thread",
        "Identity",
        "EmailSubmission",
        "Principal",
        "ShareNotification",
        "Quota",
    ):
        calls[f"{name}/changes"] = [{**account, "sinceState": known.states.get(name, "x"), "maxChanges": 5}]
    for name in ("Mailbox", "Email", "EmailSubmission", "Principal", "ShareNotification", "Quota"):
        (query,) = calls[f"{name}/query"]
        asked = {key: query[key] for key in ("accountId", "filter", "sort", "calculateTotal")}
        calls[f"{name}/queryChanges"] = [
            {**asked, "sinceQueryState": known.states.get(f"{name}/query", "x"), "maxChanges": 5, "upToId": email}
        ]
    return copy.deepcopy(calls)


def words_of(calls: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return every name of a member that the calls have."""
    found: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            found.update(value)
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(one)

    for each in calls.values():
        look(list(each))
    return sorted(found)


class Twister:
    """Makes hostile what was good."""

    def __init__(self, draw: Random, ids: Sequence[str], words: Sequence[str]) -> None:
        self._draw, self._ids, self._words = draw, ids, words

    def twist(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments with one to three places changed."""
        arguments = copy.deepcopy(arguments)
        for _ in range(self._draw.choice((1, 1, 1, 2, 3))):
            self._once(arguments)
        return arguments

    def value(self) -> Any:
        """Return something that may stand anywhere."""
        if self._draw.random() < 0.2:
            id = self._draw.choice(self._ids)
            return self._draw.choice((id, "#" + id, [id], [id, id], {id: True}, {id: {}}, {id: None}, {id: {id: True}}))
        return copy.deepcopy(self._draw.choice(VALUES))

    def _once(self, arguments: dict[str, Any]) -> None:
        inner = [holder for holder in self._holders(arguments) if holder is not arguments]
        holder = self._draw.choice(inner) if inner and self._draw.random() < 0.8 else arguments
        if isinstance(holder, list):
            where = self._draw.randrange(len(holder) + 1)
            if holder and self._draw.random() < 0.3:
                holder.append(copy.deepcopy(self._draw.choice(holder)))
            else:
                holder[where : where + self._draw.randrange(2)] = [self.value()]
            return
        names = list(holder)
        name = self._draw.choice(names) if names else ""
        match self._draw.randrange(10):
            case 0 if names:
                del holder[name]
            case 1 if names:
                holder[self._name()] = holder.pop(name)
            case 2:
                holder[self._draw.choice(PATHS)] = self.value()
            case 3:
                holder[self._name()] = self.value()
            case 4 if names:
                holder[name] = self._draw.choice(([holder[name]], {"a": holder[name]}, str(holder[name])))
            case _:
                holder[name or self._name()] = self._like(holder.get(name))

    def _like(self, value: Any) -> Any:
        """Return something else, of the same type as often as not: what the first check lets through."""
        alike = [one for one in VALUES if type(one) is type(value)]
        return copy.deepcopy(self._draw.choice(alike)) if alike and self._draw.random() < 0.6 else self.value()

    def _name(self) -> str:
        strings = [value for value in VALUES if isinstance(value, str)]
        return self._draw.choice(
            (self._draw.choice(self._words), self._draw.choice(strings), self._draw.choice(self._ids))
        )

    def _holders(self, value: Any) -> list[Any]:
        """Return every array and object."""
        found = [value]
        for one in value.values() if isinstance(value, dict) else value:
            if isinstance(one, (dict, list)):
                found += self._holders(one)
        return found
