"""Drafts made by Email/set (RFC 8621 section 4.6), and read back."""

from __future__ import annotations

import asyncio
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.objects.email import EMAIL
from gateway.message.build import NewMessage, build_message
from gateway.message.charset import json_safe
from gateway.message.parse import parse_message
from gateway.methods.creations import check_creation
from gateway.methods.email import Wanted
from gateway.methods.email_body import ValueOptions
from gateway.methods.email_create import read_draft
from gateway.methods.email_parse import show
from gateway.methods.email_set import _part
from gateway.methods.email_shape import email_shape, part_shape
from tests.methods.world import World

PLACE = {"mailboxIds": {"inbox": True}}
VALUES = {"t": {"value": "Hello\n"}, "h": {"value": "<p>Hello</p>"}}
TEXT: dict[str, Any] = {"textBody": [{"partId": "t"}], "bodyValues": VALUES}


async def create(world: World, **properties: Any) -> dict[str, Any]:
    """Create one Email; return `created` or the SetError of it."""
    answer = await world.call("Email/set", create={"d": {**PLACE, **properties}})
    done, failed = answer["created"], answer["notCreated"]
    assert (done is None) != (failed is None)
    return (done or failed)["d"]


async def read(world: World, id: str, *properties: str, **arguments: Any) -> dict[str, Any]:
    answer = await world.call("Email/get", ids=[id], properties=list(properties) or None, **arguments)
    return answer["list"][0]


async def test_created(world: World) -> None:
    """`created` has id, blobId, threadId and size, those of the following /get; Date and Message-ID are supplied."""
    made = await create(world, subject="x", **{"from": [{"email": "me@example.org"}]}, **TEXT)
    assert set(made) == {"id", "blobId", "threadId", "size"}
    shown = await read(world, made["id"], "blobId", "threadId", "size", "messageId", "sentAt", "keywords", "receivedAt")
    assert {name: shown[name] for name in made} == made
    assert shown["messageId"][0].endswith("@example.org")
    assert shown["sentAt"] is not None
    assert shown["keywords"] == {}
    (email,) = world.appended
    assert email.received_at_s is None


async def test_what_clients_send(world: World) -> None:
    """Empty lists, nulls, parts without a type and keywords in any case are taken."""
    made = await create(
        world,
        keywords={"$Draft": True, "$seen": True},
        cc=[],
        bcc=None,
        replyTo=[],
        subject="",
        inReplyTo=None,
        references=[],
        textBody=[{"partId": "t"}],
        htmlBody=[{"partId": "h", "blobId": None, "charset": None}],
        bodyValues={"t": {"value": "a", "isTruncated": False}, "h": {"value": "b", "isEncodingProblem": False}},
        **{"from": [{"name": None, "email": "me"}], "to": [{"name": "x", "email": ""}]},
    )
    shown = await read(world, made["id"], "cc", "bcc", "subject", "keywords", "references", "textBody", "htmlBody")
    assert (shown["cc"], shown["bcc"], shown["references"], shown["subject"]) == (None, None, None, "")
    assert shown["keywords"] == {"$draft": True, "$seen": True}
    assert [part["type"] for part in shown["textBody"] + shown["htmlBody"]] == ["text/plain", "text/html"]


async def test_nothing_at_all(world: World) -> None:
    """A draft of which there is nothing yet is an empty text."""
    made = await create(world)
    shown = await read(world, made["id"], "bodyStructure", "bodyValues", fetchAllBodyValues=True)
    assert shown["bodyStructure"]["type"] == "text/plain"
    assert shown["bodyValues"]["1"]["value"] == ""


async def test_received_at(world: World) -> None:
    """receivedAt is the date the message is stored with."""
    made = await create(world, receivedAt="2001-02-03T04:05:06Z")
    assert (await read(world, made["id"], "receivedAt"))["receivedAt"] == "2001-02-03T04:05:06Z"


