"""GET the downloadUrl (RFC 8620 section 6.2)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from gateway.web.download import disposition
from tests.web.conftest import BASIC, Client, Parts

UPLOAD, MESSAGE, PART = "u_" + "a" * 64, "m_Mabc", "p1-2_Mabc"
TEN = b"0123456789"


@pytest.fixture
async def base(client: Client, parts: Parts) -> str:
    await client.get("/.well-known/jmap", headers=BASIC)
    parts.blobs = {UPLOAD: [TEN[:4], TEN[4:]], MESSAGE: [TEN], PART: [b"x" * 200_000] * 5}
    parts.sizes = {UPLOAD: 10, PART: 1_000_000}
    return f"/jmap/download/{parts.account_id}"


async def get(client: Client, url: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    async with client.get(URL(url, encoded=True), headers={**BASIC, **headers}) as answer:
        return answer, await answer.read()


async def test_download(client: Client, base: str, parts: Parts) -> None:
    """Content-Type is the type asked for; a browser is told to save and to run nothing; caches may keep it."""
    answer, body = await get(client, f"{base}/{UPLOAD}/a.txt?type=text/plain;charset=utf-8".replace(";", "%3B"))
    assert answer.status == 200
    assert body == TEN
    assert answer.headers["Content-Type"] == "text/plain;charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert answer.headers["Cache-Control"] == "private, immutable, max-age=31536000"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["Content-Length"] == "10"
    assert parts.closed == [UPLOAD]


@pytest.mark.parametrize("tail", ["/", "", "/?type=text/plain", "?type=text/plain"])
async def test_an_empty_name_routes(client: Client, base: str, tail: str) -> None:
    answer, body = await get(client, f"{base}/{UPLOAD}{tail}")
    assert (answer.status, body) == (200, TEN)
    assert answer.headers["Content-Disposition"] == "attachment"


@pytest.mark.parametrize("name", ["a/b.txt", "grüße 100%.pdf", '"; x=y', "a\r\nX-Evil: 1", "..", "%2F", "日本"])
async def test_names(client: Client, base: str, name: str) -> None:
    """Whatever the name holds comes back as the file name and as nothing else."""
    answer, body = await get(client, f"{base}/{UPLOAD}/{quote(name, safe='')}".replace("/..", "/%2E%2E"))
    assert (answer.status, body) == (200, TEN)
    assert "X-Evil" not in answer.headers
    found = answer.content_disposition
    assert found is not None
    assert found.type == "attachment"
    assert found.filename == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "attachment"),
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ("ä.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A4.txt"),
        ('a"b\\c', "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
        ("a\r\nb", "attachment; filename=\"a__b\"; filename*=UTF-8''a%0D%0Ab"),
        ("\ud800", 'attachment; filename="?"'),
    ],
)
def test_disposition(name: str, expected: str) -> None:
    assert disposition(name) == expected


@pytest.mark.parametrize(
    "asked", ["", "text", "text/plain\r\nX-Evil: 1", "text/plain; a", "a/b;c=ä", "text/html\x00", "a/" + "b" * 300]
)
async def test_types_that_are_none(client: Client, base: str, asked: str) -> None:
    """What is no media type becomes plain octets, and never a header."""
    answer, _body = await get(client, f"{base}/{UPLOAD}/x?type={quote(asked)}")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert "X-Evil" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, TEN, "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=3-1", 200, TEN, None),
        ("bytes=0-1,3-4", 200, TEN, None),
        ("lines=1-2", 200, TEN, None),
        ("bytes=-", 200, TEN, None),
    ],
)
@pytest.mark.parametrize("blob", [UPLOAD, MESSAGE])
async def test_ranges(
    client: Client, base: str, blob: str, asked: str, status: int, body: bytes | None, content_range: str | None
) -> None:
    answer, got = await get(client, f"{base}/{blob}/x", Range=asked)
    assert answer.status == status
    assert answer.headers.get("Content-Range") == content_range
    assert body is None or got == body


async def test_range_in_a_large_blob(client: Client, base: str) -> None:
    """A range is cut out of the stream across chunks, and the stream is closed."""
    answer, body = await get(client, f"{base}/{PART}/x", Range="bytes=399990-400009")
    assert (answer.status, len(body)) == (206, 20)


async def test_if_range(client: Client, base: str) -> None:
    assert (await get(client, f"{base}/{UPLOAD}/x", **{"Range": "bytes=0-0", "If-Range": '"other"'}))[0].status == 200
    assert (await get(client, f"{base}/{UPLOAD}/x", **{"Range": "bytes=0-0", "If-Range": f'"{UPLOAD}"'}))[
        0
    ].status == 206


async def test_not_modified(client: Client, base: str) -> None:
    answer, body = await get(client, f"{base}/{UPLOAD}/x", **{"If-None-Match": f'"{UPLOAD}"'})
    assert (answer.status, body) == (304, b"")


async def test_large_and_of_unknown_length(client: Client, base: str, parts: Parts) -> None:
    parts.blobs[MESSAGE] = [b"y" * 100_000] * 10
    answer, body = await get(client, f"{base}/{MESSAGE}/x", Range="bytes=0-1")
    assert (answer.status, len(body)) == (200, 1_000_000)
    assert "Content-Length" not in answer.headers


async def test_empty_blob(client: Client, base: str, parts: Parts) -> None:
    parts.blobs[MESSAGE] = []
    answer, body = await get(client, f"{base}/{MESSAGE}/x")
    assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", "0")


async def test_head(client: Client, base: str) -> None:
    async with client.head(f"{base}/{UPLOAD}/x", headers=BASIC) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "10")


@pytest.mark.parametrize("fault", ["raises", "is shorter than announced"])
async def test_a_stream_that_fails_half_way(client: Client, base: str, parts: Parts, fault: str) -> None:
    """The connection breaks, so that nobody takes a part for the whole."""
    if fault == "raises":
        parts.blobs[PART] = OSError("gone")
    else:
        parts.sizes[PART] = 2_000_000
    with pytest.raises(aiohttp.ClientError):
        await get(client, f"{base}/{PART}/x")
    assert parts.closed == [PART]


@pytest.mark.parametrize("path", ["{base}/u_unknown/x", "{base}/m_Mnone/x", "/jmap/download/other/m_Mabc/x"])
async def test_not_found(client: Client, base: str, path: str) -> None:
    answer, _body = await get(client, path.format(base=base))
    assert answer.status == 404
    assert answer.content_type == "application/problem+json"


async def test_needs_a_login(client: Client, base: str) -> None:
    answer: Any = await client.get(f"{base}/{UPLOAD}/x")
    assert answer.status == 401
