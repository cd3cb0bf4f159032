"""How many accounts go from this node to which others, so that each has its share: one that came back gets some.

Rule 1: every node reckons by itself, from what each told with its last beat; it gives and never asks.
Rule 2: small differences stay: moving an account costs its clients a reconnect.
Rule 3: a node that told no number takes nothing: it is about to stop.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from gateway.store.api import BEAT_S, Node

SLACK, SLACK_SHARE = 4, 0.1  # above its share, in accounts and of the share, a node keeps what it has
SETTLE_S = 10.0  # after a node has gone, what it left behind is taken over first
UNTOLD_S = 3 * BEAT_S  # until a node has certainly told of what it was given
DRAIN_SHARE = 0.5  # of the time for a drain is spent before the last account's turn comes, at most


class Balance:
    """What one node gives to which others, and when. `moves_per_s`: how many accounts a node is given in a second."""

    def __init__(self, moves_per_s: int) -> None:
        self._moves_per_s = moves_per_s
        self._settled_at = 0.0
        self._sent: list[tuple[float, str]] = []

    def node_gone(self) -> None:
        self._settled_at = time.monotonic() + SETTLE_S

    def going(self, mine: int, others: Sequence[Node]) -> list[Node]:
        """Return where accounts go in this second, one node for each account. Tell `sent` which of them did."""
        now = time.monotonic()
        if now < self._settled_at:
            return []
        self._sent = [(at, id) for at, id in self._sent if at > now - UNTOLD_S]
        return surplus(mine, others, Counter(id for _at, id in self._sent), self._moves_per_s)

    def sent(self, nodes: Sequence[Node]) -> None:
        now = time.monotonic()
        self._sent += [(now, node.id) for node in nodes]

    def pause_s(self, going: Sequence[Node], seconds: float) -> float:
        """Return how long to wait between two accounts when all go within so many seconds."""
        if not going:
            return 0.0
        return min(1 / (self._moves_per_s * len(set(going))), seconds * DRAIN_SHARE / len(going))


def surplus(mine: int, others: Sequence[Node], sent: Mapping[str, int], most: int) -> list[Node]:
    """Return where accounts of this node go now, one node for each account; an empty list: all have their share.

    `sent`: how many went to each node so lately that it may not have told of them. `most`: how many a node gets at
    once, from all.
    """
    counts = {node: node.accounts + sent.get(node.id, 0) for node in others if node.accounts is not None}
    share = (mine + sum(counts.values())) / (len(counts) + 1)
    if mine <= share + max(SLACK, share * SLACK_SHARE):
        return []
    too_many = sum(max(0.0, count - share) for count in (mine, *counts.values()))
    part = (mine - share) / too_many  # of what all have to give
    going = [
        node
        for node, count in counts.items()
        for _ in range(min(math.ceil(most * part), round((share - count) * part)))
    ]
    return going[: int(mine - share)]


def spread(count: int, others: Sequence[Node]) -> list[Node]:
    """Return where so many accounts go when this node stops: each to the one that has the fewest then."""
    heap = [(node.accounts, node.id, node) for node in others if node.accounts is not None]
    heapq.heapify(heap)
    going = []
    for _ in range(count if heap else 0):
        has, id, node = heap[0]
        heapq.heapreplace(heap, (has + 1, id, node))
        going.append(node)
    return going
