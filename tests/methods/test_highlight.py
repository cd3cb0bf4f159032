"""Marked subjects and excerpts (RFC 8621 section 5)."""

from __future__ import annotations

import re
import unicodedata
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from gateway.methods.highlight import excerpt, mark, matcher


def test_marks_in_any_case() -> None:
    """Every instance of every word is marked, in the case the text has."""
    assert mark("The Foosball competition, foo", matcher(["foo"])) == (
        "The <mark>Foo</mark>sball competition, <mark>foo</mark>"
    )
    assert mark("İstanbul und STRASSE", matcher(["strasse"])) == "İstanbul und <mark>STRASSE</mark>"


def test_nothing_matches() -> None:
    """Where no word occurs, and where there are no words, the answer is None."""
    assert mark("The competition", matcher(["foo"])) is None
    assert excerpt("The competition", matcher(["foo"]), max_octets=255) is None
    assert mark("The competition", matcher([])) is None
    assert matcher(["", " "]) is None


def test_escapes() -> None:
    """`&`, `<` and `>` are entities, inside a match and outside."""
    assert mark("a <b> & <script>", matcher(["<b>"])) == "a <mark>&lt;b&gt;</mark> &amp; &lt;script&gt;"


def test_longest_word_first() -> None:
    """Of two words that begin alike the longer one is marked."""
    assert mark("football", matcher(["foo", "football"])) == "<mark>football</mark>"


def test_phrase_over_lines() -> None:
    """A phrase is found though the text breaks the line in it."""
    shown = excerpt("we go to the big\n   house now", matcher(["big house"]), max_octets=255)
    assert shown == "we go to the <mark>big house</mark> now"


def test_excerpt_is_around_the_match() -> None:
    """An excerpt begins at a word shortly before the first match and says what was left out."""
    text = "lorem ipsum " * 50 + "needle " + "dolor sit " * 50
    shown = excerpt(text, matcher(["needle"]), max_octets=255)
    assert shown is not None
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert "ipsum <mark>needle</mark> dolor" in shown
    assert 200 < len(shown.encode()) <= 255


@given(st.text(max_size=2000), st.lists(st.text(min_size=1, max_size=300), max_size=4), st.integers(60, 300))
def test_excerpt_is_bounded_and_true(text: str, words: list[str], max_octets: int) -> None:
    """An excerpt is never longer than asked, well formed, and nothing but the text with marks."""
    shown = excerpt(text, matcher(words), max_octets=max_octets)
    if shown is None:
        return
    assert len(shown.encode("utf-8", "surrogatepass")) <= max_octets
    assert shown.count("<mark>") == shown.count("</mark>")
    bare = unescape(re.sub("</?mark>", "", shown)).strip("…").strip()
    composed = " ".join(unicodedata.normalize("NFC", text).split())
    assert bare in composed


def test_match_longer_than_the_excerpt() -> None:
    """A match that does not fit is shown as far as it fits, still marked."""
    shown = excerpt("x" * 500, matcher(["x" * 500]), max_octets=255)
    assert shown is not None
    assert shown.startswith("<mark>xxx")
    assert shown.endswith("</mark>…")
    assert len(shown.encode()) <= 255
