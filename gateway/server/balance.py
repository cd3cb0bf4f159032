"""How many accounts go from this node to which others, so that each has its share: one that came back gets some.

Rule 1: every node reckons by itself, from what each told with its last beat; it gives and never asks.
Rule 2: small differences stay: moving an account costs its clients a reconnect.
Rule 3: a node that told no number takes nothing: it is about to stop.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence

from gateway.store.api import Node

SLACK, SLACK_SHARE = 4, 0.1  # above its share, in accounts and of the share, a node keeps what it has


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
