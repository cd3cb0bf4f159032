"""Which mailboxes belong to which account."""

from __future__ import annotations

import pytest

from gateway.sync.plan import Seen
from gateway.sync.scope import PERSONAL, Scope, scope_of, scopes_of
from gateway.sync.tree import Listed, build_tree
from gateway.upstream.imap import ListEntry, Namespace, Namespaces

CYRUS = Namespaces([Namespace("", "/")], [Namespace("Other Users/", "/")], [Namespace("Shared Folders/", "/")])
OLD_CYRUS = Namespaces([Namespace("INBOX.", ".")], [Namespace("user.", ".")], [Namespace("", ".")])
COURIER = Namespaces([Namespace("INBOX.", ".")], [Namespace("#shared.", ".")], [Namespace("shared.", ".")])
BOB = Scope("Other Users/bob/", "/", "bob", is_personal=False)
SHARED = Scope("Shared Folders/", "/", is_personal=False)


@pytest.mark.parametrize(
    ("told", "path", "scope"),
    [
        (CYRUS, "INBOX", PERSONAL),
        (CYRUS, "Other", PERSONAL),
        (CYRUS, "Other Users", None),
        (CYRUS, "Other Users/bob", BOB),
        (CYRUS, "Other Users/bob/a/b", BOB),
        (CYRUS, "Other Users/bobby", Scope("Other Users/bobby/", "/", "bobby", is_personal=False)),
        (CYRUS, "Shared Folders/x", SHARED),
        (CYRUS, "Shared Folders", SHARED),
        (OLD_CYRUS, "INBOX", PERSONAL),
        (OLD_CYRUS, "inbox", PERSONAL),
        (OLD_CYRUS, "INBOX.a", PERSONAL),
        (OLD_CYRUS, "user.bob.a", Scope("user.bob.", ".", "bob", is_personal=False)),
        (OLD_CYRUS, "news", Scope("", ".", is_personal=False)),
        (COURIER, "shared.a", Scope("shared.", ".", is_personal=False)),
        (COURIER, "#shared.bob.Team", Scope("#shared.bob.", ".", "bob", is_personal=False)),
        (COURIER, "stray", PERSONAL),
        (Namespaces(), "anything", PERSONAL),
        (Namespaces([Namespace("", None)], [Namespace("~", None)], []), "~bob", None),
    ],
)
def test_scope_of_a_path(told: Namespaces, path: str, scope: Scope | None) -> None:
    """The longest prefix counts, the first level below that of other users is a user, and the INBOX is one's own."""
    assert scope_of(path, told) == scope


def entry(name: str, *attributes: str) -> ListEntry:
    return ListEntry(name, "/", frozenset(attributes))


def test_only_what_can_be_selected_makes_an_account() -> None:
    """A path that only leads to something is nobody's account; each owner has one, in a set order."""
    entries = [
        entry("Shared Folders/x"),
        entry("Other Users/carol", "\\nonexistent"),
        entry("Other Users/bob", "\\noselect"),
        entry("Other Users/bob/Team"),
        entry("Other Users/bob/Other"),
        entry("INBOX"),
    ]
    assert scopes_of(entries, CYRUS) == [BOB, SHARED]


def listed(path: str, *attributes: str) -> Listed:
    return Listed(path, "/", frozenset(attributes), Seen(1, 1, 1, 0), rights="lrswipkxte")


def test_tree_of_another_user() -> None:
    """Their root is the Inbox, the rest stands beside it under its own names; a bare root is not there."""
    namespaces = BOB.namespaces(CYRUS)
    paths = ["Other Users/bob", "Other Users/bob/Team", "Other Users/bob/Team/Sub", "Other Users/bob/INBOX"]
    tree = build_tree([listed(path) for path in paths], [], namespaces, None)
    facts = {one.path: one for one in tree.facts}
    shown = {path: (facts[path].name, facts[path].role) for path in paths}
    assert shown == dict(zip(paths, [("Inbox", "inbox"), ("Team", None), ("Sub", None), ("INBOX", None)], strict=True))
    assert [facts[path].parent_id for path in paths] == [None, None, facts["Other Users/bob/Team"].id, None]
    assert "mayRename" not in facts["Other Users/bob"].rights
    tree = build_tree(
        [listed("Other Users/bob", "\\nonexistent"), listed("Other Users/bob/Team")], [], namespaces, None
    )
    assert [one.path for one in tree.facts] == ["Other Users/bob/Team"]


def test_tree_of_a_shared_namespace() -> None:
    """There is no Inbox in it, whatever a mailbox is called."""
    tree = build_tree(
        [listed("Shared Folders", "\\noselect"), listed("Shared Folders/INBOX"), listed("Shared Folders/a/b")],
        [],
        SHARED.namespaces(CYRUS),
        None,
    )
    assert sorted((one.name, one.role, one.is_selectable) for one in tree.facts) == [
        ("INBOX", None, True),
        ("a", None, False),
        ("b", None, True),
    ]
    assert SHARED.name == "Shared Folders"
    assert Scope("", ".", is_personal=False).name == "Shared"
