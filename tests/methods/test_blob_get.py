"""Blob/get (RFC 9404 section 4.2)."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from typing import Any

import pytest

from gateway.methods import blob_get, blob_range
from tests.methods.blobs import Blobs
from tests.methods.test_blob_source import LETTER, carrying

FOX = b"The quick brown fox jumped over the lazy dog."
BROKEN = b"The quick brown fox jumped over the \x81\x81 dog."


async def one(blobs: Blobs, blob_id: str, **arguments: Any) -> Any:
    response = await blobs.call("Blob/get", ids=[blob_id], **arguments)
    assert response["notFound"] == []
    (shown,) = response["list"]
    assert shown.pop("id") == blob_id
    return shown


async def test_the_simple_example(blobs: Blobs) -> None:
    """RFC 9404 section 4.2.1, digests and all."""
    id = await blobs.put(FOX)
    first, second = await blobs.request(
        ("Blob/get", {"ids": [id, "not-a-blob"], "properties": ["data:asText", "digest:sha", "size"]}),
        (
            "Blob/get",
            {
                "ids": [id],
                "properties": ["data:asText", "digest:sha", "digest:sha-256", "size"],
                "offset": 4,
                "length": 9,
            },
        ),
    )
    assert first == {
        "accountId": "A1",
        "list": [
            {"id": id, "data:asText": FOX.decode(), "digest:sha": "wIVPufsDxBzOOALLDSIFKebu+U4=", "size": 45},
        ],
        "notFound": ["not-a-blob"],
    }
    assert second["list"] == [
        {
            "id": id,
            "data:asText": "quick bro",
            "digest:sha": "QiRAPtfyX8K6tm1iOAtZ87Xj3Ww=",
            "digest:sha-256": "gdg9INW7lwHK6OQ9u0dwDz2ZY/gubi0En0xlFpKt0OA=",
            "size": 45,
        }
    ]


async def test_the_example_with_encoding_errors(blobs: Blobs) -> None:
    """RFC 9404 section 4.2.2; `data:asText` is null where it cannot be (section 4.2), which the example leaves out."""
    b1, b2 = await blobs.put(BROKEN), await blobs.put(b"hello world")
    assert await one(blobs, b1) == {
        "data:asText": None,
        "data:asBase64": b64encode(BROKEN).decode(),
        "isEncodingProblem": True,
        "size": 43,
    }
    assert await one(blobs, b2) == {"data:asText": "hello world", "size": 11}
    text_only = ["data:asText", "size"]
    assert await one(blobs, b1, properties=text_only) == {"data:asText": None, "isEncodingProblem": True, "size": 43}
    both = [await one(blobs, id, properties=["data:asBase64", "size"]) for id in (b1, b2)]
    assert both == [
        {"data:asBase64": b64encode(BROKEN).decode(), "size": 43},
        {"data:asBase64": "aGVsbG8gd29ybGQ=", "size": 11},
    ]
    assert await one(blobs, b1, offset=0, length=5) == {"data:asText": "The q", "size": 43}
    assert await one(blobs, b1, offset=20, length=100) == {
        "data:asText": None,
        "data:asBase64": "anVtcGVkIG92ZXIgdGhlIIGBIGRvZy4=",
        "isEncodingProblem": True,
        "isTruncated": True,
        "size": 43,
    }
    assert await one(blobs, b2, offset=20, length=100) == {"data:asText": "", "isTruncated": True, "size": 11}


@pytest.mark.parametrize(
    ("offset", "length", "text", "is_truncated"),
    [
        (0, 11, "hello world", False),
        (0, 12, "hello world", True),
        (11, None, "", False),
        (12, None, "", True),
        (11, 0, "", False),
        (12, 0, "", True),
        (11, 1, "", True),
        (6, 5, "world", False),
        (None, None, "hello world", False),
        (0, 2**53 - 1, "hello world", True),
    ],
)
@pytest.mark.parametrize("kind", ["upload", "part", "base64"])
async def test_ranges(
    blobs: Blobs, kind: str, offset: int | None, length: int | None, text: str, is_truncated: bool
) -> None:
    """A range means the same on every kind of blob, its edges included."""
    if kind == "upload":
        id = await blobs.put(b"hello world")
    elif kind == "part":
        id = "p1_" + await blobs.world.deliver("Subject: x\n\nhello world")
    else:
        head = "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n"
        id = "p1_" + await blobs.world.deliver(head + "aGVsbG8gd29ybGQ=")
    shown = await one(blobs, id, offset=offset, length=length)
    assert shown == {"data:asText": text, "size": 11, **({"isTruncated": True} if is_truncated else {})}


async def test_a_range_in_the_middle_of_a_character(blobs: Blobs) -> None:
    id = await blobs.put("Grüße".encode())
    shown = await one(blobs, id, properties=["data"], offset=0, length=3)
    assert shown == {"data:asText": None, "data:asBase64": b64encode(b"Gr\xc3").decode(), "isEncodingProblem": True}


@pytest.mark.parametrize("octets", ["\ufffe".encode(), "\ufdd0".encode(), b"\xed\xa0\x80"])
async def test_what_json_cannot_hold(blobs: Blobs, octets: bytes) -> None:
    """Noncharacters and surrogates come as base64, not as something else."""
    shown = await one(blobs, await blobs.put(octets), properties=["data"])
    assert (shown["data:asText"], b64decode(shown["data:asBase64"])) == (None, octets)


async def test_size_alone_reads_nothing(blobs: Blobs) -> None:
    """Many sizes cost one load of structures and one of sizes, and no octet of a body."""
    ids = [await blobs.world.deliver(LETTER) for _ in range(20)]
    wanted = [blob_id for id in ids for blob_id in (f"m_{id}", f"p1_{id}", f"p2_{id}")]
    blobs.world.calls.clear()
    response = await blobs.call("Blob/get", ids=wanted, properties=["size"])
    assert [blob["size"] for blob in response["list"]] == [len(blobs.world.messages[ids[0]]), 11, 5] * 20
    assert blobs.world.calls == {"load_details": 1, "load_sizes": 1}


async def test_a_message_whose_size_is_wrong(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read decides, where it was: servers announce wrong sizes."""
    id = await blobs.world.deliver(LETTER)
    blobs.world.messages[id] += b"more"
    size = len(blobs.world.messages[id])
    assert await one(blobs, f"m_{id}", properties=["size", "digest:sha"]) == {
        "size": size,
        "digest:sha": b64encode(hashlib.sha1(blobs.world.messages[id]).digest()).decode(),
    }
    assert "isTruncated" not in await one(blobs, f"m_{id}", offset=0, length=size)


