"""What clients in use send to read mail, each in its own words, against the running gateway.

Seen in the traffic or the code of aerc, meli, Bulwark, jmap-demo-webmail, jmapc and jmap-jam.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.clients.gateway import BLOB, CORE, MAIL, Client, Gateway
from tests.upstreams.upstream import expect_ok

pytestmark = pytest.mark.upstream

NEWEST = [{"property": "receivedAt", "isAscending": False}]
EMPTY_GET_S = 0.1  # ten times what it takes on a slow machine; without it one mailbox after the other would be read


def message(subject: str, text: str = "Hello.", **fields: str) -> str:
    head = {"From": "Ann <ann@example.com>", "To": "me@mail.test", "Subject": subject, **fields}
    return "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in head.items()) + f"\n{text}\n"


@pytest.fixture(scope="module")
def reader(gateway: Gateway) -> Client:
    """Somebody with five emails in the inbox, one of them flagged and one a reply, and one in the archive."""
    client = gateway.client()
    subjects = ["apples", "pears", "Re: apples", "plums", "apples and pears"]
    for at, subject in enumerate(subjects):
        fields = {"Message_ID": f"<{at}@example.com>"} | ({"References": "<0@example.com>"} if at == 2 else {})
        octets = message(subject, f"Text {at}.", **fields).replace("\n", "\r\n").encode()
        flags = "\\Flagged" if at == 1 else "\\Seen" if at == 2 else ""
        gateway.upstream.append(client.login, octets, flags=flags, at_s=1_700_000_000 + at)
    client.append(message("old"), mailbox="Archive")
    return client


def subjects(client: Client, **query: Any) -> list[str]:
    """Return the subjects of the Emails that Email/query finds, by a result reference as clients do."""
    response = client.request(
        ("Email/query", query, "a"),
        (
            "Email/get",
            {"#ids": {"resultOf": "a", "name": "Email/query", "path": "/ids"}, "properties": ["subject"]},
            "b",
        ),
    )
    (_, _, _), (name, got, _) = response["methodResponses"]
    assert name == "Email/get", response
    return [email["subject"] for email in got["list"]]


# ---------------------------------------------------------------- using


@pytest.mark.parametrize("using", [[MAIL], [CORE, MAIL], [CORE, MAIL, BLOB], [CORE]])
def test_too_few_capabilities_are_named(reader: Client, using: list[str]) -> None:
    """aerc never names core; a webmail names core and mail whatever it calls. Both are answered."""
    calls = [("Core/echo", {"x": 1}), ("Mailbox/get", {"ids": []}), ("Blob/get", {"ids": []})]
    answered = [name for name, _arguments, _id in reader.request(*calls, using=using)["methodResponses"]]
    assert answered == [name for name, _arguments in calls]


def test_every_capability_is_echoed(reader: Client) -> None:
    """A client that names all that the Session has is answered."""
    using = list(reader.session["capabilities"])
    ((name, _arguments, _id),) = reader.request(("Mailbox/get", {"ids": []}), using=using)["methodResponses"]
    assert name == "Mailbox/get"


def test_no_capability_allows_nothing(reader: Client) -> None:
    ((name, error, _id),) = reader.request(("Mailbox/get", {"ids": []}), using=[])["methodResponses"]
    assert (name, error["type"]) == ("error", "unknownMethod")


def test_a_property_of_an_extension_needs_its_uri(reader: Client) -> None:
    """However few capabilities a client names, it is not shown, and cannot set, what it does not know."""
    (mailbox, *_) = reader.call("Mailbox/get", ids=None)["list"]
    assert "shareWith" not in mailbox
    assert "mayShare" not in mailbox["myRights"]
    ((name, error, _id),) = reader.request(("Mailbox/get", {"ids": None, "properties": ["shareWith"]}))[
        "methodResponses"
    ]
    assert (name, error["type"]) == ("error", "invalidArguments")
    refused = reader.call("Mailbox/set", update={mailbox["id"]: {"shareWith": None}})["notUpdated"][mailbox["id"]]
    assert (refused["type"], refused["properties"]) == ("invalidProperties", ["shareWith"])


# ---------------------------------------------------------------- limits


def test_what_is_advertised_is_enforced(reader: Client) -> None:
    """As many as the Session says, and one more is an error that says so; and they are enough for a webmail."""
    core = reader.session["capabilities"][CORE]
    assert core["maxConcurrentRequests"] >= 8
    assert core["maxObjectsInGet"] >= 500
    for method, argument, limit in (
        ("Email/get", "ids", core["maxObjectsInGet"]),
        ("Mailbox/get", "ids", core["maxObjectsInGet"]),
        ("Email/set", "destroy", core["maxObjectsInSet"]),
    ):
        for count, expected in ((limit, method), (limit + 1, "error")):
            ids = [f"none{at}" for at in range(count)]
            ((name, answer, _id),) = reader.request((method, {argument: ids}))["methodResponses"]
            assert name == expected
            assert name != "error" or answer["type"] == "requestTooLarge"
    limit = core["maxCallsInRequest"]
    assert len(reader.request(*[("Core/echo", {})] * limit)["methodResponses"]) == limit
    calls = [["Core/echo", {}, "0"]] * (limit + 1)
    octets = json.dumps({"using": [CORE], "methodCalls": calls}).encode()
    answer = reader.gateway.http(reader.session["apiUrl"], login=reader.login, data=octets)
    problem = answer.json()
    assert (answer.status, problem["type"]) == (400, "urn:ietf:params:jmap:error:limit")
    assert problem["limit"] == "maxCallsInRequest"


# ---------------------------------------------------------------- /get


def test_get_always_tells_the_id(reader: Client) -> None:
    ids = reader.call("Email/query", limit=1)["ids"]
    (email,) = reader.call("Email/get", ids=ids, properties=["subject"])["list"]
    assert email.keys() == {"id", "subject"}
    (mailbox, *_) = reader.call("Mailbox/get", ids=None, properties=["name"])["list"]
    assert mailbox.keys() == {"id", "name"}


def test_polled_every_few_seconds(reader: Client) -> None:
    """Email/get of nothing, for the state, costs next to nothing; Core/echo says the connection is there."""
    reader.call("Email/query")  # from now on all mailboxes are indexed, and the state stays
    state = reader.call("Email/get", ids=[])["state"]
    started = time.perf_counter()
    for _ in range(10):
        assert reader.call("Email/get", ids=[])["state"] == state
    assert time.perf_counter() - started < 10 * EMPTY_GET_S
    assert reader.call("Core/echo", hello=True)["hello"] is True


def test_five_hundred_whole_emails(client: Client) -> None:
    """Email/get on 500 ids without `properties`, headers and structure of all of them, long values: one call each."""
    count = 500
    client.gateway.upstream.append(
        client.login, *[message(f"s{at}").replace("\n", "\r\n").encode() for at in range(count)]
    )
    ids = client.call("Email/query", limit=count)["ids"]
    assert len(ids) == count
    emails = client.call("Email/get", ids=ids)["list"]
    assert len(emails) == count
    assert {"preview", "textBody", "bodyValues", "threadId", "mailboxIds"} <= emails[0].keys()
    emails = client.call("Email/get", ids=ids, properties=["headers", "bodyStructure"])["list"]
    assert all(email["headers"] and email["bodyStructure"]["type"] == "text/plain" for email in emails)
    asked = {"fetchTextBodyValues": True, "maxBodyValueBytes": 256_000, "properties": ["bodyValues", "textBody"]}
    emails = client.call("Email/get", ids=ids, **asked)["list"]
    assert {value["value"] for email in emails for value in email["bodyValues"].values()} == {"Hello.\n"}


# ---------------------------------------------------------------- Email/query


def test_counting_only(reader: Client) -> None:
    """`limit: 0` with `calculateTotal` is how unread counts are asked for."""
    inbox = reader.mailbox("inbox")
    found = reader.call("Email/query", filter={"inMailbox": inbox, "notKeyword": "$seen"}, limit=0, calculateTotal=True)
    assert (found["ids"], found["total"]) == ([], 4)


def test_fourteen_queries_in_one_request(reader: Client) -> None:
    """A webmail asks for each mailbox and each of its own views at once."""
    mailboxes = [mailbox["id"] for mailbox in reader.call("Mailbox/get", ids=None)["list"]]
    filters: list[Any] = [{"inMailbox": id} for id in mailboxes]
    filters += [{"hasKeyword": "$flagged"}, {"notKeyword": "$seen"}, None, {}, {"text": "apples"}, {"from": "ann"}]
    filters += [{"hasAttachment": True}, {"inMailboxOtherThan": mailboxes[:1]}]
    calls = [
        ("Email/query", {"filter": one, "sort": NEWEST, "limit": 50, "calculateTotal": True}, str(at))
        for at, one in enumerate(filters)
    ]
    assert len(calls) == 14
    responses = reader.request(*calls)["methodResponses"]
    assert [(name, id) for name, _answer, id in responses] == [("Email/query", str(at)) for at in range(14)]


ALL = ["apples and pears", "plums", "Re: apples", "pears", "apples", "old"]
FRUIT = {"operator": "OR", "conditions": [{"subject": "pears"}, {"subject": "plums"}]}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"sort": [{**NEWEST[0], "collation": None}], "filter": {"notKeyword": "$seen", "subject": "a"}}, None),
        ({"position": 1000}, []),
        ({"filter": None, "sort": None}, ALL),
        ({}, ALL),
        ({"filter": {}}, ALL),
        ({"filter": {"operator": "AND", "conditions": []}}, ALL),
        ({"filter": FRUIT, "sort": NEWEST}, ["apples and pears", "plums", "pears"]),
        (
            {
                "filter": {
                    "operator": "AND",
                    "conditions": [FRUIT, {"operator": "NOT", "conditions": [{"subject": "apples"}]}],
                }
            },
            ["plums", "pears"],
        ),
        (
            {"sort": [{"property": "hasKeyword", "keyword": "$flagged", "isAscending": False}, *NEWEST], "limit": 2},
            ["pears", None],
        ),
        ({"sort": NEWEST, "position": 1, "anchor": None, "limit": 2}, None),
        ({"filter": {"text": "nothing has this"}}, []),
    ],
)
def test_queries(reader: Client, query: dict[str, Any], expected: list[str | None] | None) -> None:
    """None of these is refused: a rejected query blanks the whole list through the result reference."""
    found = subjects(reader, **query)
    if expected is not None:
        assert len(found) == len(expected)
        if query.get("sort"):
            assert all(one is None or one == other for one, other in zip(expected, found, strict=True))
        else:
            assert sorted(found) == sorted(map(str, expected))


def test_a_mailbox_and_a_subject_in_one_condition(reader: Client) -> None:
    inbox = reader.mailbox("inbox")
    found = subjects(reader, filter={"inMailbox": inbox, "subject": "apples"}, sort=NEWEST)
    assert found == ["apples and pears", "Re: apples", "apples"]


def test_threads_collapsed(reader: Client) -> None:
    inbox = reader.mailbox("inbox")
    found = subjects(reader, filter={"inMailbox": inbox}, sort=NEWEST, collapseThreads=True)
    assert found == ["apples and pears", "plums", "Re: apples", "pears"]


def test_query_changes_with_nulls(reader: Client) -> None:
    """`upToId: null` and `maxChanges: null` are what they default to."""
    state = reader.call("Email/query", sort=NEWEST)["queryState"]
    changes = reader.call(
        "Email/queryChanges", sort=NEWEST, filter=None, sinceQueryState=state, upToId=None, maxChanges=None
    )
    assert (changes["removed"], changes["added"], changes["newQueryState"]) == ([], [], state)


# ---------------------------------------------------------------- mailboxes


def test_mailboxes_by_role(reader: Client) -> None:
    """drafts, sent, trash and junk are found, one each, and looking for them makes none."""
    before = reader.call("Mailbox/get", ids=None)["list"]
    for role in ("inbox", "drafts", "sent", "trash", "junk", "archive"):
        assert len(reader.call("Mailbox/query", filter={"role": role})["ids"]) == 1
    assert reader.call("Mailbox/query", filter={"role": "important"})["ids"] == []
    assert len(reader.call("Mailbox/query", filter={"hasAnyRole": True})["ids"]) == 6
    assert reader.call("Mailbox/get", ids=None)["list"] == before


def test_no_mailbox_is_made(client: Client) -> None:
    """Signing in and reading leaves the account as it was."""
    client.call("Mailbox/get", ids=None)
    client.call("Email/query")
    with client.gateway.upstream.imap(client.login) as connection:
        _, names = connection.list()
    assert sorted(str(name).rpartition(" ")[2].strip("'\"") for name in names) == [
        "Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash",
    ]  # fmt: skip


# ---------------------------------------------------------------- /changes


@pytest.mark.parametrize("type", ["Email", "Mailbox", "Thread"])
def test_a_state_too_old(reader: Client, type: str) -> None:
    """It is an error and never an empty success."""
    for state in ("0", "nonsense", "0-0", ""):
        ((name, error, _id),) = reader.request((f"{type}/changes", {"sinceState": state}))["methodResponses"]
        assert (name, error["type"]) == ("error", "cannotCalculateChanges")


@pytest.mark.parametrize("type", ["Email", "Mailbox", "Thread"])
def test_states_agree(client: Client, type: str) -> None:
    """`oldState` is `sinceState` as sent; `newState` is the state of the /get that follows."""
    state = client.call(f"{type}/get", ids=[])["state"]
    client.append(message("new"))
    changes, got = client.request((f"{type}/changes", {"sinceState": state}, "a"), (f"{type}/get", {"ids": []}, "b"))[
        "methodResponses"
    ]
    assert changes[1]["oldState"] == state
    assert changes[1]["newState"] == got[1]["state"] != state
    assert changes[1]["created"] or changes[1]["updated"]


def test_a_reference_to_updated_properties(client: Client) -> None:
    """Mailbox/get takes `updatedProperties` by reference, null or not."""
    state = client.call("Mailbox/get", ids=[])["state"]
    calls: list[Any] = [
        ("Mailbox/changes", {"sinceState": state}, "a"),
        (
            "Mailbox/get",
            {
                "#ids": {"resultOf": "a", "name": "Mailbox/changes", "path": "/updated"},
                "#properties": {"resultOf": "a", "name": "Mailbox/changes", "path": "/updatedProperties"},
            },
            "b",
        ),
    ]
    (_, changes, _), (name, got, _) = client.request(*calls)["methodResponses"]
    assert (name, changes["updatedProperties"], got["list"]) == ("Mailbox/get", None, [])
    client.append(message("new"))
    (_, changes, _), (name, got, _) = client.request(*calls)["methodResponses"]
    assert set(changes["updatedProperties"]) == {"totalEmails", "unreadEmails", "totalThreads", "unreadThreads"}
    (mailbox,) = got["list"]
    assert mailbox.keys() == {"id", *changes["updatedProperties"]}


# ---------------------------------------------------------------- what others change


def test_ids_outlive_a_move_and_a_rename(client: Client) -> None:
    """Another client moves the mail and renames the mailbox: every id stays, and nothing is created or destroyed."""
    client.append(message("moving"))
    (email,) = client.call("Email/get", ids=client.call("Email/query")["ids"])["list"]
    mailboxes = {one["name"]: one["id"] for one in client.call("Mailbox/get", ids=None)["list"]}
    state = client.call("Email/get", ids=[])["state"]
    with client.gateway.upstream.selected(client.login) as connection:
        expect_ok(connection.uid("MOVE", "1", "Archive"))
        expect_ok(connection.rename("Archive", "Kept"))
    changes = client.call("Email/changes", sinceState=state)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], [email["id"]], [])
    (moved,) = client.call("Email/get", ids=[email["id"]])["list"]
    assert (moved["threadId"], moved["blobId"]) == (email["threadId"], email["blobId"])
    (mailbox,) = client.call("Mailbox/get", ids=[mailboxes["Archive"]])["list"]
    assert mailbox["name"] == "Kept"
    assert moved["mailboxIds"] == {mailboxes["Archive"]: True}


# ---------------------------------------------------------------- blobs


def test_download_with_an_empty_name(reader: Client) -> None:
    """It routes, and Content-Type is what the client asked for."""
    (id,) = reader.call("Email/query", limit=1)["ids"]
    (email,) = reader.call("Email/get", ids=[id], properties=["blobId"])["list"]
    answer = reader.download(email["blobId"], name="", type="message/rfc822")
    assert (answer.status, answer.headers["content-type"]) == (200, "message/rfc822")
    assert answer.octets.startswith(b"From: Ann")


def test_upload_and_fetch(client: Client) -> None:
    """What is uploaded comes back by the template and by Blob/get; another login does not see it."""
    uploaded = client.upload(b"octets \xff", "image/png")
    assert (uploaded["accountId"], uploaded["type"], uploaded["size"]) == (client.account_id, "image/png", 8)
    assert client.download(uploaded["blobId"], type="image/png").octets == b"octets \xff"
    (blob,) = client.call("Blob/get", ids=[uploaded["blobId"]], properties=["data:asBase64"])["list"]
    assert blob["data:asBase64"] == "b2N0ZXRzIP8="
    assert client.gateway.client().download(uploaded["blobId"]).status == 404
    other = client.gateway.client().account_id
    url = client.session["uploadUrl"].replace("{accountId}", other)
    answer = client.gateway.http(url, login=client.login, data=b"x", type="text/plain")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
