"""I-JSON in and out (RFC 7493, RFC 8620 section 1.5)."""

from __future__ import annotations

import json
from collections import namedtuple
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jmap.strict_json import (
    MAX_DEPTH,
    MAX_VALUES,
    NotJSON,
    NotWritable,
    has_noncharacter,
    read_json,
    write_json,
)


def is_noncharacter(character: str) -> bool:
    return 0xFDD0 <= ord(character) <= 0xFDEF or ord(character) & 0xFFFE == 0xFFFE


texts = st.text().map(lambda text: "".join(c for c in text if not is_noncharacter(c)))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(values, st.booleans(), st.sampled_from([None, 0, 2]))
def test_reads_all_ijson(value: Any, is_ascii: bool, indent: int | None) -> None:
    """Whatever is I-JSON is read, in any notation."""
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    assert read_json(text.encode()) == value


@given(values)
def test_round_trip(value: Any) -> None:
    """What is written is read back as it was."""
    assert read_json(write_json(value)) == value


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:\\u0ad8e1- \n', max_size=40).map(str.encode))
def test_refuses_or_reads(octets: bytes) -> None:
    """Any octets are a value or NotJSON, and never another exception."""
    with suppress(NotJSON):
        assert read_json(octets) == json.loads(octets)


@given(st.dictionaries(texts, values, min_size=1, max_size=5), st.data())
def test_duplicate_names(members: dict[str, Any], data: st.DataObject) -> None:
    """Two members of one name are refused at every depth and in every notation of the name."""
    name = data.draw(st.sampled_from(sorted(members)))
    written = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in members.items()]
    twin = data.draw(st.sampled_from([json.dumps(name), json.dumps(name, ensure_ascii=False)]))
    written.insert(data.draw(st.integers(0, len(written))), f"{twin} : null")
    with pytest.raises(NotJSON, match="same name"):
        read_json(f'[{{"deeper":{{{",".join(written)}}}}}]'.encode())


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b" ",
        b"{",
        b"{} x",
        b"{'a': 1}",
        b"[1,]",
        b"[01]",
        b"\xef\xbb\xbf{}",  # a byte order mark
        b'"\xff"',
        b'"\xc3"',
        b'"\xed\xa0\x80"',  # a surrogate as UTF-8
        b'"\xc0\xaf"',  # an overlong form
        "{}".encode("utf-16"),
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\udfff": 1}',
        b'["\\ud83d", "\\ude00"]',  # halves of a pair do not meet across strings
        b'"\\ufffe"',
        b'"\\uFDD0"',
        b'"\\ud83f\\udffe"',
        "\ufdef".join('""').encode(),
        "\uffff".join('""').encode(),
        "\U0010ffff".join('""').encode(),
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"9" * 5000,
        b'"a\nb"',
        b'"\\x"',
    ],
)
def test_refuses(octets: bytes) -> None:
    """Bad UTF-8, surrogates, noncharacters, NaN, numbers past a double and bad syntax are NotJSON."""
    with pytest.raises(NotJSON):
        read_json(octets)


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b'"\\\\ufffe"', "\\ufffe"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\u0000"', "\0"),
        (b"9007199254740993", 2**53 + 1),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"1e3", 1000.0),
        ("\ufffd\ufeff\ufdf0\ufdcf\U0001fffd".join('""').encode(), "\ufffd\ufeff\ufdf0\ufdcf\U0001fffd"),
        (b' \t\r\n{"a" : [ ] }\n', {"a": []}),
    ],
)
def test_accepts(octets: bytes, value: Any) -> None:
    """What looks like a fault and is none is read exactly, large integers included."""
    assert read_json(octets) == value


def test_depth() -> None:
    """MAX_DEPTH levels are read, one more is refused, and a hundred thousand do not end in a crash."""
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        for depth in (MAX_DEPTH + 1, 900, 100_000):
            with pytest.raises(NotJSON, match="nested"):
                read_json(f"{opening * depth}1{closing * depth}".encode())
        read_json(f"{opening * MAX_DEPTH}1{closing * MAX_DEPTH}".encode())


def test_values() -> None:
    """Too many values are refused before they are built; commas in strings are not values."""
    with pytest.raises(NotJSON, match="values"):
        read_json(b"[" + b"0," * (MAX_VALUES + 1) + b"0]")
    assert read_json(b'["' + b'\\\\\\",' * (MAX_VALUES + 1) + b'"]')


@given(st.integers(0, 0x10FFFF).filter(lambda point: not 0xD800 <= point <= 0xDFFF))
def test_noncharacters(point: int) -> None:
    """A code point is a noncharacter as UTF-8 exactly when Unicode says so."""
    assert has_noncharacter(f"a{chr(point)}b".encode()) is is_noncharacter(chr(point))


def test_noncharacters_all() -> None:
    """All 66 are found, alone and beside others."""
    found = [point for point in range(0xE000, 0x110000) if has_noncharacter(chr(point).encode())]
    assert len(found) == 66
    assert all(is_noncharacter(chr(point)) for point in found)


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": "x\ud800y"}, '{"a":"x\ufffdy"}'),
        ({"k\udfff": ["\ud800"]}, '{"k\ufffd":["\ufffd"]}'),
        (["a\uffffb", "\ufdd0"], '["a\ufffdb","\ufffd"]'),
        (2**80, str(2**80)),
        ([float("nan"), "\ud800"], '[null,"\ufffd"]'),
        (("\ud800", (1, None, True, 1.5)), '["\ufffd",[1,null,true,1.5]]'),
        (Pair(1, "\ud800"), '[1,"\ufffd"]'),
    ],
)
def test_writes_what_orjson_refuses(value: Any, written: str) -> None:
    """A string with a surrogate or a noncharacter is written with U+FFFD in its place."""
    assert write_json(value).decode() == written


@pytest.mark.parametrize("value", [{"a": object()}, {1: 2}, {"a": {1, 2}}, b"octets"])
def test_not_writable(value: Any) -> None:
    """What JSON has no value for is refused and not guessed."""
    with pytest.raises(NotWritable):
        write_json(value)


def test_endless_is_not_writable() -> None:
    """A value that holds itself ends in NotWritable, not in a crash."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NotWritable):
        write_json(endless)


anything = st.text(st.characters(exclude_categories=()))  # surrogates and noncharacters too


@given(
    st.recursive(anything, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "\ud800"]), inner)),
)
def test_written_is_ijson(value: Any) -> None:
    """Whatever strings a value holds, what is written can be read strictly."""
    read_json(write_json(value))
