"""Sets of uids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.imap import uidset
from gateway.upstream.imap.uidset import MAX_UID, from_uids, within

UIDS = st.sets(st.integers(1, uidset.MAX_UID), max_size=50) | st.sets(st.integers(1, 60), max_size=50)


@given(UIDS)
def test_round_trip(uids: set[int]) -> None:
    """Compressed, written, read and expanded: the same uids."""
    ranges = uidset.from_uids(uids)
    assert uidset.parse(uidset.format_set(ranges)) == ranges
    assert set(uidset.expand(ranges, 100)) == uids
    assert uidset.count(ranges) == len(uids)


@given(UIDS, st.integers(25, 60))
def test_chunks_are_short_and_complete(uids: set[int], limit: int) -> None:
    """No chunk exceeds the limit, and together they are the set."""
    ranges = uidset.from_uids(uids)
    chunks = list(uidset.chunks(ranges, limit))
    assert all(len(chunk) <= limit for chunk in chunks)
    assert [piece for chunk in chunks for piece in uidset.parse(chunk)] == ranges
    assert list(uidset.chunks(uidset.format_set(ranges), limit)) == chunks


def test_servers_order_and_overlap() -> None:
    """Servers may turn ranges round, overlap them and mix them up."""
    assert uidset.parse("9,5:1,3:6,7") == [(1, 7), (9, 9)]
    assert uidset.parse("") == []
    assert uidset.from_uids([3, 1, 2, 2, 9]) == [(1, 3), (9, 9)]


@pytest.mark.parametrize("text", ["*", "1:*", "a", "1,", "1:2:3", ":", "-1", "1" * 60, "٣"])
def test_nonsense(text: str) -> None:
    """What is no set of numbers is refused."""
    with pytest.raises(ValueError, match=r"."):
        uidset.parse(text)


def test_expansion_is_bounded() -> None:
    """A server that names four billion uids does not fill the memory."""
    with pytest.raises(ValueError, match="too many"):
        uidset.expand([(1, uidset.MAX_UID)], 1000)


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
def test_membership(held: set[int], asked: set[int]) -> None:
    """What of some uids a set holds, without expanding the set."""
    assert within(from_uids(held), asked) == held & asked
    assert within([(1, MAX_UID)], asked) == asked
