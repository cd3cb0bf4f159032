"""Messages measured before they are stored anew."""

from __future__ import annotations

import pytest

from gateway.message.build import ContentChanged
from gateway.message.measure import KEPT_OCTETS, measure
from tests.message.test_build import source


@pytest.mark.parametrize("size", [0, 10, KEPT_OCTETS - 20, KEPT_OCTETS + 20, 3 * KEPT_OCTETS])
async def test_octets(size: int) -> None:
    """Line ends become CRLF, NULs go, nothing else changes; the size is that of what is given, again and again."""
    data = b"Subject: x\n\n" + b"word\0 \xe9\n" * (size // 8)
    measured = await measure(source(data, step=777))
    expected = data.replace(b"\0", b"").replace(b"\n", b"\r\n")
    for _ in range(2):
        assert b"".join([chunk async for chunk in measured.octets()]) == expected
    assert measured.size_octets == len(expected)


@pytest.mark.parametrize(
    ("data", "is_message"),
    [
        (b"From: a@b\r\nSubject: x\r\n\r\nbody", True),
        (b"Received: by x; Thu, 1 Jan 2026 00:00:00 +0000\r\nX: y\r\n\r\n", True),
        (b"subject: x", True),
        ("From: ü@b\r\n\r\n".encode(), True),
        (b"", False),
        (b"this is not an email", False),
        (b"this: is not one either\r\n", False),
        (b"\x89PNG\r\n\x1a\nFrom: a@b\r\n", False),
        (b"\r\nFrom: a@b\r\n\r\n", False),
        (b"no field\r\nFrom: a@b\r\n\r\n", False),
    ],
)
async def test_is_message(data: bytes, is_message: bool) -> None:
    """A message begins with a header field, and has one that messages have."""
    assert (await measure(source(data))).is_message is is_message


async def test_received() -> None:
    """The time of receipt is that of the first Received field, the most recent one."""
    data = b"Received: from a (b; c)\r\n by d; Thu, 1 Jan 2026 00:00:01 +0100\r\nReceived: x; 1 Jan 2020 00:00:00 +0000"
    assert (await measure(source(data))).received_at_s == 1767222001
    assert (await measure(source(b"Received: from nowhere"))).received_at_s is None
    assert (await measure(source(b"Subject: x"))).received_at_s is None


async def test_utf8() -> None:
    """Only a header that is UTF-8 counts as one, and bodies do not."""
    assert (await measure(source("Subject: ü\r\n\r\n".encode()))).has_utf8_headers
    assert not (await measure(source("Subject: ü\r\n\r\n".encode("latin-1")))).has_utf8_headers
    assert not (await measure(source("Subject: x\r\n\r\nü".encode()))).has_utf8_headers


async def test_changed() -> None:
    """A large message that is another one when it is read again is an error."""
    data = [b"Subject: x\r\n\r\n" + b"x" * KEPT_OCTETS]

    measured = await measure(lambda: source(data[0])())
    data[0] += b"y"
    with pytest.raises(ContentChanged):
        async for _chunk in measured.octets():
            pass
