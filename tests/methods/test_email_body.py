"""The body of an Email: structure, lists, values (RFC 8621 section 4.1.4)."""

from __future__ import annotations

import base64
import itertools
import quopri
from typing import Any

import pytest

from gateway.jmap.errors import MethodError
from tests.methods.test_email_get import MIXED, PLAIN, one
from tests.methods.world import World


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
@pytest.mark.parametrize(
    ("encoding", "charset"),
    [
        ("base64", "utf-16"),  # which travels in no other encoding: some of its octets are line ends
        *itertools.product(["7bit", "quoted-printable", "base64"], ["utf-8", "shift_jis", "iso-2022-jp"]),
    ],
)
async def test_max_body_value_bytes(world: World, limit: int, encoding: str, charset: str) -> None:
    """A value is cut to maxBodyValueBytes on a character, and only a bounded part of the section is asked for."""
    text = "日本語のテキスト" * 3000
    octets = text.encode(charset)
    body = {
        "base64": base64.encodebytes,
        "quoted-printable": quopri.encodestring,
    }.get(encoding, lambda octets: octets)(octets)
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
