"""Tokens."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.lexer import MAX_DEPTH, Malformed, lex_all, lex_value, number_of, text_of


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"atom", b"atom"),
        (b"NIL", None),
        (b"nil", None),
        (b'"NIL"', b"NIL"),
        (b'""', b""),
        (b'"a \\"b\\" \\\\ (c)"', b'a "b" \\ (c)'),
        (b"{3}\r\na)\r", b"a)\r"),
        (b"~{2}\r\n\0\0", b"\0\0"),
        (b"{0}\r\n", b""),
        (b"()", []),
        (b'(a (b NIL) {1}\r\n( "c")', [b"a", [b"b", None], b"(", b"c"]),
        (b"(\\Seen $label [x] a{b)", [b"\\Seen", b"$label", b"[x]", b"a{b"]),
        ('(ünïcode "ünïcode")'.encode(), ["ünïcode".encode(), "ünïcode".encode()]),
        (b"~atom", b"~atom"),
    ],
)
def test_values(raw: bytes, value: Any) -> None:
    """Each form of a value, and that reading stops right behind it."""
    assert lex_value(raw) == (value, len(raw))
    assert lex_value(b"x " + raw + b" rest)", 2)[0] == value


@pytest.mark.parametrize(
    "raw", [b"", b" ", b")", b"(", b"(a", b'"a', b"{5}\r\nabc", b'(a "b)', b'("\\', b"{x}", b"(\r\n)"]
)
def test_malformed(raw: bytes) -> None:
    """What cannot be read raises Malformed and nothing else."""
    with pytest.raises(Malformed):
        lex_value(raw)


def test_nesting_is_bounded() -> None:
    """Deep nesting raises; it neither recurses nor takes long."""
    assert lex_value(b"(" * MAX_DEPTH + b")" * MAX_DEPTH)[1] == 2 * MAX_DEPTH
    with pytest.raises(Malformed):
        lex_value(b"(" * 500_000)


_VALUES = st.recursive(
    st.binary(max_size=40).filter(lambda octets: 0 not in octets) | st.none(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


def _write(line: Line, value: Any) -> None:
    if value is None:
        line.raw("NIL")
    elif isinstance(value, list):
        line.raw("(")
        for index, inner in enumerate(value):
            line.raw(" " if index else "")
            _write(line, inner)
        line.raw(")")
    else:
        line.string(value)


@given(_VALUES)
def test_what_is_encoded_is_lexed_back(value: Any) -> None:
    """The encoder's atoms, quoted strings and literals mean the same to the lexer."""
    line = Line(Dialect())
    _write(line, value)
    octets = b"".join(piece for piece in line.pieces(b"t") if isinstance(piece, bytes))
    assert lex_all(octets.removeprefix(b"t ").removesuffix(b"\r\n")) == [value]


@given(st.binary(max_size=60))
def test_garbage_never_raises_anything_else(raw: bytes) -> None:
    """Any octets give values or Malformed."""
    with suppress(Malformed):
        lex_all(raw)


def test_texts_and_numbers() -> None:
    """UTF-8 where it is, Latin-1 else; what is no number is None."""
    assert text_of("é".encode()) == "é"
    assert text_of(b"\xe9") == "é"
    assert text_of([]) is None
    assert number_of(b"12") == 12
    assert number_of(b"x") is None
    assert number_of(None) is None
    assert number_of(b"9" * 50) is None
