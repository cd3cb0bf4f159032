"""Email/get (RFC 8621 sections 4.1 and 4.2)."""

from __future__ import annotations

import base64
import quopri
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


async def test_body_structure(world: World) -> None:
    """bodyStructure is the whole tree; partId and blobId are null for a multipart and for nothing else."""
    id = await world.deliver(MIXED)
    email = await one(world, id, properties=["bodyStructure"], bodyProperties=["partId", "blobId", "type", "size"])
    assert email["bodyStructure"] == {
        "partId": None,
        "blobId": None,
        "type": "multipart/mixed",
        "size": 0,
        "subParts": [
            {
                "partId": None,
                "blobId": None,
                "type": "multipart/alternative",
                "size": 0,
                "subParts": [
                    {"partId": "1.1", "blobId": f"p1-1_{id}", "type": "text/plain", "size": 7},
                    {"partId": "1.2", "blobId": f"p1-2_{id}", "type": "text/html", "size": 14},
                ],
            },
            {"partId": "2", "blobId": f"p2_{id}", "type": "application/pdf", "size": 8},
        ],
    }


async def test_body_lists(world: World) -> None:
    """textBody, htmlBody and attachments flatten the tree; every part property says what the part's header says."""
    id = await world.deliver(MIXED)
    email = await one(world, id, properties=["textBody", "htmlBody", "attachments", "hasAttachment"])
    assert [part["partId"] for part in email["textBody"]] == ["1.1"]
    assert [part["partId"] for part in email["htmlBody"]] == ["1.2"]
    assert email["attachments"] == [
        {
            "partId": "2",
            "blobId": f"p2_{id}",
            "size": 8,
            "name": "a.pdf",
            "type": "application/pdf",
            "charset": None,
            "disposition": "attachment",
            "cid": "pdf@x",
            "language": ["de", "en"],
            "location": "http://x.example/a.pdf",
        }
    ]
    assert email["hasAttachment"] is True


async def test_sub_parts(world: World) -> None:
    """subParts is null for a part that is no multipart."""
    id = await world.deliver(MIXED)
    email = await one(world, id, properties=["textBody"], bodyProperties=["subParts"])
    assert email["textBody"] == [{"subParts": None}]


async def test_part_headers(world: World) -> None:
    """Parts have `headers` and header: properties too; those of the root are the message's."""
    id = await world.deliver(MIXED)
    email = await one(
        world, id, properties=["bodyStructure"], bodyProperties=["headers", "header:X-Part:asText", "header:Subject"]
    )
    root = email["bodyStructure"]
    assert root["header:Subject"] == " parts"
    plain = root["subParts"][0]["subParts"][0]
    assert plain["header:X-Part:asText"] == "plain"
    assert plain["header:Subject"] is None
    assert [header["name"] for header in plain["headers"]] == [
        "Content-Type",
        "Content-Transfer-Encoding",
        "X-Part",
    ]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({}, set()),
        ({"fetchTextBodyValues": True}, {"1.1"}),
        ({"fetchHTMLBodyValues": True}, {"1.2"}),
        ({"fetchAllBodyValues": True}, {"1.1", "1.2"}),
        ({"fetchTextBodyValues": True, "fetchHTMLBodyValues": True}, {"1.1", "1.2"}),
    ],
)
async def test_which_body_values(world: World, arguments: dict[str, Any], parts: set[str]) -> None:
    """bodyValues holds the text parts that the arguments ask for, decoded."""
    id = await world.deliver(MIXED)
    values = (await one(world, id, properties=["bodyValues"], **arguments))["bodyValues"]
    assert set(values) == parts
    text = {"1.1": "Grüße", "1.2": "<p>Grüße</p>"}
    for part, value in values.items():
        assert value == {"value": text[part], "isEncodingProblem": False, "isTruncated": False}


