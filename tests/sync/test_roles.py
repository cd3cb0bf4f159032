"""Roles: special-use attributes, then well-known names."""

from __future__ import annotations

import pytest

from gateway.sync.roles import Candidate, assign_roles


def _candidate(name: str, *attributes: str, depth: int = 0) -> Candidate:
    return Candidate(name, name.split("/")[-1], depth, frozenset(attributes), name.upper() == "INBOX")


def test_the_attribute_wins_over_a_name() -> None:
    """A mailbox named Trash is plain when the server says that another one is the trash."""
    roles = assign_roles([_candidate("Trash"), _candidate("Bin2", "\\trash")])
    assert roles == {"Bin2": "trash"}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Entwürfe", "drafts"),
        ("Sent Items", "sent"),
        ("Envoyés", "sent"),
        ("ゴミ箱", "trash"),
        ("Спам", "junk"),
        ("ARCHIVE", "archive"),
        ("inbox", "inbox"),
        ("Receipts", None),
    ],
)
def test_common_names_give_a_role(name: str, role: str | None) -> None:
    """Names are compared without case, in the common languages."""
    assert assign_roles([_candidate(name)]).get(name) == role


def test_a_role_has_one_mailbox_the_one_nearest_the_root() -> None:
    """Of Lists/Sent and Sent, Sent is it, whatever the order of the LIST."""
    roles = assign_roles([_candidate("Lists/Sent", depth=1), _candidate("Sent"), _candidate("Sent Items")])
    assert roles == {"Sent": "sent"}


def test_a_mailbox_has_one_role() -> None:
    """INBOX stays the inbox even if the server marks it as something else too."""
    assert assign_roles([_candidate("INBOX", "\\archive")]) == {"INBOX": "inbox"}
