"""Blob/upload (RFC 9404 section 4.1)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from gateway.jmap.capability import MAX_DATA_SOURCES
from gateway.methods import blob_range
from tests.methods.blobs import Blobs
from tests.methods.test_blob_source import LETTER, carrying

TEXT = {"data:asText": "abc"}


def blob_id(octets: bytes) -> str:
    return f"u_{hashlib.sha256(octets).hexdigest()}"


async def upload(blobs: Blobs, *sources: dict[str, Any], **properties: Any) -> Any:
    """Upload one blob; return its properties, or the SetError."""
    response = await blobs.call("Blob/upload", create={"b": {"data": list(sources), **properties}})
    return response["created"]["b"] if response["created"] else response["notCreated"]["b"]


async def content(blobs: Blobs, id: str) -> bytes:
    found = await blobs.uploads.open("A1", id.removeprefix("u_"))
    assert found is not None
    return b"".join([chunk async for chunk in found.chunks()])


async def test_the_complex_example(blobs: Blobs) -> None:
    """RFC 9404 section 4.1.2: texts, base64 and ranges of an earlier blob; later calls name the blob by "#id"."""
    first, second, third = await blobs.request(
        (
            "Blob/upload",
            {"create": {"b4": {"data": [{"data:asText": "The quick brown fox jumped over the lazy dog."}]}}},
        ),
        (
            "Blob/upload",
            {
                "create": {
                    "cat": {
                        "data": [
                            {"data:asText": "How"},
                            {"blobId": "#b4", "length": 7, "offset": 3},
                            {"data:asText": "was t"},
                            {"blobId": "#b4", "length": 1, "offset": 1},
                            {"data:asBase64": "YXQ/"},
                        ]
                    }
                }
            },
        ),
        ("Blob/get", {"properties": ["data:asText", "size"], "ids": ["#cat"]}),
    )
    fox = blob_id(b"The quick brown fox jumped over the lazy dog.")
    assert first == {
        "accountId": "A1",
        "created": {
            "b4": {"id": fox, "blobId": fox, "accountId": "A1", "size": 45, "type": "application/octet-stream"}
        },
        "notCreated": None,
    }
    assert second["created"]["cat"]["size"] == 19
    cat = second["created"]["cat"]["id"]
    assert third["list"] == [{"id": cat, "data:asText": "How quick was that?", "size": 19}]


async def test_empty_and_typed(blobs: Blobs) -> None:
    """No sources make an empty blob. The type is the client's word."""
    made = await upload(blobs, type="image/png")
    assert (made["id"], made["size"], made["type"]) == (blob_id(b""), 0, "image/png")
    made = await upload(blobs, TEXT, {"data:asText": ""}, {"data:asBase64": ""}, type=None)
    assert (made["id"], made["type"]) == (blob_id(b"abc"), "application/octet-stream")


async def test_nulls_are_absent(blobs: Blobs) -> None:
    source = {"data:asText": "abc", "data:asBase64": None, "offset": None, "length": None}
    assert (await upload(blobs, source))["size"] == 3
    made = await upload(blobs, {"blobId": await blobs.put(b"abcdef"), "offset": None, "length": None})
    assert made["size"] == 6


async def test_sources_from_mail(blobs: Blobs) -> None:
    """Whole messages, parts without their transfer encoding and parts of attached messages are sources."""
    id, outer = await blobs.world.deliver(LETTER), await blobs.world.deliver(carrying(LETTER))
    made = await upload(
        blobs, {"blobId": f"p2_{id}", "offset": 1}, {"blobId": f"p2_p2_{outer}"}, {"blobId": f"m_{id}", "length": 4}
    )
    assert await content(blobs, made["id"]) == b"\1\2\3\4" + b"\0\1\2\3\4" + b"MIME"
    assert blobs.world.streaming == 0


