"""Content-Transfer-Encoding, whole and in pieces (RFC 2045 section 6)."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message.transfer import decode_transfer, decoder


@pytest.mark.parametrize(
    ("encoding", "data", "decoded", "problem"),
    [
        ("7bit", b"a=\r\n", b"a=\r\n", False),
        ("8BIT", b"\xff", b"\xff", False),
        ("binary", b"\0", b"\0", False),
        ("", b"a", b"a", False),
        ("x-uuencode", b"a", b"a", True),
        ("BASE64", b"SGVs\r\n bG8=\r\n", b"Hello", False),
        ("base64", b"SGVsbG8", b"Hello", False),
        ("base64", b"SGVs*bG8=", b"Hello", True),
        ("base64", b"SGVsbG8=V29ybGQ=", b"HelloWorld", False),
        ("base64", b"SGVsb", b"Hel", True),
        ("base64", b"====", b"", False),
        ("base64", b"", b"", False),
        ("quoted-printable", b"a=3D=C3=A9=\r\nb  \r\nc\t", "a=éb\r\nc".encode(), False),
        ("quoted-printable", b"a=  \nb", b"ab", False),
        ("quoted-printable", b"=ZZ =3 ==41 =", b"=ZZ =3 =A ", True),
        ("quoted-printable", b"a=\rb\n", b"a=\rb\n", True),
        ("quoted-printable", b"=c3=a9_", "é_".encode(), False),
    ],
)
def test_decode(encoding: str, data: bytes, decoded: bytes, problem: bool) -> None:
    """Good code gives its octets; bad code gives what it can, and says so."""
    assert decode_transfer(data, encoding) == (decoded, problem)


@given(st.binary(max_size=300))
def test_what_was_encoded_comes_back(octets: bytes) -> None:
    """Decoding undoes encoding."""
    assert decode_transfer(base64.encodebytes(octets), "base64") == (octets, False)
    assert decode_transfer(quopri.encodestring(octets.replace(b"\r", b"")), "quoted-printable") == (
        octets.replace(b"\r", b""),
        False,
    )


_CODE = st.lists(
    st.sampled_from(
        [b"=", b"=4", b"=41", b"==", b"\r", b"\n", b"\r\n", b" ", b"\t", b"A", b"QUJD", b"Q", b"*", b"\xff"]
    ),
    max_size=30,
)


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit", "x-none"])
@given(pieces=_CODE)
def test_pieces_decode_as_the_whole(encoding: str, pieces: list[bytes]) -> None:
    """However a stream is cut, even octet by octet, the result is the same."""
    whole = b"".join(pieces)
    expected = decode_transfer(whole, encoding)
    for cut in (pieces, [whole[at : at + 1] for at in range(len(whole))]):
        decode = decoder(encoding)
        octets = b"".join([decode.feed(piece) for piece in cut]) + decode.finish()
        assert (octets, decode.problem) == expected
