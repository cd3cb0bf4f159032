"""Texts of filters become words and phrases (RFC 8621 section 4.4.1)."""

from __future__ import annotations

import pytest

from gateway.account.query import split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("  ", ()),
        ("one two", ("one", "two")),
        ('say "hello world" now', ("say", "hello world", "now")),
        ("'a phrase'", ("a phrase",)),
        ("don't stop", ("don't", "stop")),
        ('"open', ('"open',)),
        (r'"a \" b \\ c"', (r"a \" b \ c".replace(r"\"", '"'),)),
        ('""', ()),
        ("twice twice", ("twice",)),
    ],
)
def test_words_and_phrases(text: str, words: tuple[str, ...]) -> None:
    """White space divides, closed quotes join, a backslash escapes inside a phrase only."""
    assert split_words(text) == words