async def test_inside_an_attached_message(blobs: Blobs) -> None:
    id = await blobs.world.deliver(carrying(LETTER))
    shown = await one(blobs, f"p2_p2_{id}", offset=3)
    assert shown == {"data:asText": "\x03\x04", "size": 5}


async def test_vanished(blobs: Blobs) -> None:
    """A message that is gone upstream is not found, and the others are shown."""
    gone, here = await blobs.world.deliver(LETTER), await blobs.put(b"x")
    await blobs.world.call("Email/get", ids=[gone])
    blobs.world.gone.add(gone)
    response = await blobs.call("Blob/get", ids=[f"p2_{gone}", here, f"m_{gone}"])
    assert response["notFound"] == [f"p2_{gone}", f"m_{gone}"]
    assert [blob["id"] for blob in response["list"]] == [here]
    assert blobs.world.streaming == 0


async def test_too_much(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown, and what is read for it, is bounded for the whole call; nothing stays open."""
    id = await blobs.world.deliver(LETTER)
    uploads = [await blobs.put(bytes([at]) * 30) for at in range(4)]
    monkeypatch.setattr(blob_get, "MAX_SHOWN_OCTETS", 100)
    assert (await blobs.call("Blob/get", ids=uploads))["error"] == "requestTooLarge"
    assert (await blobs.call("Blob/get", ids=uploads, length=25))["list"][3]["size"] == 30
    assert (await blobs.call("Blob/get", ids=[f"m_{id}"]))["error"] == "requestTooLarge"
    assert blobs.world.streaming == 0
    monkeypatch.setattr(blob_range.Allowance, "__init__", lambda self: setattr(self, "_octets_left", 100))
    digest = ["digest:sha-256"]
    assert len((await blobs.call("Blob/get", ids=uploads[:3], properties=digest))["list"]) == 3
    assert (await blobs.call("Blob/get", ids=uploads, properties=digest))["error"] == "requestTooLarge"
    assert len((await blobs.call("Blob/get", ids=uploads, properties=digest, offset=25))["list"]) == 4
    assert (await blobs.call("Blob/get", ids=[f"m_{id}"], offset=120, length=1))["error"] == "requestTooLarge"
    assert blobs.world.streaming == 0


async def test_arguments(blobs: Blobs) -> None:
    """Blobs cannot be listed; an unknown digest is an unknown property; the account must offer blobs."""
    for arguments in (
        {"ids": None},
        {"ids": [], "properties": ["digest:md5"]},
        {"ids": [], "offset": -1},
        {"ids": [], "length": "5"},
        {"ids": ["u u"]},
    ):
        assert (await blobs.call("Blob/get", **arguments))["error"] == "invalidArguments"
    assert (await blobs.call("Blob/get", ids=[], accountId="A2"))["error"] == "accountNotSupportedByMethod"
    assert (await blobs.call("Blob/get", ids=[], accountId="A3"))["error"] == "accountNotFound"
    id = await blobs.put(b"x")
    asked = ["isTruncated", "isEncodingProblem"]
    assert await one(blobs, id, properties=asked) == {"isTruncated": False, "isEncodingProblem": False}
