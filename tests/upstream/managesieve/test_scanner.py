"""`upstream.managesieve.scanner`, `lexer` and `response`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.managesieve import encode
from gateway.upstream.managesieve.capabilities import parse_capabilities
from gateway.upstream.managesieve.errors import ProtocolViolation
from gateway.upstream.managesieve.lexer import Token, lex
from gateway.upstream.managesieve.response import Status, parse_line
from gateway.upstream.managesieve.scanner import MAX_LINE_OCTETS, MAX_LITERAL_OCTETS, Scanner

# What Pigeonhole 0.5.19 and Cyrus 3.6.1 really say, and what the grammar allows beside.
STREAM = (
    b'"IMPLEMENTATION" "Dovecot (Debian) Pigeonhole"\r\n"SIEVE" "fileinto vacation"\r\n"STARTTLS"\r\n'
    b'OK "Dovecot (Debian) ready."\r\n'
    b"NO {38}\r\nbad: line 1: error: unknown command.\r\n\r\n"
    b'"a b" ACTIVE\r\n"a \\"quoted\\" one"\r\n{4}\r\nd {3\r\nOK\r\n'
    b'{7}\r\nkeep;\r\n\r\nOK (TAG {1}\r\nx) "Done"\r\n'
    b'NO (QUOTA/MAXSIZE) "Too large {9}"\r\n{0}\r\n\r\nBYE (TRYLATER) "later"\r\n'
)
LINES = [
    b'"IMPLEMENTATION" "Dovecot (Debian) Pigeonhole"',
    b'"SIEVE" "fileinto vacation"',
    b'"STARTTLS"',
    b'OK "Dovecot (Debian) ready."',
    b"NO {38}\r\nbad: line 1: error: unknown command.\r\n",
    b'"a b" ACTIVE',
    b'"a \\"quoted\\" one"',
    b"{4}\r\nd {3",
    b"OK",
    b"{7}\r\nkeep;\r\n",
    b'OK (TAG {1}\r\nx) "Done"',
    b'NO (QUOTA/MAXSIZE) "Too large {9}"',
    b"{0}\r\n",
    b'BYE (TRYLATER) "later"',
]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, len(STREAM)])
def test_any_cut_gives_the_same_lines(step: int) -> None:
    """Fed in pieces of any size, the lines come out whole."""
    scanner, out = Scanner(), []
    for at in range(0, len(STREAM), step):
        out += scanner.feed(STREAM[at : at + step])
    assert out == LINES
    assert scanner.is_idle


def test_a_cut_at_every_octet() -> None:
    """Cut in two anywhere, the stream gives the same lines."""
    for cut in range(len(STREAM) + 1):
        scanner = Scanner()
        assert scanner.feed(STREAM[:cut]) + scanner.feed(STREAM[cut:]) == LINES, cut


@pytest.mark.parametrize(
    "octets",
    [
        b"x" * (MAX_LINE_OCTETS + 1),
        b"{%d}\r\n" % (MAX_LITERAL_OCTETS + 1),
        b"OK\n",
        b"{1}\r\nx" * 9,
    ],
)
def test_what_has_no_end_is_refused(octets: bytes) -> None:
    """A line, a literal and their number are bounded."""
    with pytest.raises(ProtocolViolation):
        Scanner().feed(octets)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (LINES[3], Status("OK", text="Dovecot (Debian) ready.")),
        (LINES[4], Status("NO", text="bad: line 1: error: unknown command.\r\n")),
        (b"ok", Status("OK")),
        (LINES[10], Status("OK", "TAG", ("x",), "Done")),
        (LINES[11], Status("NO", "QUOTA/MAXSIZE", (), "Too large {9}")),
        (LINES[13], Status("BYE", "TRYLATER", (), "later")),
        (b'OK (WARNINGS) {3}\r\n"a"', Status("OK", "WARNINGS", (), '"a"')),
    ],
)
def test_statuses(raw: bytes, status: Status) -> None:
    """Code, its arguments and the text are told apart."""
    assert parse_line(raw) == status


def test_a_script_called_ok_is_no_status() -> None:
    """OK begins a status only as an atom."""
    assert parse_line(b'"OK" ACTIVE') == (Token("string", b"OK"), Token("atom", b"ACTIVE"))


@pytest.mark.parametrize("raw", [b"", b"OK (", b"OK ()", b"OK x", b'OK "a" "b"', b'"a', b"{9}\r\nx", b'OK ("x") "y"'])
def test_nonsense_is_refused(raw: bytes) -> None:
    """What cannot be read ends the connection, not the program."""
    with pytest.raises(ProtocolViolation):
        parse_line(raw)


@given(st.binary(max_size=200))
def test_no_octets_break_the_lexer(raw: bytes) -> None:
    """Any line is tokens or a violation."""
    try:
        lex(raw)
    except ProtocolViolation:
        return


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.integers(1, 9))
def test_what_we_write_can_be_read(values: list[bytes], step: int) -> None:
    """Whatever a value holds, it is one string on the wire, and its line ends where we end it."""
    octets = encode.line(b"PUTSCRIPT", *map(encode.string, values)) + b"NEXT\r\n"
    scanner, lines = Scanner(), []
    for at in range(0, len(octets), step):
        lines += scanner.feed(octets[at : at + step])
    assert len(lines) == 2
    assert lex(lines[0]) == [Token("atom", b"PUTSCRIPT"), *(Token("string", value) for value in values)]


@pytest.mark.parametrize("name", ["", "a\r\nLOGOUT", "a\nb", "a\0", "\x7f", "\x85", "a\u2028", "\u2029"])
def test_names_that_no_script_can_have(name: str) -> None:
    """A control character in a name is refused before anything is sent (RFC 5804 section 1.6)."""
    with pytest.raises(ValueError, match="control character"):
        encode.name(name)


def test_names_in_octets() -> None:
    """Quotes are escaped; what is long, or no UTF-8, survives."""
    assert encode.name('a"\\b') == b'"a\\"\\\\b"'
    assert encode.name("x" * 2000).startswith(b"{2000+}\r\n")
    assert encode.name(b"\xff".decode("utf-8", "surrogateescape")) == b"{1+}\r\n\xff"


def test_capabilities() -> None:
    """A greeting is read leniently: lines without sense are passed over."""
    lines = [
        *(parse_line(raw) for raw in LINES[:3]),
        parse_line(b'"sasl" "plain OAUTHBEARER"'),
        parse_line(b'"MAXREDIRECTS" "4"'),
        parse_line(b'"NOTIFY" "mailto"'),
        parse_line(b"ATOM"),
    ]
    told = parse_capabilities([line for line in lines if isinstance(line, tuple)])
    assert told.implementation == "Dovecot (Debian) Pigeonhole"
    assert told.extensions == ("fileinto", "vacation")
    assert told.sasl() == {"AUTH=PLAIN", "AUTH=OAUTHBEARER", "LOGINDISABLED"}
    assert (told.max_redirects, told.notify, told.external_lists) == (4, ("mailto",), None)
    assert told.offers_starttls
    assert not told.has_version