async def test_references_within_one_call(blobs: Blobs) -> None:
    """Creations name each other in any order; a circle, and what leans on it, fails alone."""
    response = await blobs.call(
        "Blob/upload",
        create={
            "c": {"data": [{"blobId": "#b"}, {"blobId": "#a", "offset": 1}]},
            "x": {"data": [{"blobId": "#y"}]},
            "y": {"data": [{"blobId": "#x"}]},
            "z": {"data": [{"blobId": "#y"}]},
            "s": {"data": [{"blobId": "#s"}]},
            "b": {"data": [{"blobId": "#a"}, {"data:asText": "!"}]},
            "a": {"data": [TEXT]},
        },
    )
    assert await content(blobs, response["created"]["c"]["id"]) == b"abc!bc"
    assert response["created"].keys() == {"a", "b", "c"}
    assert {id: error["type"] for id, error in response["notCreated"].items()} == dict.fromkeys(
        "xyzs", "invalidProperties"
    )


async def test_reference_to_what_failed(blobs: Blobs) -> None:
    """A blob whose source was not created is not created, even if the id stood for something before."""
    first, second = await blobs.request(
        ("Blob/upload", {"create": {"a": {"data": [TEXT]}}}),
        ("Blob/upload", {"create": {"a": {"data": [{}]}, "b": {"data": [{"blobId": "#a"}]}}}),
    )
    assert first["created"]
    assert second["created"] is None
    assert second["notCreated"]["b"] == {"type": "blobNotFound", "notFound": ["#a"]}


@pytest.mark.parametrize(
    "source",
    [
        {},
        None,
        "abc",
        {"data:asText": None},
        {"data:asText": "a", "data:asBase64": "YQ=="},
        {"data:asText": 5},
        {"data:asText": "\ud800"},
        {"data:asText": "a", "offset": 0},
        {"data:asBase64": "YQ"},
        {"data:asBase64": "YQ=="[:3]},
        {"data:asBase64": "Y Q=="},
        {"data:asBase64": "YWJj\n"},
        {"data:asBase64": "YWJj="},
        {"data:asBase64": "_-8="},
        {"data:asBase64": "é==="},
        {"blobId": "not an id"},
        {"blobId": ["x"]},
        {"blobId": "u_0", "offset": -1},
        {"blobId": "u_0", "length": "1"},
        {"blobId": "u_0", "size": 1},
        {"url": "https://example.com/"},
    ],
)
async def test_nothing_is_guessed(blobs: Blobs, source: Any) -> None:
    """What is not exactly a data source fails its creation, and only that, with the property named."""
    response = await blobs.call("Blob/upload", create={"bad": {"data": [TEXT, source]}, "good": {"data": [TEXT]}})
    assert response["notCreated"]["bad"]["type"] == "invalidProperties"
    assert response["notCreated"]["bad"]["properties"] == ["data"]
    assert response["created"]["good"]["size"] == 3


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, ["data"]),
        ({"data": None}, ["data"]),
        ({"data": [], "type": "no\ntype"}, ["type"]),
        ({"data": [], "type": 5}, ["type"]),
        ({"data": [], "name": "x", "id": "y"}, ["name", "id"]),
    ],
)
async def test_invalid_objects(blobs: Blobs, given: dict[str, Any], named: list[str]) -> None:
    error = (await blobs.call("Blob/upload", create={"b": given}))["notCreated"]["b"]
    assert (error["type"], error["properties"]) == ("invalidProperties", named)


async def test_ranges_must_be_there(blobs: Blobs) -> None:
    """A range that begins or extends past the end of its blob is invalid; one that ends with it is not."""
    id = await blobs.put(b"abc")
    email = await blobs.world.deliver("Subject: x\n\nabc")
    for blob in (id, f"p1_{email}"):
        for offset, length in ((0, 3), (3, None), (3, 0), (1, 2)):
            made = await upload(blobs, {"blobId": blob, "offset": offset, "length": length})
            assert made["size"] == (3 - offset if length is None else length)
        for offset, length in ((0, 4), (4, None), (4, 0), (3, 1)):
            error = await upload(blobs, {"blobId": blob, "offset": offset, "length": length})
            assert (error["type"], error["properties"]) == ("invalidProperties", ["data"])


