"""Named quirks."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.upstream import imap
from gateway.upstream.imap.quirks import KNOWN, Quirks


def test_each_is_told_once() -> None:
    """However often it is met, the observer hears of it once a connection."""
    told: list[str] = []
    quirks = Quirks(told.append)
    quirks.see("stray-tag")
    quirks.see("stray-tag")
    assert told == ["stray-tag"]
    assert "stray-tag" in quirks
    assert "no-uidnext" not in quirks
    assert repr(quirks) == "Quirks(stray-tag)"


def test_unknown_names_are_mistakes() -> None:
    """A quirk without an entry in the list is a bug."""
    with pytest.raises(KeyError):
        Quirks().see("never heard of")


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_each_is_looked_for(name: str) -> None:
    """No quirk is listed that no code sees."""
    package = Path(imap.__file__).parent
    assert any(f'see("{name}")' in path.read_text() for path in package.rglob("*.py"))
