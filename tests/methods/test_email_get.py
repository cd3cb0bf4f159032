"""Email/get (RFC 8621 sections 4.1 and 4.2)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.account.backend import HEADER
from gateway.jmap.errors import MethodError
from gateway.jmap.objects.email import EMAIL
from tests.methods.world import RECEIVED_S, World

PLAIN = """From: "Ann Example" <ann@x.example>
To: Bob <bob@y.example>, carol@z.example
Cc: dave@z.example
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Date: Mon, 14 Sep 2020 10:00:00 +0200
Message-ID: <1@x.example>
References: <0@x.example>
X-Many: one
X-Many: two
List-Post: <mailto:list@x.example>

Hello Bob,
this is a plain message.
"""

MIXED = """From: ann@x.example
Subject: parts
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable
X-Part: plain

Gr=C3=BC=C3=9Fe
--inner
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PHA+R3LDvMOfZTwvcD4=
--inner--
--outer
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="a.pdf"
Content-Transfer-Encoding: base64
Content-Id: <pdf@x>
Content-Language: de, en
Content-Location: http://x.example/a.pdf

JVBERi0xLjQ=
--outer--
"""

LIST_VIEW = [
    "threadId",
    "mailboxIds",
    "keywords",
    "from",
    "to",
    "subject",
    "receivedAt",
    "size",
    "preview",
    "hasAttachment",
]


async def one(world: World, id: str, **arguments: Any) -> dict[str, Any]:
    response = await world.call("Email/get", ids=[id], **arguments)
    (email,) = response["list"]
    assert isinstance(email, dict)
    return email


async def test_metadata(world: World) -> None:
    """The properties of section 4.1.1 say what the store knows."""
    await world.add_mailbox("other")
    id = await world.deliver(PLAIN, "inbox", "other", flags=["\\Seen", "Work", "\\Recent"])
    email = await one(world, id, properties=["blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt"])
    assert email.pop("threadId")
    assert email == {
        "id": id,
        "blobId": f"m_{id}",
        "mailboxIds": {"inbox": True, "other": True},
        "keywords": {"$seen": True, "work": True},
        "size": len(world.messages[id]),
        "receivedAt": "2020-09-13T12:26:41Z",
    }
    assert RECEIVED_S == 1_600_000_000


async def test_convenience_properties(world: World) -> None:
    """The convenience properties of section 4.1.3 are the parsed header fields, null where there is none."""
    id = await world.deliver(PLAIN)
    names = [
        "messageId",
        "inReplyTo",
        "references",
        "sender",
        "from",
        "to",
        "cc",
        "bcc",
        "replyTo",
        "subject",
        "sentAt",
    ]
    assert await one(world, id, properties=names) == {
        "id": id,
        "messageId": ["1@x.example"],
        "inReplyTo": None,
        "references": ["0@x.example"],
        "sender": None,
        "from": [{"name": "Ann Example", "email": "ann@x.example"}],
        "to": [{"name": "Bob", "email": "bob@y.example"}, {"name": None, "email": "carol@z.example"}],
        "cc": [{"name": None, "email": "dave@z.example"}],
        "bcc": None,
        "replyTo": None,
        "subject": "Grüße",
        "sentAt": "2020-09-14T10:00:00+02:00",
    }
    assert world.calls["load_sections"] == 0


async def test_header_properties(world: World) -> None:
    """header: properties come in each form, the last of several fields or all, under the name as requested."""
    id = await world.deliver(PLAIN)
    expected = {
        "header:x-MANY": " two",
        "header:X-Many:all": [" one", " two"],
        "header:X-Many:asText:all": ["one", "two"],
        "header:subject:asText": "Grüße",
        "header:Subject": " =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
        "header:From:asAddresses": [{"name": "Ann Example", "email": "ann@x.example"}],
        "header:from:asGroupedAddresses": [
            {"name": None, "addresses": [{"name": "Ann Example", "email": "ann@x.example"}]}
        ],
        "header:Message-ID:asMessageIds:all": [["1@x.example"]],
        "header:Date:asDate": "2020-09-14T10:00:00+02:00",
        "header:List-Post:asURLs": ["mailto:list@x.example"],
        "header:X-None": None,
        "header:X-None:all": [],
    }
    assert await one(world, id, properties=list(expected)) == {"id": id, **expected}
    assert world.calls["load_sections"] == 1
    assert [(request.section, request.max_octets) for request in world.requests] == [(HEADER, None)]


async def test_header_property_of_the_summary(world: World) -> None:
    """A header property that is a convenience property by another name costs nothing upstream."""
    id = await world.deliver(PLAIN)
    email = await one(world, id, properties=["header:FROM:asAddresses", "header:Subject:asText"])
    assert email["header:Subject:asText"] == "Grüße"
    assert world.calls["load_sections"] == 0


async def test_headers(world: World) -> None:
    """`headers` is every field in order, as capitalized and raw as in the message."""
    id = await world.deliver(PLAIN)
    headers = (await one(world, id, properties=["headers"]))["headers"]
    assert headers[0] == {"name": "From", "value": ' "Ann Example" <ann@x.example>'}
    assert [header["name"] for header in headers][-3:] == ["X-Many", "X-Many", "List-Post"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"properties": ["header:From:asDate"]},
        {"properties": ["header:Date:asText"]},
        {"properties": ["header:X:asNothing"]},
        {"properties": ["header:"]},
        {"properties": ["header:X:all:asText"]},
        {"properties": ["colour"]},
        {"bodyProperties": ["colour"]},
        {"bodyProperties": ["header:From:asDate"]},
        {"maxBodyValueBytes": -1},
        {"fetchTextBodyValues": 1},
        {"properties": [f"header:X-{n}" for n in range(2000)]},
    ],
)
async def test_refused(world: World, arguments: dict[str, Any]) -> None:
    """Properties that there are not, and forms that a field does not have, are invalidArguments."""
    with pytest.raises(MethodError) as raised:
        await world.call("Email/get", ids=[], **arguments)
    assert raised.value.kind == "invalidArguments"


async def test_default_properties(world: World) -> None:
    """Without `properties` the list of section 4.2 is returned, and no body value that was not asked for."""
    id = await world.deliver(PLAIN)
    email = await one(world, id)
    assert set(email) == {"id", *EMAIL.default_properties()}
    assert len(email) == 24
    assert email["bodyValues"] == {}
    assert email["textBody"] == email["htmlBody"]
    assert email["textBody"] == [
        {
            "partId": "1",
            "blobId": f"p1_{id}",
            "size": len(world.messages[id].partition(b"\r\n\r\n")[2]),
            "name": None,
            "type": "text/plain",
            "charset": "us-ascii",
            "disposition": None,
            "cid": None,
            "language": None,
            "location": None,
        }
    ]


async def test_list_view_asks_nothing(world: World) -> None:
    """A list view of Emails whose details are known is answered without a question to the upstream."""
    ids = [await world.deliver(PLAIN) for _ in range(3)]
    await world.call("Email/get", ids=ids, properties=LIST_VIEW)
    assert world.calls == {"load_details": 1}
    world.calls.clear()
    response = await world.call("Email/get", ids=ids, properties=LIST_VIEW)
    assert [email["id"] for email in response["list"]] == ids
    assert not world.calls
    assert response["list"][0]["preview"].startswith("Hello Bob")


async def test_unseen_mailbox(world: World) -> None:
    """An Email in a mailbox that is not indexed yet is found; an id that nobody has costs that search once."""
    await world.add_mailbox("late", is_indexed=False)
    late = await world.deliver(PLAIN, "late")
    assert (await one(world, late, properties=["subject"]))["subject"] == "Grüße"
    world.needs.clear()
    assert (await world.call("Email/get", ids=["nothing"]))["notFound"] == ["nothing"]
    assert not any(need.everything for need in world.needs)


async def test_vanished_meanwhile(world: World) -> None:
    """An Email that the upstream does not have any more when its body is asked for is not found."""
    stays, goes = await world.deliver(PLAIN), await world.deliver(MIXED)
    await world.call("Email/get", ids=[stays, goes], properties=["preview"])
    world.gone.add(goes)
    response = await world.call("Email/get", ids=[stays, goes], properties=["bodyValues"], fetchTextBodyValues=True)
    assert [email["id"] for email in response["list"]] == [stays]
    assert response["notFound"] == [goes]


async def test_state_of_the_list(world: World) -> None:
    """The state is that of the Emails returned, details loaded in between or not."""
    id = await world.deliver(PLAIN)
    response = await world.call("Email/get", ids=[id])
    assert response["state"] == (await world.call("Email/get", ids=[]))["state"]
    changes = await world.call("Email/changes", sinceState=response["state"])
    assert changes["updated"] == changes["created"] == []
