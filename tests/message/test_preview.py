"""Previews: short, in one line, of what the sender wrote (RFC 8621 section 4.1.4)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message.preview import preview


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("  Hello\n\n  world\t!\n", "Hello world !"),
        ("On Monday, Bob wrote:\n> old\n\nnew", "new"),
        ("On Monday,\nBob <b@x> wrote:\n\n> old\n>\n> older\nnew\n-- \nme", "new"),
        ("> only\n> quoted", "> only > quoted"),
        ("she wrote: yes\n> old", "she wrote: yes"),
        ("a\u200b\ufeffb\0c", "ab c"),
        ("", ""),
    ],
)
def test_plain_text(text: str, shown: str) -> None:
    """Quotations, their introductions and signatures are left out unless there is nothing else."""
    assert preview(text, is_html=False) == shown


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<title>t</title><style>x</style><p>Hi <b>the</b>re</p><p>you</p><script>z</script>", "Hi there you"),
        ("<p>new</p><blockquote>old</blockquote>", "new"),
        ("<blockquote>only</blockquote>", "only"),
        ('<div style="display:none">hidden</div><div hidden>too</div>seen', "seen"),
        ("1 &lt; 2 &amp; 3&nbsp;", "1 < 2 & 3"),
        ("<!-- c -->", ""),
    ],
)
def test_html(html: str, shown: str) -> None:
    """Only what a reader sees counts."""
    assert preview(html, is_html=True) == shown


@given(st.text(max_size=400), st.booleans())
def test_never_too_long(text: str, is_html: bool) -> None:
    """At most 256 characters, counted either way, without line breaks, and it never raises."""
    shown = preview(text, is_html=is_html)
    assert len(shown.encode("utf-16-le", "replace")) <= 512
    assert "\n" not in shown


def test_astral_characters_are_not_cut() -> None:
    """A character of two UTF-16 units is kept or left out whole."""
    assert preview("a" + "😀" * 300, is_html=False) == "a" + "😀" * 127


@pytest.mark.parametrize(
    ("scrap", "is_html"),
    [("<div>", True), ("<blockquote>", True), ("<", True), ('<a b="', True), ("<table><tr><td>", True),
     ("wrote", False), ("> \n\n", False), ("wrote:\n> x\n", False), (" ", False)],
)  # fmt: skip
def test_time_is_bounded(scrap: str, is_html: bool) -> None:
    """Hostile text takes a bounded time."""
    begun = time.process_time()
    preview(scrap * (2_000_000 // len(scrap)), is_html=is_html)
    assert time.process_time() - begun < 10.0  # a quadratic one takes minutes
