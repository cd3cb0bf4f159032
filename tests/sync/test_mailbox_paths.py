"""From a parent and a name to a path."""

from __future__ import annotations

import pytest

from gateway.jmap.errors import SetError
from gateway.sync.mailbox_paths import MAX_PATH_OCTETS, Hierarchy
from gateway.sync.tree import Namespaces

PLAIN = Hierarchy(Namespaces("", ("Other Users/", "Shared/")), "/")
COURIER = Hierarchy(Namespaces("INBOX.", ("shared.",)), ".")
FLAT = Hierarchy(Namespaces(), None)


@pytest.mark.parametrize(
    ("hierarchy", "parent", "name", "path"),
    [
        (PLAIN, None, "a", "a"),
        (PLAIN, "a", "b.c", "a/b.c"),
        (PLAIN, "INBOX", "inbox", "INBOX/inbox"),
        (PLAIN, None, "Cafe\u0301", "Caf\u00e9"),
        (COURIER, None, "a/b", "INBOX.a/b"),
        (COURIER, "INBOX.a", "shared", "INBOX.a.shared"),
        (COURIER, None, "shared", "INBOX.shared"),
        (FLAT, None, "a/b.c", "a/b.c"),
    ],
)
def test_paths(hierarchy: Hierarchy, parent: str | None, name: str, path: str) -> None:
    """A child stands below its parent, a mailbox at the top in the personal namespace."""
    assert hierarchy.path(parent, name) == path


@pytest.mark.parametrize(
    ("hierarchy", "parent", "name", "property"),
    [
        (PLAIN, None, "", "name"),
        (PLAIN, None, "a/b", "name"),
        (COURIER, None, "a.b", "name"),
        (PLAIN, None, "a\r\nA1 LOGOUT", "name"),
        (PLAIN, None, "\0", "name"),
        (PLAIN, None, "\x85", "name"),
        (PLAIN, None, "\u2028", "name"),
        (PLAIN, None, "\ud800", "name"),
        (PLAIN, None, "ö" * 128, "name"),
        (PLAIN, None, "iNbOx", "name"),
        (COURIER, None, "inbox", "name"),
        (PLAIN, None, "Shared", "name"),
        (PLAIN, "a" * MAX_PATH_OCTETS, "b", "name"),
        (FLAT, "a", "b", "parentId"),
    ],
)
def test_no_paths(hierarchy: Hierarchy, parent: str | None, name: str, property: str) -> None:
    """What cannot be is refused, and the property named."""
    with pytest.raises(SetError) as caught:
        hierarchy.path(parent, name)
    assert (caught.value.kind, caught.value.extra["properties"]) == ("invalidProperties", [property])


def test_last_level() -> None:
    assert COURIER.last_level("INBOX.a.b") == "b"
    assert COURIER.last_level("INBOX.a") == "a"
    assert PLAIN.last_level("a.b") == "a.b"
    assert FLAT.last_level("a/b") == "a/b"


def test_below() -> None:
    """A name that only begins alike is not below."""
    assert PLAIN.is_below("a/b", "a")
    assert PLAIN.is_below("a", "a")
    assert not PLAIN.is_below("ab", "a")
    assert not FLAT.is_below("a/b", "a")
