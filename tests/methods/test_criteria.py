"""Filter and sort as clients write them (RFC 8620 section 5.5)."""

from __future__ import annotations

from gateway.account.query import Comparator
from gateway.methods.criteria import parse_sort


def test_what_jmapc_adds_to_a_comparator() -> None:
    """jmapc writes arguments of the query into each comparator; the sort is what it says without them."""
    sent = {"property": "sentAt", "isAscending": False, "anchorOffset": 0, "calculateTotal": False, "position": 0}
    parsed = parse_sort([sent], frozenset({"sentAt"}), strings=frozenset())
    assert parsed == (Comparator("sentAt", False, None, None),)
