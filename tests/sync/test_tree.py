"""From LIST to the JMAP tree."""

from __future__ import annotations

from gateway.account.records import MailboxFacts
from gateway.sync.plan import Seen
from gateway.sync.tree import KnownMailbox, Listed, Move, Namespaces, build_tree

NONE = Namespaces()


def _listed(path: str, *attributes: str, validity: int = 1, uidnext: int = 1, delimiter: str | None = "/") -> Listed:
    return Listed(path, delimiter, frozenset(attributes), Seen(validity, uidnext, None, 0))


def _by_path(
    listed: list[Listed], known: tuple[KnownMailbox, ...] = (), namespaces: Namespaces = NONE
) -> dict[str, MailboxFacts]:
    return {facts.path: facts for facts in build_tree(listed, known, namespaces, None).facts}


def _known(facts: MailboxFacts, *, validity: int, uidnext: int = 1) -> KnownMailbox:
    return KnownMailbox(facts.id, facts.path, validity, uidnext)


def test_the_hierarchy_becomes_parents() -> None:
    """Each level has its parent's id; the name is the last level."""
    tree = _by_path([_listed("INBOX"), _listed("Work"), _listed("Work/A", validity=2)])
    assert tree["Work/A"].parent_id == tree["Work"].id
    assert (tree["Work/A"].name, tree["INBOX"].name, tree["INBOX"].role) == ("A", "Inbox", "inbox")


def test_a_parent_that_the_server_did_not_list_is_shown_but_holds_nothing() -> None:
    """a/b/c alone gives three mailboxes, of which two cannot be read."""
    tree = _by_path([_listed("a/b/c")])
    assert set(tree) == {"a", "a/b", "a/b/c"}
    assert not tree["a"].is_selectable
    assert "mayReadItems" not in tree["a/b"].rights
    assert tree["a/b/c"].parent_id == tree["a/b"].id


def test_the_personal_prefix_is_no_level() -> None:
    """Courier's INBOX.Sent is a mailbox Sent beside the inbox."""
    tree = _by_path(
        [_listed("INBOX", delimiter="."), _listed("INBOX.Sent", validity=2, delimiter=".")],
        namespaces=Namespaces("INBOX.", ("shared.",)),
    )
    assert tree["INBOX.Sent"].parent_id is None
    assert (tree["INBOX.Sent"].name, tree["INBOX.Sent"].role) == ("Sent", "sent")


def test_children_of_inbox_stay_below_it_whatever_its_case() -> None:
    """INBOX has no case, so inbox/child is below INBOX."""
    tree = _by_path([_listed("INBOX"), _listed("inbox/child", validity=2)])
    assert tree["inbox/child"].parent_id == tree["INBOX"].id


def test_other_namespaces_are_not_the_accounts_own() -> None:
    """Mailboxes of others and shared ones are left out, look-alikes are not."""
    tree = _by_path(
        [
            _listed("INBOX"),
            _listed("shared", "\\noselect"),
            _listed("shared/x", validity=2),
            _listed("sharedplan", validity=3),
        ],
        namespaces=Namespaces("", ("shared/",)),
    )
    assert set(tree) == {"INBOX", "sharedplan"}


def test_an_id_survives_a_rename_by_another_client() -> None:
    """The same UIDVALIDITY under one new path is the same mailbox."""
    old = _by_path([_listed("Old", validity=5, uidnext=3)])["Old"]
    tree = _by_path([_listed("New", validity=5, uidnext=4)], (_known(old, validity=5, uidnext=3),))
    assert tree["New"].id == old.id


def test_an_id_follows_a_rename_even_if_the_old_path_is_used_again() -> None:
    """After Old became New and a fresh Old was made, New keeps the id and Old gets another."""
    old = _by_path([_listed("Old", validity=5)])["Old"]
    tree = _by_path([_listed("New", validity=5), _listed("Old", validity=9)], (_known(old, validity=5),))
    assert tree["New"].id == old.id
    assert tree["Old"].id != old.id


def test_a_new_uidvalidity_at_the_same_path_keeps_the_id() -> None:
    """A server that was rebuilt does not cost the client its mailboxes."""
    old = _by_path([_listed("Box", validity=5)])["Box"]
    assert _by_path([_listed("Box", validity=6)], (_known(old, validity=5),))["Box"].id == old.id


