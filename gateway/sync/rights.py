"""From the letters of IMAP's ACL (RFC 4314 section 2.1) to MailboxRights (RFC 8621 section 2, `myRights`). Pure.

Rule 1: a right that needs two letters needs both (RFC 8621 says so of "lr" and "te").
Rule 2: servers of RFC 2086 know `c` and `d` where RFC 4314 section 2.1.1 has `k`, `x`, `t` and `e`.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.jmap.objects.mailbox import RIGHTS

ALL_RIGHTS = frozenset(RIGHTS)
_LETTERS = {
    "mayReadItems": "lr",
    "mayAddItems": "i",
    "mayRemoveItems": "te",
    "maySetSeen": "s",
    "maySetKeywords": "w",
    "mayCreateChild": "k",
    "mayRename": "x",
    "mayDelete": "x",
    "maySubmit": "p",
    "mayShare": "a",  # of the mail-sharing draft; without ACL nobody may
}
# Courier 5.0:  * MYRIGHTS "INBOX" "acdilrsw". It keeps `k` where it is given, and it means nothing there.
_OLD = {"c": "k", "d": "xte"}
_REPEATED_BY = {"c": frozenset("kx"), "d": frozenset("xte")}  # by a server of RFC 4314


def rights_of(letters: str) -> frozenset[str]:
    """Return the MailboxRights that these letters give."""
    held = set(letters)
    held.update(
        letter
        for old, new in _OLD.items()
        if old in letters and not _REPEATED_BY[old].intersection(letters)  # else it only repeats them
        for letter in new
    )
    return frozenset(right for right, needed in _LETTERS.items() if held.issuperset(needed))


def letters_of(rights: Collection[str], before: str = "", *, is_old: bool = False) -> str:
    """Return the letters that give these MailboxRights, and those of `before` that none of them has to do with.

    `is_old`: for a server of RFC 2086, which has no RIGHTS= among its capabilities. It gets `d` only where that gives
    nothing beyond what is wanted.
    """
    known = frozenset("".join(_LETTERS.values())) | _OLD.keys()
    wanted = dict.fromkeys(letter for right, letters in _LETTERS.items() if right in rights for letter in letters)
    if is_old:
        for old, new in _OLD.items():
            if wanted.keys() >= set(new):
                wanted = dict.fromkeys([letter for letter in wanted if letter not in new] + [old])
    return "".join([*(letter for letter in before if letter not in known), *wanted])
