"""Commands on their way out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.imap.encode import WAIT, Dialect, Line, LiteralMode, Stream, Unencodable
from gateway.upstream.imap.names import MailboxNames


def octets(line: Line) -> bytes:
    return b"".join(piece for piece in line.pieces(b"t") if isinstance(piece, bytes))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("INBOX", b"INBOX"),
        ("", b'""'),
        ("nil", b'"nil"'),
        ("a b", b'"a b"'),
        ('say "hi" \\', b'"say \\"hi\\" \\\\"'),
        ("a]b", b'"a]b"'),
        ("a*", b'"a*"'),
        ("a%", b'"a%"'),
        ("(", b'"("'),
        ("a\nb", b"{3}\r\na\nb"),
        ("ü", b"{2}\r\n\xc3\xbc"),
    ],
)
def test_strings(value: str, written: bytes) -> None:
    """The shortest form that is safe."""
    assert octets(Line(Dialect(), "X ").string(value)) == b"t X " + written + b"\r\n"


def test_utf8_is_quoted_once_enabled() -> None:
    """UTF8=ACCEPT allows UTF-8 between quotes (RFC 6855 section 3)."""
    dialect = Dialect(MailboxNames(utf8=True))
    assert octets(Line(dialect, "X ").mailbox("Entwürfe")) == 't X "Entwürfe"\r\n'.encode()
    assert octets(Line(dialect, "X ").string(b"\xff")) == b"t X {1}\r\n\xff\r\n"


@pytest.mark.parametrize("text", ["a\r\nb2 LOGOUT", "a\nb", "a\rb", "a\0b"])
def test_text_cannot_end_the_line(text: str) -> None:
    """Items, sets and keys from callers cannot smuggle in a command."""
    with pytest.raises(Unencodable):
        Line(Dialect(), "UID FETCH 1 ").raw(text)


def test_refused_values() -> None:
    """NUL fits in no string, a lone surrogate in no name."""
    for value in ("a\0b", b"\0"):
        with pytest.raises(Unencodable):
            Line(Dialect()).string(value)
    for refused in (Line(Dialect()).mailbox, Line(Dialect()).pattern, Line(Dialect()).string):
        with pytest.raises(Unencodable):
            refused("\ud800")


@given(st.binary(max_size=100).filter(lambda value: 0 not in value), st.sampled_from(LiteralMode))
def test_no_string_breaks_out(value: bytes, mode: LiteralMode) -> None:
    """A CR or LF is on the wire only inside a literal of announced length, or at the end of the command."""
    written = octets(Line(Dialect(literals=mode), "X ").string(value)).removeprefix(b"t X ").removesuffix(b"\r\n")
    if written.startswith(b"{"):
        announced = b"{%d%s}\r\n" % (len(value), b"" if mode is LiteralMode.SYNCHRONIZING else b"+")
        assert written == announced + value
    else:
        assert b"\r" not in written
        assert b"\n" not in written


@pytest.mark.parametrize(
    ("mode", "size", "waits"),
    [
        (LiteralMode.SYNCHRONIZING, 1, True),
        (LiteralMode.MINUS, 4096, False),
        (LiteralMode.MINUS, 4097, True),
        (LiteralMode.PLUS, 5000, False),
    ],
)
def test_literals_wait_where_they_must(mode: LiteralMode, size: int, waits: bool) -> None:
    """LITERAL- spares the wait up to 4,096 octets, LITERAL+ always (RFC 7888)."""
    pieces = Line(Dialect(literals=mode), "X ").literal(b"z" * size).raw(" Y").pieces(b"t")
    assert (WAIT in pieces) is waits
    if waits:
        assert pieces == [b"t X {%d}\r\n" % size, WAIT, b"z" * size + b" Y\r\n"]


async def test_streams_keep_their_place() -> None:
    """A streamed literal stands between its announcement and the rest."""

    async def source() -> AsyncIterator[bytes]:
        yield b"abc"

    stream = Stream(3, source())
    assert Line(Dialect(), "APPEND x ").stream(stream).pieces(b"t") == [b"t APPEND x {3}\r\n", WAIT, stream, b"\r\n"]
    plus = Line(Dialect(literals=LiteralMode.PLUS), "APPEND x ").stream(stream).pieces(b"t")
    assert plus == [b"t APPEND x {3+}\r\n", stream, b"\r\n"]
