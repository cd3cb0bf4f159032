"""The MIME parser: sections, spans, limits and time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings

from gateway.message.parse import MAX_DEPTH, MAX_PARTS, parse_message
from tests.message.as_jmap import as_jmap
from tests.message.strategies import mail_octets

_MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def test_sections_give_octets_and_headers() -> None:
    """Each section is the part's own octets, without the line break that belongs to the delimiter."""
    message = parse_message(
        _MIXED
        + b"preamble\r\n--b\r\nX: 1\r\n\r\none\r\n\r\n--b\r\n"
        + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n"
        b"--c\r\n\r\ntwo\r\n--c--\r\n--b--\r\nepilogue"
    )
    assert [part.section for part in message.root.walk()] == ["", "1", "2", "2.1"]
    assert message.section("1") == b"one\r\n"
    assert message.part_header("1") == b"X: 1\r\n\r\n"
    assert message.section("2.1") == b"two"
    assert message.section("2") == b"--c\r\n\r\ntwo\r\n--c--"
    assert message.part_header("") == message.header_block == _MIXED
    assert message.section("3") == b""


def test_a_single_part_has_section_1() -> None:
    """The body of a message that is no multipart is section 1; its header is the message's."""
    message = parse_message(b"Subject: x\r\n\r\nbody")
    assert message.root.section == "1"
    assert message.section("1") == b"body"
    assert message.part_header("1") == b"Subject: x\r\n\r\n"


def test_sizes_are_after_decoding() -> None:
    """`size` counts the octets a download gives."""
    message = parse_message(b"Content-Transfer-Encoding: base64\r\n\r\nSGVs\r\nbG8=\r\n")
    assert (message.root.encoded_octets, message.root.decoded_octets) == (12, 5)


def test_parts_are_limited() -> None:
    """Past the limit the rest stays in the last part."""
    message = parse_message(_MIXED + b"--b\r\n\r\nx\r\n" * (MAX_PARTS + 100))
    assert sum(1 for _ in message.root.walk()) == MAX_PARTS
    assert message.section(str(MAX_PARTS - 1)).count(b"--b") == 100 + 1


def test_depth_is_limited() -> None:
    """Past the limit a multipart is one leaf of octets."""
    data = b"Content-Type: multipart/mixed; boundary=q000\r\n\r\n" + b"".join(
        b"--q%03d\r\nContent-Type: multipart/mixed; boundary=q%03d\r\n\r\n" % (depth, depth + 1) for depth in range(300)
    )
    part, depth = parse_message(data).root, 1
    while part.subparts:
        part, depth = part.subparts[0], depth + 1
    assert depth == MAX_DEPTH
    assert part.type == "application/octet-stream"


_NESTED = b"Content-Type: multipart/mixed; boundary=q000\r\n\r\n" + b"".join(
    b"--q%03d\r\nContent-Type: multipart/mixed; boundary=q%03d\r\n\r\n" % (depth, depth + 1) for depth in range(60)
)


@pytest.mark.parametrize(
    "data",
    [
        _MIXED + b"--b\r\n" * 100_000,
        _MIXED + b"--x\r\n" * 100_000,
        _NESTED + b"--q\r\n" * 100_000,
        _NESTED + b"--q060\r\n" * 100_000,
        _NESTED + b"--q000\r\n" * 100_000,
        _MIXED + b"--b\r\n" + b"x: y\r\n" * 100_000,
        b"x: y\r\n" * 100_000,
        b"\r\n" * 500_000,
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"A=" * 500_000,
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"= " * 500_000,
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b" " * 1_000_000,
        b"Content-Type: text/plain; " + b"(" * 300_000,
        b"Content-Type: text/plain; " + b'a="\\' * 100_000,
        b"Content-Type: text/plain; name=" + b"=?a?q?" * 50_000,
        b"Content-Type: text/plain; name=" + b"=?utf-8?q?a?=" * 20_000,
        b"Content-Type: text/plain; name=\"" + b"=?utf-8?q?" * 20_000,
        b"Content-ID: " + b"<" * 300_000,
    ],
    ids=lambda data: repr(data[-12:]),
)  # fmt: skip
def test_time_is_linear(data: bytes) -> None:
    """Hostile structure takes no more time than its length asks for."""
    begun = time.process_time()
    parse_message(data)
    assert time.process_time() - begun < 10.0  # a quadratic one takes minutes


@settings(max_examples=300, deadline=None)
@given(mail_octets)
def test_anything_is_a_message(octets: bytes) -> None:
    """Any octets give an Email, of which every text can be written as UTF-8, with or without a multipart around."""
    for data in (octets, _MIXED + octets, _MIXED + b"--b\r\n" + octets):
        repr(as_jmap(data)).encode()
