"""The plan for one mailbox, as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.account.records import Mark
from gateway.sync.plan import Seen, Step, Tier, missing, must_list_uids, plan, windows

MARK = Mark(uidvalidity=7, uidnext=10, highestmodseq=50, exists=5, is_indexed=True)
SAME = Seen(uidvalidity=7, uidnext=10, highestmodseq=50, messages=5)


@pytest.mark.parametrize(
    ("mark", "seen", "tier", "step"),
    [
        (None, SAME, Tier.QRESYNC, Step.INDEX),
        (Mark(7, 10, 50, 5, is_indexed=False), SAME, Tier.QRESYNC, Step.INDEX),
        (MARK, SAME, Tier.QRESYNC, Step.NOTHING),
        (MARK, SAME, Tier.CONDSTORE, Step.NOTHING),
        (MARK, SAME, Tier.NEITHER, Step.SCAN),
        (MARK, Seen(8, 10, 50, 5), Tier.QRESYNC, Step.REBUILD),
        (Mark(7, 10, 50, 5, is_indexed=False), Seen(8, 10, 50, 5), Tier.QRESYNC, Step.REBUILD),
        (Mark(7, 1, 0, 0, is_indexed=True), Seen(8, 1, None, 0), Tier.NEITHER, Step.NOTHING),
        (Mark(7, 1, 0, 0, is_indexed=True), Seen(8, 2, None, 1), Tier.NEITHER, Step.REBUILD),
        (MARK, Seen(7, 10, 51, 5), Tier.QRESYNC, Step.CHANGED_SINCE),
        (MARK, Seen(7, 11, 50, 5), Tier.QRESYNC, Step.CHANGED_SINCE),
        (MARK, Seen(7, 10, 50, 4), Tier.CONDSTORE, Step.CHANGED_SINCE),
        (MARK, Seen(7, 10, 49, 5), Tier.QRESYNC, Step.SCAN),
        (MARK, Seen(7, 10, None, 5), Tier.QRESYNC, Step.SCAN),
        (MARK, Seen(7, 10, 0, 5), Tier.CONDSTORE, Step.SCAN),
        (Mark(7, 10, 0, 5, is_indexed=True), SAME, Tier.QRESYNC, Step.SCAN),
        (MARK, Seen(7, None, 50, 5), Tier.QRESYNC, Step.CHANGED_SINCE),
        (MARK, Seen(None, 10, 50, 5), Tier.QRESYNC, Step.NOTHING),
    ],
)
def test_each_situation_gets_its_cheapest_step(mark: Mark | None, seen: Seen, tier: Tier, step: Step) -> None:
    """A missing or odd number costs a dearer step, never a wrong one."""
    assert plan(mark, seen, tier) is step


@pytest.mark.parametrize(
    ("capabilities", "tier"),
    [
        ({"QRESYNC"}, Tier.QRESYNC),
        ({"CONDSTORE", "IDLE"}, Tier.CONDSTORE),
        ({"IMAP4REV1"}, Tier.NEITHER),
    ],
)
def test_the_tier_follows_the_capabilities(capabilities: set[str], tier: Tier) -> None:
    """QRESYNC alone is enough for the best tier: it implies CONDSTORE."""
    assert Tier.of(frozenset(capabilities)) is tier


def test_uids_are_listed_only_when_exists_does_not_add_up() -> None:
    """With QRESYNC the server tells what vanished; with CONDSTORE alone the count tells that something did."""
    assert not must_list_uids(Tier.QRESYNC, known=5, arrived=0, exists=4)
    assert not must_list_uids(Tier.CONDSTORE, known=5, arrived=1, exists=6)
    assert must_list_uids(Tier.CONDSTORE, known=5, arrived=1, exists=5)


def _ranges(uids: set[int]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for uid in sorted(uids):
        if out and out[-1][1] == uid - 1:
            out[-1] = (out[-1][0], uid)
        else:
            out.append((uid, uid))
    return out


def _uids(ranges: list[tuple[int, int]]) -> list[int]:
    return [uid for low, high in ranges for uid in range(low, high + 1)]


@given(st.sets(st.integers(1, 60)), st.integers(1, 9))
def test_windows_hold_every_uid_once_in_order(uids: set[int], size: int) -> None:
    """No window is larger than asked, none is empty."""
    cut = windows(_ranges(uids), size)
    assert [uid for window in cut for uid in _uids(window)] == sorted(uids)
    assert all(0 < len(_uids(window)) <= size for window in cut)


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
def test_missing_is_the_set_difference(present: set[int], known: set[int]) -> None:
    """The ranges hold exactly the uids that are present and not known."""
    assert _uids(missing(_ranges(present), _ranges(known))) == sorted(present - known)