UNIT = {"partId": "t"}
NOON = "2024-01-01T12:00:00Z"


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"mailboxIds": {}}, {"mailboxIds"}),
        ({"mailboxIds": {"nowhere": True}}, {"mailboxIds"}),
        ({"mailboxIds": {"#nothing": True}}, {"mailboxIds"}),
        ({"mailboxIds": {"inbox": False}, "keywords": {"a b": True}}, {"mailboxIds", "keywords"}),
        ({"id": "M1", "size": 1, "preview": "x", "hasAttachment": False}, {"id", "size", "preview", "hasAttachment"}),
        ({"odd": 1, "subject": 5}, {"odd", "subject"}),
        ({"headers": [{"name": "X", "value": "y"}]}, {"headers"}),
        ({"subject": "a", "header:Subject": " b"}, {"subject", "header:Subject"}),
        ({"header:X-A": "a", "header:x-a:asText": "b"}, {"header:X-A", "header:x-a:asText"}),
        ({"header:X-A:all": ["a"], "header:X-A": "a"}, {"header:X-A:all", "header:X-A"}),
        ({"sentAt": NOON, "header:Date:asDate": NOON}, {"sentAt", "header:Date:asDate"}),
        ({"header:From:asText": "x"}, {"header:From:asText"}),
        ({"header:Subject:asAddresses": []}, {"header:Subject:asAddresses"}),
        ({"header:X:asNothing": "x"}, {"header:X:asNothing"}),
        ({"header:X:all": "x"}, {"header:X:all"}),
        ({"header:X:asDate": "yesterday"}, {"header:X:asDate"}),
        ({"header:X:asAddresses": [{"name": "x"}]}, {"header:X:asAddresses"}),
        ({"header:X": "a\r\nBcc: b@c"}, {"header:X"}),
        ({"header:": "a"}, {"header:"}),
        ({"messageId": ["a b"]}, {"messageId"}),
        ({"to": [{"email": "a\r\nBcc: b"}], "cc": [{"name": 1, "email": "x"}]}, {"to", "cc"}),
        ({"header:Content-Type": "text/html"}, {"header:Content-Type"}),
        ({"header:content-language:asText": "de"}, {"header:content-language:asText"}),
        ({"bodyStructure": UNIT, "textBody": [UNIT], "attachments": []}, {"textBody", "attachments"}),
        ({"bodyStructure": {**UNIT, "header:Subject": "x"}, "subject": "y"}, {"subject", "bodyStructure"}),
        ({"bodyStructure": {"type": "text/plain"}}, {"bodyStructure"}),
        ({"bodyStructure": {"type": "multipart/mixed"}}, {"bodyStructure"}),
        ({"bodyStructure": {"type": "multipart/mixed", "subParts": []}}, {"bodyStructure"}),
        ({"bodyStructure": {"type": "multipart/mixed", "partId": "t", "subParts": [UNIT]}}, {"bodyStructure"}),
        ({"bodyStructure": {"type": "text/plain", "partId": "t", "subParts": [UNIT]}}, {"bodyStructure"}),
        ({"bodyStructure": {"type": "multipart/mixed", "subParts": [{"partId": "zz"}]}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "blobId": "u_x"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "charset": "utf-8"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "size": 3}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "headers": []}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "header:Content-Transfer-Encoding": "7bit"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "type": "text/plain", "header:Content-Type": "text/html"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "header:X": "a", "header:x:asText": "b"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "header:Content-Type": "text/plain; charset=koi8-r"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "type": "no type"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "type": "message/rfc822"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "disposition": "a b"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "cid": "a\r\nb"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "language": ["de\r\nX: y"]}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "location": "a b"}}, {"bodyStructure"}),
        ({"bodyStructure": {**UNIT, "odd": 1}}, {"bodyStructure"}),
        ({"textBody": [UNIT, UNIT]}, {"textBody"}),
        ({"textBody": [{**UNIT, "type": "text/html"}]}, {"textBody"}),
        ({"htmlBody": [{**UNIT, "type": "text/plain"}], "textBody": [{"partId": "zz"}]}, {"htmlBody", "textBody"}),
        ({"bodyValues": {"t": {"value": "x", "isTruncated": True}}}, {"bodyValues"}),
        ({"bodyValues": {"t": {"value": "x", "isEncodingProblem": True}}}, {"bodyValues"}),
        ({"bodyValues": {"t": {}}}, {"bodyValues"}),
        ({"attachments": [{"blobId": "u_x", "name": 5}]}, {"attachments"}),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)  # fmt: skip
async def test_invalid(world: World, properties: dict[str, Any], named: set[str]) -> None:
    """What section 4.6 forbids is invalidProperties that names each property, and nothing is stored."""
    error = await create(world, **({"bodyValues": VALUES} | properties))
    assert error["type"] == "invalidProperties"
    assert set(error["properties"]) == named
    assert world.appended == []


async def test_missing_mailbox(world: World) -> None:
    """mailboxIds must be given."""
    answer = await world.call("Email/set", create={"d": {"subject": "x"}})
    assert answer["notCreated"]["d"]["properties"] == ["mailboxIds"]


