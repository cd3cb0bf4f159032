"""Header fields from JMAP's forms: valid, folded, and read back as they were given."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.message.build_header import HeaderValueError, encode_field
from gateway.message.build_words import clean, parameter
from gateway.message.encodedwords import to_nfc
from gateway.message.headers import FORMS, parse_fields
from gateway.message.parameters import parse_value
from gateway.message.summary import summarize

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn", "Co"]), max_size=300)


def valid(field: bytes) -> bytes:
    """Return a field after a look at its lines: nothing but folding, no line too long, no empty line."""
    assert field.endswith(b"\r\n")
    lines = field[:-2].split(b"\r\n")
    assert all(line[:1] in (b" ", b"\t") and line.strip() for line in lines[1:])
    assert all(len(line) <= 998 for line in lines)
    assert not re.search(rb"[\r\n\0]", b"".join(lines))
    for line in lines:
        for word in re.findall(rb"=\?[^?]*\?[QB]\?[^?]*\?=", line):
            assert len(word) <= 75
            assert len(line) <= 78 or len(line.split()) <= 2
    return field


def back(field: bytes, form: str) -> Any:
    ((_name, raw),) = parse_fields(valid(field) + b"\r\n")
    return FORMS[form](raw)


@given(LINES)
@example("")
@example(" ")
@example(" leading and trailing ")
@example("=?utf-8?q?not_a_word?=")
@example("two  blanks   é  and   more")
@example("x" * 1200)
@example("日本語" * 100)
@example("a " * 200)
@example("é" + " a" * 100)
def test_text(text: str) -> None:
    """A Text value of any characters but controls comes back as it was, in NFC."""
    assert back(encode_field("Subject", "Text", text), "Text") == to_nfc(text)


@given(ANY_TEXT)
def test_text_injects_nothing(text: str) -> None:
    """A Text value makes one field whatever is in it; control characters become blanks."""
    assert (
        back(encode_field("Subject", "Text", text), "Text").strip()
        == back(encode_field("Subject", "Text", clean(text)), "Text").strip()
    )


@given(ANY_TEXT)
@example("a\r\nBcc: x@example.org")
@example("a\nb")
@example(" folded\r\n value")
@example(" bare\n folding")
@example(" blank\r\n \r\n line")
def test_raw_injects_nothing(text: str) -> None:
    """A Raw value makes one field as it is given, or is refused."""
    try:
        field = encode_field("X-Any", "Raw", text)
    except HeaderValueError:
        return
    assert back(field, "Raw") == text.replace("\r\n", "\n").replace("\n", "\r\n")


NAMES = st.one_of(st.none(), LINES.map(str.strip).filter(bool))
LOCALS = st.text("abcXYZ019.+-_'", min_size=1, max_size=20).filter(lambda text: text.strip("."))
EMAILS = st.builds("{}@{}".format, LOCALS, st.sampled_from(["example.org", "a.b.c", "[192.0.2.1]", "exämple.org"]))
ADDRESSES = st.lists(st.fixed_dictionaries({"name": NAMES, "email": EMAILS}), min_size=1, max_size=8)


def shown(addresses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": to_nfc(one["name"]) if one["name"] else None, "email": to_nfc(one["email"])} for one in addresses]


@given(ADDRESSES)
@example([{"name": 'Quote " and \\ back', "email": "a@b"}])
@example([{"name": "Doe, John <x@y>; (comment): é", "email": "a@b"}])
@example([{"name": "=?utf-8?q?x?=", "email": "a@b"}])
@example([{"name": "Long" * 60, "email": "a@b"}])
def test_addresses(addresses: list[dict[str, Any]]) -> None:
    """Names of any characters and addresses come back as they were."""
    field = encode_field("To", "Addresses", addresses)
    assert back(field, "Addresses") == shown(addresses)
    assert summarize(field + b"\r\n").to == shown(addresses)


@given(st.lists(ADDRESSES, min_size=1, max_size=4), LINES.map(str.strip).filter(bool))
def test_groups(lists: list[list[dict[str, Any]]], name: str) -> None:
    """Groups, empty ones and mailboxes outside of groups come back as they were."""
    groups: list[dict[str, Any]] = [{"name": name, "addresses": addresses} for addresses in lists]
    groups += [{"name": "Nobody", "addresses": []}, {"name": None, "addresses": lists[0]}]
    found = back(encode_field("To", "GroupedAddresses", groups), "GroupedAddresses")
    assert [group["addresses"] for group in found] == [shown(group["addresses"]) for group in groups]
    assert [group["name"] for group in found] == [to_nfc(name)] * len(lists) + ["Nobody", None]


@pytest.mark.parametrize(
    ("email", "read"),
    [
        ("john", "john"),
        ("", ""),
        ("foo bar", "foo bar"),
        ("a b@example.org", '"a b"@example.org'),
        ('"a b"@example.org', '"a b"@example.org'),
        (" x@y.org\n", "x@y.org"),
        ("a@b@c.org", "a@b@c.org"),
        ("a, b", "a, b"),
        ("a <b@c>", "a <b@c>"),
    ],
)
def test_unfinished_address(email: str, read: str) -> None:
    """What is no address, in a draft, is kept, and never becomes two."""
    field = encode_field("To", "Addresses", [{"name": None, "email": email}, {"name": "N", "email": "n@x.org"}])
    found = back(field, "Addresses")
    assert found[-1] == {"name": "N", "email": "n@x.org"}
    assert [one["email"] for one in found[:-1]] == ([read] if read else [])


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("MessageIds", ["a@b", "c@d"]),
        ("MessageIds", [f"{n:050}@example.org" for n in range(40)]),
        ("URLs", ["mailto:list@example.org?subject=x", "https://example.org/"]),
        ("Date", "2024-02-29T23:59:59Z"),
        ("Date", "1999-12-31T00:00:00-09:30"),
        ("Raw", " some\tvalue ü"),
    ],
)
def test_other_forms(form: str, value: Any) -> None:
    """Ids, URLs, dates and raw values come back as they were."""
    assert back(encode_field("X-Field", form, value), form) == value


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("MessageIds", ["a b"]),
        ("MessageIds", ["<a@b>"]),
        ("MessageIds", [""]),
        ("MessageIds", ["a\r\nBcc: x"]),
        ("MessageIds", ["x" * 1000]),
        ("URLs", ["https://example.org/ x"]),
        ("URLs", ["a>, <b"]),
        ("Addresses", [{"name": None, "email": "a\r\nBcc: b@c"}]),
        ("Addresses", [{"name": None, "email": "x" * 1000}]),
        ("Raw", "a\r\nBcc: b"),
        ("Raw", "a\0b"),
        ("Raw", "x" * 1000),
        ("Raw", "end\r\n"),
    ],
    ids=repr,
)
def test_refused(form: str, value: Any) -> None:
    """A value that would end its field, or cannot be folded, is refused."""
    with pytest.raises(HeaderValueError):
        encode_field("X-Field", form, value)


@given(LINES.map(str.strip).filter(bool))
@example("a" * 300 + ".pdf")
@example("plain name.pdf")
@example('quo"te\\.pdf')
@example("=?utf-8?q?x?=.pdf")
@example("100%.txt")
def test_parameter(value: str) -> None:
    """A parameter of any characters comes back as it was (RFC 2231)."""
    assert parse_value("attachment; " + "; ".join(parameter("filename", value))).parameters == {"filename": value}
    assert all(len(word) <= 77 for word in parameter("filename", value))