async def test_not_found(blobs: Blobs) -> None:
    """A source that does not exist, is another account's or has expired is named."""
    theirs, expired = await blobs.put(b"theirs", "A2"), await blobs.put(b"mine")
    blobs.clock.now += 24 * 3600
    for id in ("u_x", "m_nothing", "#nothing", theirs, expired):
        error = await upload(blobs, TEXT, {"blobId": id})
        assert error == {"type": "blobNotFound", "notFound": [id]}


async def test_limits(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """maxSizeBlobSet, maxDataSources and maxObjectsInSet are enforced as advertised; so is what one call may read."""
    half = await blobs.put(b"x" * 5000)
    assert (await upload(blobs, {"blobId": half}, {"blobId": half}))["size"] == 10_000
    assert (await upload(blobs, {"blobId": half}, {"blobId": half}, TEXT))["type"] == "tooLarge"
    assert (await upload(blobs, {"data:asText": "x" * 10_001}))["type"] == "tooLarge"
    email = await blobs.world.deliver("Subject: x\n\n" + "line\n" * 3000)
    assert (await upload(blobs, {"blobId": f"m_{email}"}))["type"] == "tooLarge"
    assert blobs.world.streaming == 0
    assert (await upload(blobs, *[TEXT] * MAX_DATA_SOURCES))["size"] == 3 * MAX_DATA_SOURCES
    assert (await upload(blobs, *[TEXT] * (MAX_DATA_SOURCES + 1)))["type"] == "invalidProperties"
    many: dict[str, Any] = {f"b{at}": {"data": []} for at in range(51)}
    assert (await blobs.call("Blob/upload", create=many))["error"] == "requestTooLarge"
    monkeypatch.setattr(blob_range.Allowance, "__init__", lambda self: setattr(self, "_octets_left", 9000))
    assert (await upload(blobs, {"blobId": half}, {"blobId": half}))["type"] == "rateLimit"


async def test_nothing_stays_of_what_failed(blobs: Blobs) -> None:
    await upload(blobs, {"data:asText": "kept?"}, {"blobId": "m_nothing"})
    assert await blobs.uploads.open("A1", blob_id(b"kept?").removeprefix("u_")) is None
    assert list(blobs.uploads._incoming.iterdir()) == []


async def test_same_lifetime_as_an_upload(blobs: Blobs) -> None:
    """RFC 9404 section 4.1: the same expiry as any other blob; uploading anew begins it anew."""
    id = (await upload(blobs, TEXT))["id"]
    blobs.clock.now += 23 * 3600
    await upload(blobs, TEXT)
    blobs.clock.now += 23 * 3600
    assert await content(blobs, id) == b"abc"
    blobs.clock.now += 3600
    assert (await blobs.call("Blob/get", ids=[id]))["notFound"] == [id]


async def test_a_full_disk(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing disk is told for the blob that it fails; nothing of its reason reaches the client."""

    async def full(*_arguments: Any) -> Any:
        raise OSError(28, "No space left on device: /secret/place")

    monkeypatch.setattr(blobs.uploads, "put", full)
    error = await upload(blobs, TEXT)
    assert error["type"] == "serverFail"
    assert "secret" not in error["description"]


async def test_arguments(blobs: Blobs) -> None:
    cases: list[Any] = [None, [], {"b b": {"data": []}}, {"b": []}]
    for create in cases:
        assert (await blobs.call("Blob/upload", create=create))["error"] == "invalidArguments"
    assert (await blobs.call("Blob/upload", create={}))["created"] is None
    assert (await blobs.call("Blob/upload", create={}, update={}))["error"] == "invalidArguments"
