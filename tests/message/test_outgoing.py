"""A message on its way out: without Bcc, with CRLF, and otherwise as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message.headers import header_end, parse_fields
from gateway.message.lines import LineEnds
from gateway.message.outgoing import MAX_HEADER_OCTETS, HeaderTooLong, Outgoing


def sent(data: bytes, step: int = 1 << 20) -> tuple[bytes, Outgoing]:
    outgoing = Outgoing()
    octets = b"".join(outgoing.feed(data[at : at + step]) for at in range(0, len(data), step)) + outgoing.finish()
    assert outgoing.size_octets == len(octets)
    return octets, outgoing


@pytest.mark.parametrize(
    ("header", "left"),
    [
        (b"To: a\r\nBcc: b\r\nCc: c\r\n", b"To: a\r\nCc: c\r\n"),
        (b"BCC : b,\r\n c,\r\n\td\r\nTo: a\r\n", b"To: a\r\n"),
        (b"bcc:\r\nResent-Bcc: x\r\nResent-bcc: y\r\n z\r\n", b""),
        (b"Bcc: b\nTo: a\n", b"To: a\r\n"),
        (b"X-Bcc: b\r\nSubject: Bcc: b\r\n Bcc: c\r\n", b"X-Bcc: b\r\nSubject: Bcc: b\r\n Bcc: c\r\n"),
    ],
)
def test_blind_recipients_go(header: bytes, left: bytes) -> None:
    """Folded, twice, in any case; and nothing that only looks like them. The envelope is made before."""
    for step in (1, 2, 3, 1000):
        octets, outgoing = sent(header + b"\r\nBcc: in the body\r\n", step)
        assert octets == left + b"\r\nBcc: in the body\r\n"
        assert outgoing.fields == tuple(parse_fields(header + b"\r\n")) or b"\n" in header.replace(b"\r\n", b"")


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\nbody", b"To: a", b"To: a\r\n", b"Bcc: b", b"Bcc: b\r\n c"])
def test_what_ends_early(data: bytes) -> None:
    octets, _ = sent(data)
    assert octets == (b"" if data.startswith(b"Bcc") else data)


def test_what_servers_have_to_be_told() -> None:
    assert not sent(b"Subject: x\r\n\r\ny")[1].is_8bit
    assert sent(b"Subject: x\r\n\r\n\xff")[1].is_8bit
    assert not sent(b"Subject: x\r\n\r\n\xff")[1].has_utf8_headers
    assert sent("Subject: ü\r\n\r\ny".encode())[1].has_utf8_headers
    assert not sent(b"Subject: \xfc\r\n\r\ny")[1].has_utf8_headers
    assert not sent("Bcc: ü@x.example\r\nTo: a\r\n\r\ny".encode())[1].has_utf8_headers


def test_a_header_without_end_is_refused() -> None:
    """It could hide a Bcc that goes out."""
    with pytest.raises(HeaderTooLong):
        sent(b"X: " + b"y" * (MAX_HEADER_OCTETS + 10), 65536)
    with pytest.raises(HeaderTooLong):
        sent(b"X: " + b"y" * (MAX_HEADER_OCTETS + 10) + b"\r\nBcc: b\r\n\r\n")


@given(
    st.lists(st.sampled_from([b"Bcc: x", b"To: y", b" z", b"\r\n", b"\n", b"\r", b"", b".", b"\0", b"body\xff"])),
    st.integers(1, 9),
)
def test_however_it_is_cut(pieces: list[bytes], step: int) -> None:
    """The same octets come out, with line ends of one kind, and no Bcc in what a reader takes for the header."""
    data = b"".join(pieces)
    octets, _outgoing = sent(data, step)
    assert octets == sent(data)[0]
    lines = LineEnds()
    whole = lines.feed(data) + lines.finish()
    assert octets.endswith(whole[header_end(whole) :])
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert not [name for name, _value in parse_fields(octets) if name.lower() == "bcc"]