async def test_blobs(world: World) -> None:
    """Attachments are uploads, parts of other messages and whole messages; their octets come back."""
    upload = world.uploads.add(bytes(range(256)) * 10, "image/png")
    other = await world.deliver("Subject: other\nContent-Type: application/pdf; name=x.pdf\n\n%PDF-1 inside\n")
    made = await create(
        world,
        **TEXT,
        attachments=[
            {"blobId": upload, "name": "bild ü.png", "size": 5},
            {"blobId": f"p1_{other}", "type": "application/pdf", "disposition": "inline", "language": ["de", "en"]},
            {"blobId": f"m_{other}", "name": "other.eml"},
        ],
    )
    shown = await read(world, made["id"], "attachments", "hasAttachment")
    image, document, message = shown["attachments"]
    assert (image["name"], image["type"], image["size"], image["disposition"]) == (
        "bild ü.png", "image/png", 2560, "attachment"
    )  # fmt: skip
    assert (document["type"], document["disposition"], document["language"]) == (
        "application/pdf", "inline", ["de", "en"]
    )  # fmt: skip
    assert (message["type"], message["size"]) == ("message/rfc822", len(world.messages[other]))
    assert shown["hasAttachment"] is True
    parsed = parse_message(world.messages[made["id"]])
    assert parsed.section(message["partId"]) == world.messages[other]


async def test_blob_not_found(world: World) -> None:
    """Every blob that is not there is named by blobNotFound."""
    upload = world.uploads.add(b"x")
    gone = ["u_" + "0" * 64, "m_nothing", "nonsense", "p7_M1"]
    await world.deliver("Subject: x\n\nx", id="M1")
    error = await create(world, **TEXT, attachments=[{"blobId": id} for id in [upload, *gone, gone[0]]])
    assert (error["type"], error["notFound"]) == ("blobNotFound", gone)
    assert world.appended == []


async def test_attachments_too_large(world: World) -> None:
    """Attachments past maxSizeAttachmentsPerEmail are tooLarge."""
    world.account.capabilities = {CORE: {}, MAIL: {"maxSizeAttachmentsPerEmail": 1000}}
    upload = world.uploads.add(bytes(600))
    assert "id" in await create(world, attachments=[{"blobId": upload}])
    assert (await create(world, attachments=[{"blobId": upload}, {"blobId": upload}]))["type"] == "tooLarge"


async def test_structures(world: World) -> None:
    """Text, HTML and attachments are put together as mail programs do, and shown again in the same lists."""
    blob = {"blobId": world.uploads.add(b"GIF89a", "image/gif")}
    text, html = {"textBody": [{"partId": "t"}]}, {"htmlBody": [{"partId": "h"}]}
    embedded = {"attachments": [{**blob, "cid": "x@y"}]}
    beside = {"attachments": [{**blob, "name": "a.gif"}]}
    for properties, shape in (
        (text, "plain"),
        (html, "html"),
        ({**text, **html}, "alternative plain html"),
        ({**text, **beside}, "mixed plain gif"),
        ({**html, **embedded}, "related html gif"),
        ({**text, **html, **embedded}, "alternative plain related html gif"),
        ({**html, "attachments": [{**blob, "cid": "x@y"}, blob]}, "mixed related html gif gif"),
        (beside, "mixed gif"),
        ({**text, "attachments": [{**blob, "cid": "x@y"}]}, "mixed plain gif"),
    ):  # fmt: skip
        made = await create(world, bodyValues=VALUES, **properties)
        root = parse_message(world.messages[made["id"]]).root
        assert " ".join(part.type.partition("/")[2] for part in root.walk()) == shape
        shown = await read(
            world, made["id"], "textBody", "htmlBody", "attachments", "bodyValues", fetchAllBodyValues=True
        )
        values = {
            part["type"]: shown["bodyValues"][part["partId"]]["value"] for part in shown["textBody"] + shown["htmlBody"]
        }
        assert values == {
            type: VALUES[key]["value"]
            for name, key, type in (("textBody", "t", "text/plain"), ("htmlBody", "h", "text/html"))
            if name in properties
        }
        assert len(shown["attachments"]) == len(properties.get("attachments", []))  # type: ignore[arg-type]


async def test_whole_header_fields(world: World) -> None:
    """Fields in all their forms, in whatever capitals, and those of parts, come back as they were."""
    headers = {
        "header:X-Raw": " as it\r\n is",
        "header:X-Text:asText": "Grüße",
        "header:Resent-To:asAddresses:all": [[{"name": "A", "email": "a@b"}], [{"name": None, "email": "c@d"}]],
        "header:Reply-To:asGroupedAddresses": [{"name": "G", "addresses": [{"name": None, "email": "e@f"}]}],
        "header:X-Ids:asMessageIds": ["a@b", "c@d"],
        "header:X-Date:asDate": "2020-01-01T10:00:00+02:00",
        "header:List-Post:asURLs": ["mailto:l@example.org"],
    }
    part = {
        "partId": "t",
        "header:Content-Type": "text/plain; format=flowed; boundary=x",
        "header:X-Part:asText": "ü",
        "header:Content-Language": " de",
    }
    made = await create(world, bodyValues=VALUES, bodyStructure=part, messageId=["my@own.id"], **headers)
    shown = await read(world, made["id"], *headers, "messageId", "header:X-Part:asText", "bodyStructure")
    assert {name: shown[name] for name in headers} == headers
    assert (shown["messageId"], shown["header:X-Part:asText"]) == (["my@own.id"], "ü")
    octets = world.messages[made["id"]]
    assert b"Content-Type: text/plain; format=flowed; charset=utf-8\r\n" in octets
    assert (shown["bodyStructure"]["language"], octets.count(b"Message-ID:")) == (["de"], 1)


