"""Messages built: valid MIME, the size known beforehand, blobs streamed."""

from __future__ import annotations

import email
import email.policy
import random
import re
import tracemalloc
from collections.abc import AsyncGenerator, Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.message.body import body_value
from gateway.message.build import (
    ContentChanged,
    NewMessage,
    NewPart,
    Octets,
    Text,
    base64_lines,
    base64_size,
    build_message,
    encode_text,
)
from gateway.message.charset import json_safe
from gateway.message.parse import parse_message
from gateway.message.transfer import decode_transfer

Open = Callable[[], AsyncGenerator[bytes, None]]
FIELDS = [b"From: me@example.org\r\n", b"Date: Thu, 29 Feb 2024 10:00:00 +0000\r\n"]


def source(data: bytes, *, step: int = 1000) -> Open:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b""
        for at in range(0, len(data), step):
            yield data[at : at + step]

    return chunks


async def octets_of(message: NewMessage) -> bytes:
    octets = b"".join([chunk async for chunk in message.octets()])
    assert len(octets) == message.size_octets
    return octets


def check_lines(octets: bytes) -> None:
    assert octets.count(b"\n") == octets.count(b"\r\n")
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))


async def built(root: NewPart) -> bytes:
    octets = await octets_of(await build_message(FIELDS, root))
    check_lines(octets)
    return octets


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400).map(json_safe))
@example("")
@example("\n")
@example("From me\nFrom you\n.\n..\n-- \n")
@example("a" * 3000)
@example("é" * 3000)
@example("tab\t \nblank \n")
@example("bare \r in it, é")
@example("CRLF\r\nLF\n")
@example("=20 is no code\n")
@example("日本語\n" * 50)
@settings(deadline=None)
async def test_text(value: str) -> None:
    """A text comes back as it was, LF for its line ends; its lines are short ASCII."""
    octets = await built(NewPart("text/plain", {"charset": "utf-8"}, content=Text(value)))
    assert octets.isascii()
    assert all(len(line) <= 78 for line in octets.split(b"\r\n"))
    parsed = parse_message(octets)
    text, problem = body_value(parsed.section("1"), parsed.root)
    assert (text, problem) == (value.replace("\r\n", "\n"), False)
    assert b"\r\nFrom " not in octets.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        ("short lines\nof ASCII\n", "7bit"),
        ("x" * 79, "quoted-printable"),
        ("Viele Grüße aus Köln, liebe Leute\n", "quoted-printable"),
        ("Всем большой привет из Москвы", "base64"),
        ("a\0b", "quoted-printable"),
        ("bare\rCR", "base64"),
        ("From here", "quoted-printable"),
    ],
)
async def test_encodings(value: str, encoding: str) -> None:
    """What is readable stays readable."""
    assert (await encode_text(value))[0] == encoding


@given(st.integers(0, 700))
def test_base64_size(size: int) -> None:
    """The size of base64 is known exactly beforehand."""
    assert len(base64_lines(bytes(size))) == base64_size(size)


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 57 * 4096 - 1, 57 * 4096, 57 * 4096 + 1, 1_000_003])
@pytest.mark.parametrize("is_known", [True, False])
async def test_blob(size: int, is_known: bool) -> None:
    """A blob is in base64, its octets exact, whether its size is known or has to be counted; it can be read again."""
    data = random.Random(size).randbytes(size)
    blob = NewPart("image/png", content=Octets(source(data, step=10_007), size if is_known else None))
    message = await build_message(FIELDS, NewPart("multipart/mixed", subparts=(blob, blob)))
    octets = await octets_of(message)
    assert octets == await octets_of(message)
    check_lines(octets)
    parsed = parse_message(octets)
    for section in ("1", "2"):
        assert decode_transfer(parsed.section(section), "base64") == (data, False)


@pytest.mark.parametrize("size", [99, 101])
async def test_blob_that_changed(size: int) -> None:
    """A blob of another size than it was said to have ends the message with an error, not with other octets."""
    message = await build_message(FIELDS, NewPart("image/png", content=Octets(source(bytes(1000)), 10 * size)))
    with pytest.raises(ContentChanged):
        await octets_of(message)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"Subject: x\r\n\r\nbody\r\n", "7bit"),
        (b"Subject: x\n\nbody\rbody", "7bit"),
        ("Subject: ü\r\n\r\nbody".encode(), "8bit"),
        (b"Subject: x\r\n\r\n" + b"x" * 999, "base64"),
        (b"Subject: x\r\n\r\n\0", "base64"),
    ],
)
async def test_attached_message(data: bytes, encoding: str) -> None:
    """An attached message is not encoded, unless nothing else can carry it (RFC 2046 section 5.2.1)."""
    message = NewPart("message/rfc822", content=Octets(source(data, step=3), len(data)))
    octets = await built(NewPart("multipart/mixed", subparts=(message,)))
    parsed = parse_message(octets)
    (part,) = parsed.root.subparts
    assert part.encoding == encoding
    expected = data if encoding == "base64" else re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    assert decode_transfer(parsed.section("1"), encoding)[0] == expected


async def test_tree() -> None:
    """A tree keeps its shape, for Python's own parser too, and MIME-Version is supplied once."""
    text, html = NewPart("text/plain", content=Text("t")), NewPart("text/html", content=Text("h"))
    image = NewPart("image/png", fields=(b"Content-ID: <a@b>\r\n",), content=Octets(source(b"\x89PNG"), 4))
    related = NewPart("multipart/related", {"type": "text/html"}, subparts=(html, image))
    root = NewPart("multipart/mixed", subparts=(NewPart("multipart/alternative", subparts=(text, related)), image))
    octets = await built(root)
    shape = ["mixed", "alternative", "plain", "related", "html", "png", "png"]
    assert [part.type.partition("/")[2] for part in parse_message(octets).root.walk()] == shape
    theirs = email.message_from_bytes(octets, policy=email.policy.default)
    assert [part.get_content_subtype() for part in theirs.walk()] == shape
    assert [part.defects for part in theirs.walk()] == [[]] * 7
    assert octets.lower().count(b"mime-version:") == 1
    assert theirs["MIME-Version"] == "1.0"


async def test_boundaries() -> None:
    """A text that holds what looks like a boundary does no harm: boundaries are drawn at random."""
    first = await built(NewPart("multipart/mixed", subparts=(NewPart("text/plain", content=Text("x")),)))
    line = next(line for line in first.split(b"\r\n") if line.startswith(b"--=_"))
    again = await built(NewPart("multipart/mixed", subparts=(NewPart("text/plain", content=Text(line.decode())),)))
    assert len(parse_message(again).root.subparts) == 1
    assert again.count(line) == 1


async def test_utf8_headers() -> None:
    """The message says whether its header needs UTF-8."""
    root = NewPart("text/plain", content=Text("ü"))
    assert not (await build_message(FIELDS, root)).has_utf8_headers
    assert (await build_message([*FIELDS, "To: ü@x\r\n".encode()], root)).has_utf8_headers


async def test_memory() -> None:
    """Of a large blob no more than a piece is held."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        for _ in range(160):
            yield bytes(256 * 1024)

    message = await build_message(FIELDS, NewPart("image/png", content=Octets(chunks, 160 * 256 * 1024)))
    tracemalloc.start()
    count = 0
    async for chunk in message.octets():
        count += len(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == message.size_octets > 50_000_000
    assert peak < 8_000_000
