"""How many accounts go from which node to which."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.server.balance import SLACK, SLACK_SHARE, Balance, spread, surplus
from gateway.store.api import Node


def nodes(*accounts: int | None) -> list[Node]:
    return [Node(f"n{number}", f"http://n{number}", count) for number, count in enumerate(accounts)]


def gone(going: list[Node]) -> dict[str, int]:
    return dict(Counter(node.id for node in going))


def test_a_node_that_comes_back_gets_some_from_each() -> None:
    """As many at once as it may be given, from all together."""
    assert gone(surplus(100, nodes(100, 0), {}, 8)) == {"n1": 4}
    assert gone(surplus(300, nodes(100, 0), {}, 8)) == {"n1": 8, "n0": 8}


def test_small_differences_stay() -> None:
    assert surplus(14, nodes(6), {}, 8) == []
    assert gone(surplus(16, nodes(4), {}, 8)) == {"n0": 6}
    assert surplus(1_099, nodes(901), {}, 8) == []
    assert surplus(5, [], {}, 8) == []


def test_what_was_sent_a_moment_ago_is_counted() -> None:
    assert gone(surplus(60, nodes(0), {"n0": 20}, 100)) == {"n0": 20}
    assert surplus(40, nodes(0), {"n0": 40}, 100) == []


def test_who_told_nothing_gets_nothing() -> None:
    """It is about to stop, or has only just come."""
    assert surplus(100, nodes(None), {}, 8) == []
    assert gone(surplus(100, nodes(None, 0), {}, 8)) == {"n1": 8}
    assert spread(10, nodes(None)) == []
    assert spread(10, []) == []


def test_what_is_left_goes_to_those_with_the_fewest() -> None:
    assert gone(spread(30, nodes(20, 0, None, 5))) == {"n1": 18, "n3": 12}
    assert gone(spread(9, nodes(0, 0, 0))) == {"n0": 3, "n1": 3, "n2": 3}


@settings(max_examples=200)
@given(st.lists(st.integers(0, 500), min_size=2, max_size=8), st.integers(1, 20))
def test_all_come_to_their_share(counts: list[int], most: int) -> None:
    """However they begin: nobody gets more than its share, nothing goes to and fro, in the end nobody has much more."""
    share = sum(counts) / len(counts)
    for _ in range(2_000):
        before = list(counts)
        for mine in range(len(counts)):
            others = [Node(str(number), "", count) for number, count in enumerate(before) if number != mine]
            for node in surplus(before[mine], others, {}, most):
                counts[mine] -= 1
                counts[int(node.id)] += 1
        assert all(now <= max(was, share + len(counts)) for was, now in zip(before, counts, strict=True))
        if counts == before:
            break
    assert max(counts) <= share + max(SLACK, share * SLACK_SHARE) + 1


def test_nothing_moves_right_after_a_node_has_gone() -> None:
    balance = Balance(8)
    assert gone(balance.going(100, nodes(0))) == {"n0": 8}
    balance.sent(nodes(0) * 50)
    assert balance.going(50, nodes(0)) == []  # it has not told yet of what it was given
    balance.node_gone()
    assert balance.going(200, nodes(0)) == []


def test_a_drain_goes_slowly_and_ends_in_time() -> None:
    balance = Balance(8)
    assert balance.pause_s(nodes(0, 0) * 10, 30) == 1 / 16
    assert balance.pause_s(nodes(0) * 3000, 30) * 3000 <= 15
    assert balance.pause_s([], 30) == 0