async def test_trouble(world: World) -> None:
    """What the upstream refuses is the draft's own error; when it goes away half-way the rest are told."""
    world.refusals[None] = SetError("overQuota")
    assert (await create(world))["type"] == "overQuota"
    world.refusals[None] = MethodError("serverUnavailable")
    with pytest.raises(MethodError):
        await create(world)


async def test_blob_that_goes_away(world: World) -> None:
    """A blob that is gone when the message is sent is an error of this draft alone."""
    other = await world.deliver("Subject: x\nContent-Type: application/pdf\n\nx")
    world.gone.add(other)
    answer = await world.call(
        "Email/set",
        create={"a": {**PLACE, "attachments": [{"blobId": f"p1_{other}"}]}, "b": {**PLACE, "subject": "fine"}},
    )
    assert set(answer["created"]) == {"b"}
    assert answer["notCreated"]["a"]["type"] in ("serverFail", "blobNotFound")


# ---------------------------------------------------------------- round trip

_LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn", "Co"]), max_size=60)
_NAME = _LINE.map(lambda text: json_safe(text).strip())
_ADDRESSES = st.lists(
    st.fixed_dictionaries({"name": _NAME.map(lambda name: name or None), "email": st.just("a@example.org")}), max_size=3
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200).map(
    lambda text: json_safe(text).replace("\r\n", "\n")
)
_EMAIL = st.fixed_dictionaries(
    {"mailboxIds": st.just({"inbox": True}), "t": _TEXT, "h": _TEXT},
    optional={
        "subject": _LINE,
        "from": _ADDRESSES,
        "to": _ADDRESSES,
        "cc": _ADDRESSES,
        "messageId": st.just(["x@y"]),
        "references": st.lists(st.sampled_from(["a@b", "long" * 20 + "@d"]), max_size=9),
        "sentAt": st.sampled_from(["2024-02-29T10:00:00Z", "1999-01-01T00:00:00-08:00"]),
        "header:X-Any:asText": _LINE,
    },
)  # fmt: skip


@given(_EMAIL, st.sampled_from(["flat", "text", "html", "tree"]))
@settings(deadline=None)
def test_round_trip(email: dict[str, Any], body: str) -> None:
    """What is built and parsed again has the same properties, in NFC."""
    text, html = email.pop("t"), email.pop("h")
    given = {**email, "bodyValues": {"t": {"value": text}, "h": {"value": html}}}
    if body in ("flat", "text"):
        given["textBody"] = [{"partId": "t"}]
    if body in ("flat", "html"):
        given["htmlBody"] = [{"partId": "h"}]
    if body == "tree":
        parts = [{"partId": "t", "type": "text/plain"}, {"partId": "h", "type": "text/html"}]
        given["bodyStructure"] = {"type": "multipart/alternative", "subParts": parts}
    shown = _parsed(given)
    for name, value in email.items():
        if name != "mailboxIds":
            assert shown[name] == (_nfc(value) or (None if isinstance(value, list) else ""))
    values = {part["type"]: shown["bodyValues"][part["partId"]] for part in shown["textBody"] + shown["htmlBody"]}
    expected = {"text/plain": text, "text/html": html}
    for type, value in values.items():
        assert value == {"value": expected[type], "isEncodingProblem": False, "isTruncated": False}
    assert len(values) == (1 if body in ("text", "html") else 2)


def _parsed(given: dict[str, Any]) -> dict[str, Any]:
    creation, faults = check_creation(EMAIL, "d", given, frozenset(), lambda _name, value: value)
    draft, more = read_draft(creation)
    assert (faults, more) == ({}, {})
    assert draft is not None
    message = asyncio.run(build_message(draft.fields, _part(draft.root, {})))
    octets = asyncio.run(_octets(message))
    names = [
        "bodyValues",
        "textBody",
        "htmlBody",
        *(name for name in given if name not in ("mailboxIds", "bodyStructure")),
    ]
    shape = email_shape(list(dict.fromkeys(names)), frozenset())
    wanted = Wanted(shape, part_shape(None), ValueOptions(every=True))
    return show(parse_message(octets), "u_x", len(octets), wanted)


async def _octets(message: NewMessage) -> bytes:
    return b"".join([chunk async for chunk in message.octets()])


def _nfc(value: Any) -> Any:

    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, list):
        return [_nfc(item) for item in value]
    return {key: _nfc(item) for key, item in value.items()} if isinstance(value, dict) else value
