"""Whom an ACL shares a mailbox with."""

from __future__ import annotations

from gateway.sync.acl import MAX_IDENTIFIERS, shares_of

OWNERS = frozenset({"ann", "ann@example.org"})


def test_who_is_meant() -> None:
    """Others with at least one right that has a name here: not the owner, nor who is denied something."""
    acl = {
        "ann": "lrswipkxtea",
        "ann@example.org": "lr",
        "owner": "lr",
        "administrators": "acdilrsw",
        "-bob": "r",
        "#user-override=x": "lr",
        "carol": "lrs",
        "anyone": "p",
        "dave": "n0",
        "e" * 1000: "lr",
    }
    assert shares_of(acl, OWNERS) == (("anyone", ("maySubmit",)), ("carol", ("mayReadItems", "maySetSeen")))


def test_order_and_bounds() -> None:
    """The order of the server's answer changes nothing, and thousands of entries are not taken."""
    acl = {f"u{number}": "lr" for number in range(5000)}
    found = shares_of(acl, OWNERS)
    assert len(found) == MAX_IDENTIFIERS
    assert shares_of(dict(reversed(acl.items())), OWNERS) == found