def test_two_mailboxes_with_one_uidvalidity_are_not_taken_for_a_rename() -> None:
    """Where it is not clear which is the heir, neither is."""
    old = _by_path([_listed("Old", validity=5)])["Old"]
    tree = _by_path([_listed("A", validity=5), _listed("B", validity=5)], (_known(old, validity=5),))
    assert old.id not in {facts.id for facts in tree.values()}


def test_names_are_unique_and_clean() -> None:
    """Control characters go, and an Inbox beside INBOX gets a number."""
    tree = _by_path(
        [
            _listed("INBOX", delimiter="."),
            _listed("INBOX.Inbox", validity=2, delimiter="."),
            _listed("INBOX.a\x07b", delimiter="."),
        ],
        namespaces=Namespaces("INBOX."),
    )
    assert {facts.name for facts in tree.values()} == {"Inbox", "Inbox (2)", "a\ufffdb"}


def _after(
    listed: list[Listed], known: tuple[KnownMailbox, ...], *moves: Move, namespaces: Namespaces = NONE
) -> dict[str, MailboxFacts]:
    return {facts.path: facts for facts in build_tree(listed, known, namespaces, None, moves).facts}


def test_our_own_rename_keeps_every_id() -> None:
    """Children go along, whatever their UIDVALIDITY, and paths that are no mailboxes too."""
    old = _by_path([_listed("a/b/c", validity=7), _listed("a/b/d", validity=7)])
    known = tuple(_known(facts, validity=0 if "/b/" not in path else 7) for path, facts in old.items())
    now = _after([_listed("z/b/c", validity=8), _listed("z/b/d", validity=8)], known, Move("a", "z", "/"))
    assert {path.replace("z", "a", 1): facts.id for path, facts in now.items()} == {p: f.id for p, f in old.items()}


def test_a_rename_that_did_not_happen_changes_nothing() -> None:
    """What was asked for does not count, what is listed does."""
    old = _by_path([_listed("a/b", validity=7)])
    known = tuple(_known(facts, validity=7 if path == "a/b" else 0) for path, facts in old.items())
    assert _after([_listed("a/b", validity=7)], known, Move("a", "z", "/")) == old


def test_a_rename_leaves_its_old_place_to_others() -> None:
    """Dovecot makes a special mailbox anew at once; a path that only begins alike is not below."""
    old = _by_path([_listed("Sent", validity=5), _listed("Sentinel", validity=6)])
    known = (_known(old["Sent"], validity=5), _known(old["Sentinel"], validity=6))
    now = _after(
        [_listed("Sent", validity=9), _listed("Old", validity=5), _listed("Sentinel", validity=6)],
        known,
        Move("Sent", "Old", "/"),
    )
    assert (now["Old"].id, now["Sentinel"].id) == (old["Sent"].id, old["Sentinel"].id)
    assert now["Sent"].id != old["Sent"].id


def test_minted_ids_are_never_shared() -> None:
    """A new mailbox under an old name, made in the same second, does not get the id that moved away."""
    old = _by_path([_listed("a", validity=7)])["a"]
    now = _after([_listed("a", validity=7), _listed("b", validity=7)], (_known(old, validity=7),), Move("a", "b", "/"))
    assert len({facts.id for facts in now.values()}) == 2


def test_rights_come_from_the_letters() -> None:
    """ACL is what counts; INBOX stays where it is all the same, and holds no children where it is the prefix."""
    tree = build_tree(
        [
            Listed("INBOX", ".", frozenset(), Seen(1, 1), rights="lrswipkxtea"),
            Listed("INBOX.read", ".", frozenset(), Seen(2, 1), rights="lr"),
            Listed("INBOX.full", ".", frozenset({"\\noinferiors"}), Seen(3, 1)),
        ],
        (),
        Namespaces("INBOX."),
        None,
    )
    rights = {facts.path: facts.rights for facts in tree.facts}
    assert rights["INBOX.read"] == {"mayReadItems"}
    assert not rights["INBOX"] & {"mayRename", "mayDelete", "mayCreateChild"}
    assert {"mayRename", "mayDelete"} <= rights["INBOX.full"]
    assert "mayCreateChild" not in rights["INBOX.full"]


def test_a_sort_order_that_was_set_is_shown() -> None:
    tree = build_tree([_listed("INBOX"), _listed("a", validity=2)], (), NONE, None, (), {"a": 77})
    assert {facts.path: facts.sort_order for facts in tree.facts} == {"INBOX": 1, "a": 77}
