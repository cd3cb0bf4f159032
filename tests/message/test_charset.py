"""Octets to text and text cut to size (RFC 8621 sections 4.1.4 and 4.2)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message.charset import codec_name, decode_text, truncate_utf8


@pytest.mark.parametrize(
    ("data", "charset", "text", "problem"),
    [
        (b"a\r\nb\rc\n", "us-ascii", "a\nb\rc\n", False),
        ("é".encode(), "utf-8", "é", False),
        ("\ufeffé".encode(), "UTF-8", "é", False),
        (b"\xe9", "utf-8", "\ufffd", True),
        (b"\xe9", "us-ascii", "é", True),
        ("é".encode(), None, "é", True),
        (b"\xe9", "x-unknown", "é", True),
        (b"\x93\xe9", "iso-8859-1", "“é", False),
        (b"\x81", "iso-8859-1", "\x81", False),
        ("я".encode("koi8-r"), "KOI8-R", "я", False),
        ("한".encode("cp949"), "ks_c_5601-1987", "한", False),
        ("é".encode("utf-16-be"), "utf-16", "é", False),
        ("\ufeffé".encode("utf-16-le"), "utf-16", "é", False),
        (b"+2AA-", "utf-7", "\ufffd", True),
        ("\uffff".encode(), "utf-8", "\ufffd", True),
        (b"a", "base64", "a", True),
        (b"a", "unicode_escape", "a", True),
        (b"a", "idna", "a", True),
        (b"a", "../../x", "a", True),
        (b"a", "x" * 1000, "a", True),
        (b"a", "", "a", True),
    ],
)
def test_decode_text(data: bytes, charset: str | None, text: str, problem: bool) -> None:
    """A known charset is obeyed; an unknown or plainly wrong one is guessed and reported."""
    assert decode_text(data, charset) == (text, problem)


@given(
    st.binary(max_size=60), st.sampled_from(["utf-8", "utf-7", "utf-16", "hz", "iso-2022-kr", "gb18030", "big5", "x"])
)
def test_decoding_never_raises(data: bytes, charset: str) -> None:
    """Any octets in any charset give a text that can be written as UTF-8."""
    decode_text(data, charset)[0].encode()


def test_only_charsets_are_known() -> None:
    """Python's codecs that are no charsets have no name here."""
    assert codec_name("ISO_8859-1:1987") is not None
    for name in ("rot13", "zlib", "bz2", "hex", "quopri", "uu", "undefined", "raw_unicode_escape", "punycode", "mbcs"):
        assert codec_name(name) is None


@pytest.mark.parametrize(
    ("text", "limit", "is_html", "cut"),
    [
        ("abc", 0, False, "abc"),
        ("abc", 3, False, "abc"),
        ("abcd", 3, False, "abc"),
        ("aéé", 4, False, "aé"),
        ("a😀b", 4, False, "a"),
        ('x<a href="b>c">d', 12, True, "x"),
        ("x<b>y</b>z", 4, True, "x<b>"),
        ("x<b>y</b>z", 6, True, "x<b>y"),
        ("1 < 2 and more", 6, True, "1 < 2 "),
        ("a &amp; b", 5, True, "a "),
        ("a &amp; b", 7, True, "a &amp;"),
        ("a &amp; b", 5, False, "a &am"),
        ("<!-- long comment --> x", 10, True, "<!-- long "),
    ],
)
def test_truncate(text: str, limit: int, is_html: bool, cut: str) -> None:
    """The cut respects the limit in octets, code points and, in HTML, tags and character references."""
    assert truncate_utf8(text, limit, is_html=is_html) == (cut, cut != text)


@given(st.text(max_size=50), st.integers(1, 60), st.booleans())
def test_truncated_text_is_a_prefix(text: str, limit: int, is_html: bool) -> None:
    """Never too long, always a prefix, and whole if it fits."""
    cut, truncated = truncate_utf8(text, limit, is_html=is_html)
    assert len(cut.encode()) <= limit
    assert text.startswith(cut)
    assert truncated == (len(text.encode()) > limit)


@pytest.mark.parametrize("scrap", ["<", "<a ", "<a '", '<a "', "<!--", "&", "&a", "<a>", "<a b='c\"'>", "<!"])
def test_truncation_is_linear(scrap: str) -> None:
    """Hostile HTML takes no more time than its length asks for."""
    begun = time.process_time()
    truncate_utf8(scrap * (400_000 // len(scrap)), 300_000, is_html=True)
    assert time.process_time() - begun < 10.0  # a quadratic one takes minutes
