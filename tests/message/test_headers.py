"""Header fields, their forms and the properties that name them (RFC 8621 sections 4.1.2 and 4.1.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from gateway.message.headers import (
    FORMS,
    HeaderProperty,
    HeaderPropertyError,
    all_headers,
    as_grouped_addresses,
    as_message_ids,
    as_raw,
    as_text,
    as_urls,
    header_end,
    parse_fields,
)
from tests.message.strategies import mail_octets


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        (b"A: 1\r\nB:2\r\n\r\nC: 3\r\n", [("A", b" 1"), ("B", b"2")]),
        (b"A: 1\r\n folded\r\n\tmore\r\nb:\r\n", [("A", b" 1\r\n folded\r\n\tmore"), ("b", b"")]),
        (b"A: 1\nB: 2\n\nC: 3", [("A", b" 1"), ("B", b" 2")]),
        (b"A : 1", [("A", b" 1")]),
        (b"no field\r\n A: 1\r\nB: 2", [("B", b" 2")]),
        (b" A: 1\r\nB: 2", [("B", b" 2")]),
        (b"A: 1\r2\0\r\n", [("A", b" 1\r2\0")]),
        (b"\r\nA: 1", []),
        (b": 1\r\nA\xc3\xa9: 2\r\nB C: 3\r\n", []),
    ],
)
def test_fields_are_split(block: bytes, fields: list[tuple[str, bytes]]) -> None:
    """Fields come in order with the octets of their values; lines that are none are passed over."""
    assert parse_fields(block) == fields


@pytest.mark.parametrize(
    ("data", "end"), [(b"", 0), (b"\r\nx", 2), (b"a: b\n\nx", 6), (b"a: b\r\n\r\nx", 8), (b"a", 1)]
)
def test_header_ends_at_the_empty_line(data: bytes, end: int) -> None:
    """The body begins after the first empty line, or nowhere."""
    assert header_end(data) == end


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b" a\r\n b", " a\r\n b"), (b" a\0b", " ab"), (b" \xe9\xc3\xa9", " \ufffdé"), (b" \xef\xbf\xbf", " \ufffd")],
)
def test_raw_form(raw: bytes, text: str) -> None:
    """Raw keeps folding and leading space, drops NUL, and shows U+FFFD for what is no UTF-8."""
    assert as_raw(raw) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"  Hello\r\n world ", "Hello world "),
        (b" =?utf-8?q?a?=\r\n =?utf-8?q?b?= c", "ab c"),
        (b" cafe\xcc\x81", "caf\u00e9"),
        (b" gr\xf6\xdfer", "größer"),
        (b" \xc3\xa9 \xe9", "é \ufffd"),
    ],
)
def test_text_form(raw: bytes, text: str) -> None:
    """Text is unfolded, decoded and in NFC."""
    assert as_text(raw) == text


def test_grouped_addresses_of_the_rfc() -> None:
    """The example of section 4.1.2.4 gives the groups that stand there."""
    raw = (
        b' "  James Smythe" <james@example.com>, Friends:\r\n  jane@example.com, =?UTF-8?Q?John_Sm=C3=AEth?=\r\n'
        b"  <john@example.com>;"
    )
    assert as_grouped_addresses(raw) == [
        {"name": None, "addresses": [{"name": "James Smythe", "email": "james@example.com"}]},
        {
            "name": "Friends",
            "addresses": [
                {"name": None, "email": "jane@example.com"},
                {"name": "John Smîth", "email": "john@example.com"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        (b" <a@b>", ["a@b"]),
        (b" <a@b><c@d>,\r\n <e@f>", ["a@b", "c@d", "e@f"]),
        (b" (<no@no>) <a@b> words", ["a@b"]),
        (b' <"a b"@c>', ['"a b"@c']),
        (b" <no.at>", ["no.at"]),
        (b" a@b", None),
        (b" <>", None),
        (b" <a@b", None),
        (b"", None),
    ],
)
def test_message_ids_form(raw: bytes, ids: list[str] | None) -> None:
    """Ids lose brackets and CFWS; a value without any is null."""
    assert as_message_ids(raw) == ids


@pytest.mark.parametrize(
    ("raw", "urls"),
    [
        (b" <mailto:a@b?subject=x>, (or) <https://x.test/\r\n a>", ["mailto:a@b?subject=x", "https://x.test/a"]),
        (b" <https://x.test/(a)> (<not:this>)", ["https://x.test/(a)"]),
        (b" NO (posting not allowed)", None),
        (b" https://x.test/", None),
    ],
)
def test_urls_form(raw: bytes, urls: list[str] | None) -> None:
    """URLs lose brackets, comments and white space; a value without any is null."""
    assert as_urls(raw) == urls


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("header:Subject", ("subject", "Raw", False)),
        ("header:SUBJECT:asText:all", ("subject", "Text", True)),
        ("header:List-Id:asText", ("list-id", "Text", False)),
        ("header:X-Foo:asDate", ("x-foo", "Date", False)),
        ("header:all", ("all", "Raw", False)),
        ("header:Received:asRaw", ("received", "Raw", False)),
        ("header:Resent-Reply-To:asGroupedAddresses", ("resent-reply-to", "GroupedAddresses", False)),
    ],
)
def test_header_property(text: str, header: tuple[str, str, bool]) -> None:
    """Names are matched whatever their case; List-Id and unknown fields take any form they like."""
    assert HeaderProperty.parse(text) == header


@pytest.mark.parametrize(
    "text",
    [
        "header:From:asDate", "header:Subject:asAddresses", "header:Received:asText", "header:List-Post:asText",
        "header:Date:asMessageIds", "header:To:asURLs", "header:Return-Path:asAddresses",
        "header", "header:", "header::all", "header:a b", "header:é", "header:X:asFoo", "header:X:astext",
        "header:X:all:asText", "header:X:all:all", "header:X:", "header:X:asText:asText", "headers:X",
    ],
)  # fmt: skip
def test_header_property_refused(text: str) -> None:
    """A form that the field does not have, or broken syntax, is an error that says why."""
    with pytest.raises(HeaderPropertyError, match=r"\w"):
        HeaderProperty.parse(text)


def test_header_property_takes_the_last_or_all() -> None:
    """Without `:all` the last field counts; none at all is null or an empty list."""
    fields = parse_fields(b"X: <a@b>\r\nY: 1\r\nx: none\r\n")
    assert HeaderProperty.parse("header:X:asMessageIds").value(fields) is None
    assert HeaderProperty.parse("header:X:asMessageIds:all").value(fields) == [["a@b"], None]
    assert HeaderProperty.parse("header:x").value(fields) == " none"
    assert HeaderProperty.parse("header:Z").value(fields) is None
    assert HeaderProperty.parse("header:Z:all").value(fields) == []


def test_headers_property_keeps_case_and_order() -> None:
    """`headers` lists every field as written."""
    assert all_headers(parse_fields(b"x-A: 1\r\nX-a:2\r\n")) == [
        {"name": "x-A", "value": " 1"},
        {"name": "X-a", "value": "2"},
    ]


@settings(max_examples=300, deadline=None)
@given(mail_octets)
def test_no_form_raises(raw: bytes) -> None:
    """Every form takes any octets, and what it gives can be written as UTF-8."""
    for convert in FORMS.values():
        _check(convert(raw))
    parse_fields(raw)


def _check(value: Any) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, list):
        for item in value:
            _check(item)
    elif isinstance(value, dict):
        for item in value.values():
            _check(item)
    else:
        assert value is None
