"""Sets of uids: `1:5,9` on the wire (RFC 9051 `sequence-set`), sorted disjoint inclusive ranges inside. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

Range = tuple[int, int]

MAX_SET_OCTETS = 7_900  # servers cut off lines at 8,192 octets and more; the verb and the items need some of that
MAX_UID = 2**32 - 1


def parse(text: bytes | str) -> list[Range]:
    """Parse a set as servers send it (no `*`), in any order, into sorted disjoint ranges. Raise ValueError."""
    raw = text.encode("ascii") if isinstance(text, str) else text
    if not raw:
        return []
    ranges: list[Range] = []
    for piece in raw.split(b","):
        low, colon, high = piece.partition(b":")
        if not low.isdigit() or (colon and not high.isdigit()) or len(piece) > 41:
            raise ValueError("not a set of uids")
        first = int(low)
        last = int(high) if colon else first
        ranges.append((first, last) if first <= last else (last, first))
    return normalize(ranges)


def parse_ordered(text: bytes, limit: int) -> list[int]:
    """List the uids of a set in the order they stand in, ranges upwards (RFC 4315: COPYUID). Raise ValueError."""
    uids: list[int] = []
    for piece in text.split(b","):
        uids += expand(parse(piece), limit - len(uids))
    return uids


def parse_lenient(text: bytes) -> list[Range]:
    """Like `parse`; what is no set is empty."""
    try:
        return parse(text)
    except ValueError:
        return []


def normalize(ranges: Iterable[Range]) -> list[Range]:
    """Sort ranges and join those that touch."""
    out: list[Range] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            if last > out[-1][1]:
                out[-1] = (out[-1][0], last)
        else:
            out.append((first, last))
    return out


def from_uids(uids: Iterable[int]) -> list[Range]:
    """Compress numbers, in any order, duplicates allowed."""
    out: list[Range] = []
    first = last = -2
    for uid in sorted(uids):
        if uid <= last + 1 and last >= 0:
            last = max(last, uid)
        else:
            if last >= 0:
                out.append((first, last))
            first = last = uid
    if last >= 0:
        out.append((first, last))
    return out


def format_set(ranges: Iterable[Range]) -> str:
    """Write ranges as one set."""
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in ranges)


def chunks(uids: str | Sequence[Range], max_octets: int = MAX_SET_OCTETS) -> Iterator[str]:
    """Yield sets that together name all of these, none longer than `max_octets`; nothing for an empty set."""
    texts = uids.split(",") if isinstance(uids, str) else (format_set((piece,)) for piece in uids)
    held: list[str] = []
    octets = 0
    for text in texts:
        if not text:
            continue
        if held and octets + len(text) + 1 > max_octets:
            yield ",".join(held)
            held, octets = [], 0
        held.append(text)
        octets += len(text) + 1
    if held:
        yield ",".join(held)


def expand(ranges: Iterable[Range], limit: int) -> list[int]:
    """List the numbers; raise ValueError beyond `limit` of them, for a server may say 1:4294967295."""
    ranges = list(ranges)
    if count(ranges) > limit:
        raise ValueError("too many uids")
    return [uid for first, last in ranges for uid in range(first, last + 1)]


def count(ranges: Iterable[Range]) -> int:
    """Return how many numbers disjoint ranges hold."""
    return sum(last - first + 1 for first, last in ranges)


def within(ranges: Sequence[Range], uids: Iterable[int]) -> set[int]:
    """Return those of `uids` that sorted disjoint ranges hold, however many more they hold."""
    found = set()
    for uid in uids:
        at = bisect_right(ranges, (uid, MAX_UID)) - 1
        if at >= 0 and uid <= ranges[at][1]:
            found.add(uid)
    return found
