"""Decide the cheapest step that makes the index of one mailbox equal to the upstream. Pure: no I/O, no clock.

Rule 1: a step never trusts a number that the upstream did not state; a missing one costs a dearer step.
Rule 2: without QRESYNC an expunge may leave HIGHESTMODSEQ as it was (RFC 7162 section 3.1.2.1), so EXISTS must add up.
Rule 3: without CONDSTORE nothing tells of a flag that changed, so a scan of all flags is always due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.account.records import Mark


class Tier(Enum):
    """What the upstream offers for learning of changes, best first."""

    QRESYNC = "QRESYNC"
    CONDSTORE = "CONDSTORE"
    NEITHER = "neither"

    @classmethod
    def of(cls, capabilities: frozenset[str]) -> Tier:
        """Choose by capability; QRESYNC implies CONDSTORE (RFC 7162 section 3.2)."""
        if "QRESYNC" in capabilities:
            return cls.QRESYNC
        return cls.CONDSTORE if "CONDSTORE" in capabilities else cls.NEITHER


class Step(Enum):
    """What to do about one mailbox."""

    NOTHING = "nothing"
    INDEX = "index"  # first contact, or an indexing that was cut short
    REBUILD = "rebuild"  # UIDVALIDITY changed: every uid is void, the emails may be the same
    CHANGED_SINCE = "changed since"  # FETCH (CHANGEDSINCE n [VANISHED]) and the new uids
    SCAN = "scan"  # all uids and flags


@dataclass(frozen=True, slots=True)
class Seen:
    """What STATUS or SELECT said of a mailbox. None: it did not say."""

    uidvalidity: int | None
    uidnext: int | None = None
    highestmodseq: int | None = None  # None or 0: no mod-sequences here (NOMODSEQ)
    messages: int | None = None


def plan(mark: Mark | None, seen: Seen, tier: Tier) -> Step:
    """Return the step for a mailbox of which `mark` is known and `seen` was just said."""
    if mark is None:
        return Step.INDEX
    if seen.uidvalidity is not None and seen.uidvalidity != mark.uidvalidity:
        # Courier tells the time until somebody selects the mailbox: where there is no message, no uid is void.
        is_empty = mark.is_indexed and mark.exists == 0 and seen.messages == 0
        return Step.NOTHING if is_empty else Step.REBUILD
    if not mark.is_indexed:
        return Step.INDEX
    if tier is Tier.NEITHER or not seen.highestmodseq or not mark.highestmodseq:
        return Step.SCAN
    if seen.highestmodseq < mark.highestmodseq:
        return Step.SCAN  # it only ever grows (RFC 7162 section 3.1.1): the mailbox was restored from a backup
    same = seen.highestmodseq == mark.highestmodseq and seen.uidnext == mark.uidnext and seen.messages == mark.exists
    return Step.NOTHING if same else Step.CHANGED_SINCE


def must_list_uids(tier: Tier, *, known: int, arrived: int, exists: int) -> bool:
    """Tell whether something vanished that no response spoke of (tier CONDSTORE)."""
    return tier is not Tier.QRESYNC and known + arrived != exists


def count(ranges: Sequence[tuple[int, int]]) -> int:
    """Return how many uids the ranges hold."""
    return sum(last - first + 1 for first, last in ranges)


def windows(ranges: list[tuple[int, int]], size: int) -> list[list[tuple[int, int]]]:
    """Cut a set of uids into consecutive windows of at most `size` uids each, in order."""
    out: list[list[tuple[int, int]]] = []
    window: list[tuple[int, int]] = []
    room = size
    for first, last in ranges:
        low = first
        while low <= last:
            high = min(last, low + room - 1)
            window.append((low, high))
            room -= high - low + 1
            low = high + 1
            if not room:
                out.append(window)
                window, room = [], size
    if window:
        out.append(window)
    return out


def missing(present: list[tuple[int, int]], known: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the uids of `present` that are not in `known`; both sorted, disjoint, inclusive ranges."""
    out: list[tuple[int, int]] = []
    index = 0
    for first, last in present:
        low = first
        while index < len(known) and known[index][1] < low:
            index += 1
        at = index
        while at < len(known) and known[at][0] <= last:
            if known[at][0] > low:
                out.append((low, known[at][0] - 1))
            low = max(low, known[at][1] + 1)
            at += 1
        if low <= last:
            out.append((low, last))
    return out
