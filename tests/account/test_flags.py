"""IMAP flags as JMAP keywords (RFC 8621 section 4.1.1)."""

from __future__ import annotations

import pytest

from gateway.account.flags import keywords_of, union


@pytest.mark.parametrize(
    ("flags", "keywords"),
    [
        (("\\Seen", "\\FLAGGED", "\\Answered", "\\Draft"), ("$answered", "$draft", "$flagged", "$seen")),
        (("\\Recent", "\\Deleted"), ()),
        (("$Forwarded", "NonJunk"), ("$forwarded", "nonjunk")),
        (('a{b"c*', "]]"), ("abc",)),
        (("x" * 300,), ("x" * 255,)),
        (("Ünïcode",), ("ncode",)),
    ],
)
def test_keywords(flags: tuple[str, ...], keywords: tuple[str, ...]) -> None:
    """System flags have their names, others are lower-cased, what a keyword must not hold is left out."""
    assert keywords_of(flags) == keywords


def test_seen_needs_every_place() -> None:
    """The union of several places, but $seen only where all have it."""
    assert union([("$seen", "a"), ("b",)]) == ("a", "b")
    assert union([("$seen",), ("$seen", "b")]) == ("$seen", "b")
