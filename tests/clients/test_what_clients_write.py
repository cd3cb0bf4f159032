"""What clients in use send to change mail, each in its own words, against the running gateway.

Seen in the traffic or the code of aerc, meli, Bulwark, jmap-demo-webmail, jmapc and jmap-jam.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.gateway import Client, Gateway

pytestmark = pytest.mark.upstream

RAW = b"From: Ann <ann@example.com>\r\nMessage-ID: <kept@example.com>\r\nSubject: kept\r\n\r\nKept.\r\n"


@pytest.fixture
def writer(gateway: Gateway) -> Client:
    """Somebody with one unread email in the inbox."""
    client = gateway.client()
    client.append("From: Ann <ann@example.com>\nSubject: hello\n\nHello.\n")
    only(client)  # the list is shown before anything is changed; indexing it for the first time moves the state on
    return client


def only(client: Client) -> Any:
    """Return the one Email of the account."""
    (email,) = client.call("Email/get", ids=client.call("Email/query")["ids"])["list"]
    return email


def draft(client: Client, **properties: Any) -> dict[str, Any]:
    return {
        "mailboxIds": {client.mailbox("drafts"): True},
        "keywords": {"$draft": True},
        "from": [{"name": None, "email": "me@mail.test"}],
        "subject": "draft",
        "textBody": [{"partId": "1"}],
        "bodyValues": {"1": {"value": "text"}},
        **properties,
    }


def test_what_is_empty_is_null(writer: Client) -> None:
    """`{}` was taken for a failure, and the draft saved twice."""
    made = writer.call("Email/set", create={"d": draft(writer)})
    assert made.keys() >= {"created", "updated", "destroyed", "notCreated", "notUpdated", "notDestroyed"}
    assert {name for name, value in made.items() if value is None} == {
        "updated", "destroyed", "notCreated", "notUpdated", "notDestroyed",
    }  # fmt: skip
    made = writer.call("Mailbox/set", create={"m": {"name": "new"}})
    assert (made["notCreated"], made["updated"], made["destroyed"]) == (None, None, None)
    failed = writer.call("Email/set", create={}, update={"nothing": {"keywords/$seen": True}}, destroy=[])
    assert (failed["created"], failed["updated"], failed["destroyed"]) == (None, None, None)
    assert failed["notUpdated"]["nothing"]["type"] == "notFound"


def test_a_colour_is_no_reference(writer: Client) -> None:
    """`#` and a creation id mean a record only where an Id is expected."""
    value = "#a and #3b82f6\n"
    create = {"a": {"name": "new"}}
    email = draft(writer, subject="#a", bodyValues={"1": {"value": value}}, keywords={"#a": True})
    email["mailboxIds"] = {"#a": True}
    mailbox, made = writer.request(
        ("Mailbox/set", {"create": create}, "0"), ("Email/set", {"create": {"d": email}}, "1")
    )["methodResponses"]
    mailbox_id, id = mailbox[1]["created"]["a"]["id"], made[1]["created"]["d"]["id"]
    (shown,) = writer.call("Email/get", ids=[id], fetchTextBodyValues=True)["list"]
    assert (shown["subject"], shown["mailboxIds"]) == ("#a", {mailbox_id: True})
    assert [one["value"] for one in shown["bodyValues"].values()] == [value]
    assert shown["keywords"] == {"#a": True}


def test_patches(writer: Client) -> None:
    """A keyword and a move, each as a patch; then the same as whole values; a no-op succeeds."""
    inbox, archive, trash = (writer.mailbox(role) for role in ("inbox", "archive", "trash"))
    id = only(writer)["id"]
    for patch, keywords, mailbox in (
        ({"keywords/$seen": True}, {"$seen": True}, inbox),
        ({"keywords/$seen": True}, {"$seen": True}, inbox),
        ({f"mailboxIds/{inbox}": None, f"mailboxIds/{archive}": True}, {"$seen": True}, archive),
        ({"keywords/$seen": None, "keywords/$flagged": True}, {"$flagged": True}, archive),
        ({"mailboxIds": {trash: True}, "keywords": {}}, {}, trash),
        ({"mailboxIds": {trash: True}}, {}, trash),
        ({}, {}, trash),
    ):
        answer = writer.call("Email/set", update={id: patch})
        assert answer["notUpdated"] is None
        assert list(answer["updated"]) == [id]
        email = only(writer)
        assert (email["id"], email["keywords"], email["mailboxIds"]) == (id, keywords, {mailbox: True})


def test_a_draft_as_webmails_write_it(writer: Client) -> None:
    """A text part without a type, empty lists of recipients, null names, an HTML part beside it."""
    email = draft(
        writer,
        to=[{"name": "Zoë", "email": "zoe@example.com"}],
        cc=[],
        bcc=[],
        replyTo=None,
        inReplyTo=None,
        htmlBody=[{"partId": "2", "type": "text/html"}],
        bodyValues={"1": {"value": "text"}, "2": {"value": "<p>text</p>"}},
    )
    made = writer.call("Email/set", create={"d": email})
    assert made["notCreated"] is None
    id = made["created"]["d"]["id"]
    (shown,) = writer.call("Email/get", ids=[id], fetchAllBodyValues=True)["list"]
    assert (shown["cc"], shown["bcc"], shown["to"]) == (None, None, [{"name": "Zoë", "email": "zoe@example.com"}])
    assert [part["type"] for part in (*shown["textBody"], *shown["htmlBody"])] == ["text/plain", "text/html"]
    assert made["created"]["d"].keys() >= {"id", "blobId", "threadId", "size"}


def test_a_draft_is_saved_again(writer: Client) -> None:
    """One call makes the new draft and destroys the old one, guarded by `ifInState`."""
    made = writer.call("Email/set", create={"d": draft(writer)})
    old = made["created"]["d"]["id"]
    answer = writer.call(
        "Email/set", create={"d": draft(writer, subject="better")}, destroy=[old], ifInState=made["newState"]
    )
    assert answer["destroyed"] == [old]
    found = writer.call("Email/query", filter={"inMailbox": writer.mailbox("drafts")})
    assert found["ids"] == [answer["created"]["d"]["id"]]
    ((name, error, _id),) = writer.request(("Email/set", {"destroy": found["ids"], "ifInState": made["newState"]}))[
        "methodResponses"
    ]
    assert (name, error["type"]) == ("error", "stateMismatch")


@pytest.mark.parametrize("type", ["Email", "Mailbox", "Thread"])
def test_states_after_a_write(writer: Client, type: str) -> None:
    """A write moves the state on; `newState` is the state of the /get in the same request, and of the next."""
    before = writer.call(f"{type}/get", ids=[])["state"]
    id = only(writer)["id"]
    written, got = writer.request(
        ("Email/set", {"update": {id: {"mailboxIds": {writer.mailbox("trash"): True}}}}, "0"),
        (f"{type}/get", {"ids": []}, "1"),
    )["methodResponses"]
    if type == "Email":
        assert written[1]["newState"] == got[1]["state"]
    if type != "Thread":
        assert got[1]["state"] != before
    assert writer.call(f"{type}/get", ids=[])["state"] == got[1]["state"]


def test_import_moves_the_state_on(writer: Client) -> None:
    """An imported message is there at once, under its own date, and counted."""
    blob = writer.upload(RAW, "message/rfc822")["blobId"]
    archive = writer.mailbox("archive")
    (before,) = writer.call("Mailbox/get", ids=[archive])["list"]
    emails = {"i": {"blobId": blob, "mailboxIds": {archive: True}, "keywords": {"$seen": True}}}
    emails["i"]["receivedAt"] = "2020-02-02T02:02:02Z"
    imported, changes = writer.request(
        ("Email/import", {"emails": emails}, "0"),
        ("Email/changes", {"sinceState": writer.call("Email/get", ids=[])["state"]}, "1"),
    )["methodResponses"]
    assert imported[1]["oldState"] != imported[1]["newState"] == changes[1]["newState"]
    id = imported[1]["created"]["i"]["id"]
    assert changes[1]["created"] == [id]
    (email,) = writer.call("Email/get", ids=[id])["list"]
    assert (email["receivedAt"], email["keywords"]) == ("2020-02-02T02:02:02Z", {"$seen": True})
    assert writer.download(email["blobId"]).octets == RAW
    (after,) = writer.call("Mailbox/get", ids=[archive])["list"]
    assert (after["totalEmails"], after["unreadEmails"]) == (before["totalEmails"] + 1, before["unreadEmails"])


def test_ids_outlive_our_own_moves(writer: Client) -> None:
    """Moving mail and renaming its mailbox renews no id."""
    email = only(writer)
    made = writer.call("Mailbox/set", create={"m": {"name": "Reisen"}})["created"]["m"]["id"]
    writer.call("Email/set", update={email["id"]: {"mailboxIds": {made: True}}})
    assert writer.call("Mailbox/set", update={made: {"name": "Städte"}})["notUpdated"] is None
    now = only(writer)
    assert (now["id"], now["threadId"], now["blobId"]) == (email["id"], email["threadId"], email["blobId"])
    assert now["mailboxIds"] == {made: True}
    with writer.gateway.upstream.selected(writer.login, "St&AOQ-dte") as connection:
        assert connection.search(None, "ALL")[1] == [b"1"]


def test_parts_of_other_mail_are_attached(writer: Client) -> None:
    """A forward takes a part, and a whole message, by blobId: nothing is downloaded and uploaded again."""
    hello = only(writer)
    attachments = [
        {"blobId": hello["blobId"], "type": "message/rfc822", "name": "hello.eml"},
        {"blobId": hello["textBody"][0]["blobId"], "type": "text/plain", "name": "hello.txt"},
    ]
    made = writer.call("Email/set", create={"f": draft(writer, attachments=attachments)})
    assert made["notCreated"] is None
    (email,) = writer.call("Email/get", ids=[made["created"]["f"]["id"]])["list"]
    whole, text = email["attachments"]
    assert (whole["name"], text["name"]) == ("hello.eml", "hello.txt")
    assert writer.download(whole["blobId"]).octets == writer.download(hello["blobId"]).octets
    assert writer.download(text["blobId"]).octets.rstrip() == b"Hello."


def test_a_blob_of_the_same_request_is_attached(writer: Client) -> None:
    """Blob/upload, and its "#id" in the Email that is created next."""
    create = {"b": {"data": [{"data:asText": "col1,col2\n"}], "type": "text/csv"}}
    email = draft(writer, attachments=[{"blobId": "#b", "type": "text/csv", "name": "x.csv"}])
    _, made = writer.request(("Blob/upload", {"create": create}, "0"), ("Email/set", {"create": {"d": email}}, "1"))[
        "methodResponses"
    ]
    assert made[1]["notCreated"] is None, made
    (shown,) = writer.call("Email/get", ids=[made[1]["created"]["d"]["id"]], properties=["attachments"])["list"]
    assert writer.download(shown["attachments"][0]["blobId"]).octets == b"col1,col2\n"
