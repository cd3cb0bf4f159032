"""Where responses end, however the octets are cut."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.imap import scanner as scanner_module
from gateway.upstream.imap.errors import ProtocolViolation
from gateway.upstream.imap.scanner import LARGE_LITERAL_OCTETS, MAX_LINE_OCTETS, Scanner

TRANSCRIPTS = sorted((Path(__file__).parents[2] / "transcripts" / "imap").glob("*.txt"))

STREAM = (
    b"* OK [ALERT] text that ends in {5}\r\n"
    b"* 1 FETCH (UID 1 BODY[] {5}\r\na\r\nb) BODY[HEADER] {0}\r\n)\r\n"
    b"a12 OK done {12}\r\n"
    b"+ go on {3}\r\n"
    b'* LIST () "/" {3}\r\nfoo\r\n'
    b"* 2 FETCH (BINARY[1] ~{2}\r\n\0\r FLAGS ())\r\n"
    b"* BYE {1}\r\n"
)
RESPONSES = [
    b"* OK [ALERT] text that ends in {5}",
    b"* 1 FETCH (UID 1 BODY[] {5}\r\na\r\nb) BODY[HEADER] {0}\r\n)",
    b"a12 OK done {12}",
    b"+ go on {3}",
    b'* LIST () "/" {3}\r\nfoo',
    b"* 2 FETCH (BINARY[1] ~{2}\r\n\0\r FLAGS ())",
    b"* BYE {1}",
]


def test_whole() -> None:
    """Literals belong to data responses; the text of a status response may end in what looks like one."""
    assert Scanner().feed(STREAM) == RESPONSES


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_cut_anywhere(cut: int) -> None:
    """Two pieces give what one gives, wherever the cut is."""
    scanner = Scanner()
    assert scanner.feed(STREAM[:cut]) + scanner.feed(STREAM[cut:]) == RESPONSES
    assert scanner.is_idle


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcripts_octet_by_octet(transcript: Path) -> None:
    """What real servers said is cut the same whole, octet by octet and with more behind it."""
    octets = transcript.read_bytes()
    whole = Scanner().feed(octets)
    assert len(whole) > 20
    scanner = Scanner()
    assert [response for octet in octets for response in scanner.feed(bytes((octet,)))] == whole
    assert scanner.is_idle
    trailing = Scanner()
    assert trailing.feed(octets + b"* 5 EXI") == whole
    assert not trailing.is_idle


@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(0, 2000), max_size=8))
def test_any_literal_any_cut(literals: list[bytes], cuts: list[int]) -> None:
    """Any octets in literals, any cuts: the response is one and whole."""
    inner = b" ".join(b"X {%d}\r\n%s" % (len(literal), literal) for literal in literals)
    octets = b"* 1 FETCH (" + inner + b")\r\na1 OK\r\n"
    scanner, out, start = Scanner(), [], 0
    for cut in sorted({min(cut, len(octets)) for cut in cuts} | {len(octets)}):
        out += scanner.feed(octets[start:cut])
        start = cut
    assert out == [octets[:-9], b"a1 OK"]


def test_large_literal_goes_to_its_sink() -> None:
    """A sink gets every octet once; in the response `{0}` stands for them."""
    body = bytes(range(256)) * 1024
    octets = b"* 1 FETCH (UID 7 BODY[1] {%d}\r\n%s FLAGS ())\r\n* 1 EXISTS\r\n" % (len(body), body)
    asked: list[tuple[bytes, int]] = []
    got: list[bytes] = []

    def open_literal(line: bytes, size: int) -> scanner_module.LiteralSink:
        asked.append((line, size))
        return got.append

    scanner, out = Scanner(open_literal), []
    for start in range(0, len(octets), 1000):
        out += scanner.feed(octets[start : start + 1000])
    assert out == [b"* 1 FETCH (UID 7 BODY[1] {0}\r\n FLAGS ())", b"* 1 EXISTS"]
    assert b"".join(got) == body
    assert asked == [(b"* 1 FETCH (UID 7 BODY[1] {%d}" % len(body), len(body))]


def test_literal_without_sink_is_kept() -> None:
    """Nobody wants it elsewhere: it stays in the response."""
    body = b"x" * (LARGE_LITERAL_OCTETS + 1)
    octets = b"* 1 FETCH (BODY[1] {%d}\r\n%s)" % (len(body), body)
    assert Scanner(lambda _line, _size: None).feed(octets + b"\r\n") == [octets]


def test_literal_bomb() -> None:
    """An announcement of 99 GB is refused before an octet of it is kept."""
    with pytest.raises(ProtocolViolation):
        Scanner().feed(b"* 1 FETCH (BODY[] {99999999999}\r\n")


@pytest.mark.parametrize("piece", [1 << 16, 4096])
def test_line_bomb(piece: int) -> None:
    """A line without end is refused, and little more than the limit is kept."""
    scanner = Scanner()
    for _ in range(MAX_LINE_OCTETS // piece):
        assert scanner.feed(b"x" * piece) == []
    with pytest.raises(ProtocolViolation):
        scanner.feed(b"x" * piece)


def test_long_line_fed_whole_is_refused_too() -> None:
    """The limit does not depend on the cuts."""
    with pytest.raises(ProtocolViolation):
        Scanner().feed(b"* X " + b"y" * MAX_LINE_OCTETS + b"\r\n")


@pytest.mark.parametrize("piece", [1 << 16, 1 << 22])
def test_many_uids_may_be_long(piece: int) -> None:
    """SEARCH of a large mailbox exceeds any line limit, and is no attack."""
    octets = b"* SEARCH " + b" ".join(b"%d" % number for number in range(300_000)) + b"\r\n"
    scanner, out = Scanner(), []
    for start in range(0, len(octets), piece):
        out += scanner.feed(octets[start : start + piece])
    assert out == [octets[:-2]]


def test_many_small_literals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A response that never ends is refused even when each of its lines and literals is small."""
    monkeypatch.setattr(scanner_module, "MAX_RESPONSE_OCTETS", 10_000)
    scanner = Scanner()
    scanner.feed(b"* X")
    for _ in range(1_000):
        scanner.feed(b" {3}\r\nab")
    with pytest.raises(ProtocolViolation):
        scanner.feed(b" {3}\r\nabc" * 2_000)


def test_time_is_linear() -> None:
    """Four times the octets in small pieces take about four times as long, not sixteen."""

    def seconds(octets: int) -> float:
        scanner = Scanner()
        head = b"* 1 FETCH (BODY[] {%d}\r\n" % octets
        begun = process_time()
        scanner.feed(head)
        for _ in range(octets // 100):
            scanner.feed(b"z" * 100)
        scanner.feed(b")\r\n")
        return process_time() - begun

    seconds(100_000)
    assert seconds(4_000_000) < 12 * max(seconds(1_000_000), 0.002)