async def test_one_load_for_all(world: World) -> None:
    """Whatever is needed of many Emails is asked for in one go each: details, sizes, sections."""
    ids = [await world.deliver(MIXED) for _ in range(5)]
    await world.call(
        "Email/get",
        ids=ids,
        properties=["headers", "bodyStructure", "bodyValues"],
        bodyProperties=["size", "headers"],
        fetchAllBodyValues=True,
    )
    assert world.calls == {"load_details": 1, "load_sizes": 1, "load_sections": 1}


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 100, 1000])
@pytest.mark.parametrize("encoding", ["7bit", "8bit", "quoted-printable", "base64"])
@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "shift_jis", "iso-2022-jp"])
async def test_max_body_value_bytes(world: World, limit: int, encoding: str, charset: str) -> None:
    """A value is cut to maxBodyValueBytes on a character, and only a bounded part of the section is asked for."""
    text = "日本語のテキスト" * 3000
    octets = text.encode(charset)
    body = {
        "base64": base64.encodebytes,
        "quoted-printable": quopri.encodestring,
    }.get(encoding, lambda octets: octets)(octets)
    if charset == "utf-16" and encoding in ("7bit", "8bit", "quoted-printable"):
        pytest.skip("UTF-16 travels in base64 only: its octets look like line ends")
    header = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n"
    id = await world.deliver(header.encode() + body)
    email = await one(
        world, id, properties=["textBody", "bodyValues"], fetchTextBodyValues=True, maxBodyValueBytes=limit
    )
    (value,) = email["bodyValues"].values()
    assert value["isTruncated"] is True
    assert value["isEncodingProblem"] is False
    assert text.startswith(value["value"])
    assert limit - 3 < len(value["value"].encode()) <= limit
    (request,) = world.requests
    assert request.max_octets is not None
    assert request.max_octets < 10 * limit + 1000


async def test_not_truncated(world: World) -> None:
    """A value that fits is whole, and says so; the limit 0 is no limit."""
    id = await world.deliver("Subject: x\n\nHello\nyou\n")
    for limit in (0, 10, 1000):
        email = await one(world, id, properties=["bodyValues"], fetchTextBodyValues=True, maxBodyValueBytes=limit)
        assert email["bodyValues"] == {"1": {"value": "Hello\nyou\n", "isEncodingProblem": False, "isTruncated": False}}


async def test_html_is_not_cut_in_a_tag(world: World) -> None:
    """A truncated HTML value does not end inside a tag."""
    page = '<p>Hello <a href="https://x.example/' + "y" * 5000 + '">you</a></p>'
    id = await world.deliver(f"Content-Type: text/html\n\n{page}\n")
    for limit in (12, 100, 400):
        email = await one(world, id, properties=["bodyValues"], fetchHTMLBodyValues=True, maxBodyValueBytes=limit)
        assert email["bodyValues"]["1"] == {
            "value": "<p>Hello ",
            "isEncodingProblem": False,
            "isTruncated": True,
        }


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: text/plain; charset=x-unknown",
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: x-unknown",
    ],
)
async def test_encoding_problem(world: World, header: str) -> None:
    """An unknown charset or transfer encoding is an encoding problem, and the text is there as far as it can be."""
    id = await world.deliver(f"{header}\n\nHello\n")
    email = await one(world, id, properties=["bodyValues"], fetchTextBodyValues=True)
    assert email["bodyValues"]["1"] == {"value": "Hello\n", "isEncodingProblem": True, "isTruncated": False}


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


async def test_large_bodies(world: World) -> None:
    """Bodies too large to be decoded on the event loop come out the same."""
    id = await world.deliver("Subject: x\n\n" + "lorem ipsum\n" * 50_000)
    email = await one(world, id, properties=["bodyValues"], fetchTextBodyValues=True)
    assert email["bodyValues"]["1"]["value"] == "lorem ipsum\n" * 50_000
    response = await world.call("Email/parse", blobIds=[f"m_{id}"], fetchTextBodyValues=True)
    assert response["parsed"][f"m_{id}"]["bodyValues"] == email["bodyValues"]


async def test_too_much_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More body values than one call may bring into memory are requestTooLarge."""
    monkeypatch.setattr("gateway.methods.email.MAX_SECTION_OCTETS", 20)
    ids = [await world.deliver("Subject: x\n\nsome text\n") for _ in range(2)]
    await world.call("Email/get", ids=ids[:1], fetchTextBodyValues=True)
    with pytest.raises(MethodError) as raised:
        await world.call("Email/get", ids=ids, fetchTextBodyValues=True)
    assert raised.value.kind == "requestTooLarge"


async def test_no_body_properties(world: World) -> None:
    """An empty list of bodyProperties is an empty list, null is the default."""
    id = await world.deliver(PLAIN)
    assert (await one(world, id, properties=["textBody"], bodyProperties=[]))["textBody"] == [{}]
    (part,) = (await one(world, id, properties=["textBody"], bodyProperties=None))["textBody"]
    assert len(part) == 10
