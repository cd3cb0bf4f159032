"""How far a client has been told."""

from __future__ import annotations

from gateway.push.position import MAX_CHARS, digest, digests, position


def test_a_position_knows_its_digests() -> None:
    """What went in is found again; another state, type or account is not."""
    told = digests(position([digest("A", "Email", "1-1"), digest("A", "Mailbox", "1-2")]))
    assert digest("A", "Email", "1-1") in told
    assert digest("A", "Email", "1-2") not in told
    assert digest("B", "Email", "1-1") not in told
    assert digest("A", "Mailbox", "1-1") not in told


def test_a_foreign_position_knows_nothing() -> None:
    """Anything a client may send is a position; then everything has changed."""
    for text in ("", "x", "aaa", "\u2028" * 20, "x" * (2 * MAX_CHARS)):
        assert digest("A", "Email", "1-1") not in digests(text)


def test_a_position_is_bounded() -> None:
    """What does not fit is told again: never more than a header line."""
    many = [digest("A", str(n), "1-1") for n in range(2000)]
    assert len(position(many)) <= MAX_CHARS
    assert many[0] in digests(position(many))
    assert many[-1] not in digests(position(many))


def test_a_position_fits_a_header() -> None:
    """Letters, digits, - and _ only."""
    assert all(c.isalnum() or c in "-_" for n in range(100) for c in digest("A", "Email", str(n)))
