"""BODYSTRUCTURE."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.imap.lexer import lex_value
from gateway.upstream.imap.structure import MAX_DEPTH, Structure, parse

PLAIN = b'("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 23 1 NIL NIL NIL NIL)'


def read(raw: bytes) -> Structure:
    structure = parse(lex_value(raw)[0])
    assert structure is not None
    return structure


def test_single_part() -> None:
    """The part of a message that is no multipart is section 1."""
    part = read(PLAIN)
    told = (part.section, part.content_type, part.encoding, part.octets, part.lines)
    assert told == (
        "1",
        "text/plain",
        "7bit",
        23,
        1,
    )
    assert part.parameters == {"charset": "us-ascii"}


def test_couriers_short_form() -> None:
    """Fewer trailing fields, NIL parameters."""
    part = read(b'("text" "plain" NIL NIL NIL "8bit" 23 1 NIL NIL NIL)')
    assert (part.encoding, part.disposition, part.language, part.location) == ("8bit", None, None, None)
    assert read(b'("image" "png" NIL NIL NIL "base64" 5)').content_type == "image/png"
    assert read(b'("text" "plain")').encoding == "7bit"


def test_multipart() -> None:
    """Children are numbered, nested ones with a point; dispositions, languages and ids are read."""
    root = read(
        b"(("
        + PLAIN
        + b'("text" "html" NIL "<id@x>" NIL "quoted-printable" 9 1 NIL ("INLINE" NIL) ("en" "de") "http://l")'
        b' "alternative" ("boundary" "b") NIL NIL)'
        b'("application" "pdf" ("NAME" "a.pdf") NIL "what" "base64" 99'
        b' NIL ("attachment" ("filename" "b.pdf")) "en" NIL)'
        b' "MIXED" ("boundary" "c") ("inline" NIL) NIL NIL)'
    )
    assert [(part.section, part.content_type) for part in root.walk()] == [
        ("", "multipart/mixed"),
        ("1", "multipart/alternative"),
        ("1.1", "text/plain"),
        ("1.2", "text/html"),
        ("2", "application/pdf"),
    ]
    html, pdf = root.children[0].children[1], root.children[1]
    assert (html.content_id, html.disposition, html.language, html.location) == (
        "<id@x>",
        "inline",
        ("en", "de"),
        "http://l",
    )
    assert (pdf.disposition, pdf.disposition_parameters, pdf.language) == ("attachment", {"filename": "b.pdf"}, ("en",))
    assert (pdf.parameters, pdf.description, root.disposition) == ({"name": "a.pdf"}, "what", "inline")


def test_message_in_message() -> None:
    """A message/rfc822 part is a leaf that knows the structure inside; sections go on through it."""
    envelope = b'("d" "s" NIL NIL NIL NIL NIL NIL NIL NIL)'
    root = read(
        b"("
        + PLAIN
        + b'("message" "rfc822" NIL NIL NIL "7bit" 500 '
        + envelope
        + b" "
        + PLAIN
        + b' 20 NIL ("attachment" NIL))'
        b'("message" "rfc822" NIL NIL NIL "7bit" 500 ' + envelope + b" (" + PLAIN + PLAIN + b' "mixed") 20) "mixed")'
    )
    assert [part.section for part in root.walk()] == ["", "1", "2", "3"]
    single, several = root.children[1], root.children[2]
    assert single.message is not None
    assert several.message is not None
    assert (single.message.section, single.lines, single.disposition) == ("2.1", 20, "attachment")
    assert [part.section for part in several.message.walk()] == ["3", "3.1", "3.2"]


def test_bounds() -> None:
    """Nesting beyond the bound gives None, not a RecursionError; so do too many parts."""
    deep: list[object] = [b"text", b"plain"]
    for _ in range(MAX_DEPTH + 1):
        deep = [deep, b"mixed"]
    assert parse(deep) is None
    assert parse([[b"text", b"plain"]] * 20_000 + [b"mixed"]) is None


@pytest.mark.parametrize("tree", [None, b"x", [], [[]], [[None]]])
def test_nonsense(tree: object) -> None:
    """What is no structure is None, or at least raises nothing."""
    parse(tree)


_TREES = st.recursive(st.none() | st.binary(max_size=8), lambda inner: st.lists(inner, max_size=12), max_leaves=60)


@given(_TREES)
def test_any_tree(tree: object) -> None:
    """No tree raises."""
    structure = parse(tree)
    assert structure is None or list(structure.walk())
