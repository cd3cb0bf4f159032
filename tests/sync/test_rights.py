"""The letters of ACL as MailboxRights."""

from __future__ import annotations

import pytest

from gateway.sync.rights import ALL_RIGHTS, letters_of, rights_of


@pytest.mark.parametrize(
    ("letters", "held"),
    [
        ("", set()),
        ("l", set()),
        ("lr", {"mayReadItems"}),
        ("lrt", {"mayReadItems"}),
        ("te", {"mayRemoveItems"}),
        ("x", {"mayRename", "mayDelete"}),
        ("kc", {"mayCreateChild"}),  # RFC 4314: c repeats k, and says nothing of x
        ("c", {"mayCreateChild"}),  # RFC 2086
        ("d", {"mayRemoveItems", "mayRename", "mayDelete"}),  # RFC 2086
        ("ted", {"mayRemoveItems"}),  # RFC 4314: d repeats t and e
        ("swip", {"maySetSeen", "maySetKeywords", "mayAddItems", "maySubmit"}),
        ("lrswipkxtecdan", {*ALL_RIGHTS, "mayShare"}),  # Cyrus 3.6
        ("dilrswk", {*ALL_RIGHTS} - {"maySubmit"}),  # Courier 5.0 that was given a k: d still says all it says
        ("acdilrsw", {*ALL_RIGHTS, "mayShare"} - {"maySubmit"}),  # Courier 5.0
    ],
)
def test_letters(letters: str, held: set[str]) -> None:
    """Rights that need two letters need both; the letters of RFC 2086 stand for those of RFC 4314."""
    assert rights_of(letters) == held


@pytest.mark.parametrize(
    ("rights", "before", "letters"),
    [
        ({"mayReadItems"}, "", "lr"),
        ({"mayRemoveItems", "mayShare"}, "", "tea"),
        ({"mayRename", "mayDelete"}, "lr", "x"),
        ({"mayReadItems"}, "lrn09cd", "n09lr"),  # Cyrus's own stay; c and d follow from the others
        (set(), "lrs", ""),
    ],
)
def test_back_to_letters(rights: set[str], before: str, letters: str) -> None:
    """Each right brings its letters, letters without a meaning here stay as they were."""
    assert letters_of(rights, before) == letters


@pytest.mark.parametrize(
    ("rights", "letters"),
    [
        ({"mayReadItems", "mayCreateChild"}, "lrc"),
        ({"mayRemoveItems", "mayRename", "mayDelete", "maySetSeen"}, "sd"),
        ({"mayRemoveItems"}, "te"),  # d would let the mailbox be deleted too
    ],
)
def test_back_to_old_letters(rights: set[str], letters: str) -> None:
    """A server of RFC 2086 is told c and d, unless that gave what nobody asked for."""
    assert letters_of(rights, is_old=True) == letters
