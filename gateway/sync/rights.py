"""From the letters of IMAP's ACL (RFC 4314 section 2.1) to MailboxRights (RFC 8621 section 2, `myRights`). Pure.

Rule 1: a right that needs two letters needs both (RFC 8621 says so of "lr" and "te").
Rule 2: servers of RFC 2086 know `c` and `d` where RFC 4314 section 2.1.1 has `k`, `x`, `t` and `e`.
"""

from __future__ import annotations

from collections.abc import Collection

ALL_RIGHTS = frozenset(
    {
        "mayReadItems",
        "mayAddItems",
        "mayRemoveItems",
        "maySetSeen",
        "maySetKeywords",
        "mayCreateChild",
        "mayRename",
        "mayDelete",
        "maySubmit",
    }
)
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
# Courier 5.0:  * MYRIGHTS "INBOX" "acdilrsw"
_OLD = {"c": "k", "d": "xte"}


def rights_of(letters: str) -> frozenset[str]:
    """Return the MailboxRights that these letters give."""
    held = set(letters)
    if not held & set("kxte"):  # else `c` and `d` only repeat them
        held.update(letter for old, new in _OLD.items() if old in held for letter in new)
    return frozenset(right for right, needed in _LETTERS.items() if held.issuperset(needed))


def letters_of(rights: Collection[str], before: str = "") -> str:
    """Return the letters that give these MailboxRights, and those of `before` that none of them has to do with."""
    known = frozenset("".join(_LETTERS.values())) | _OLD.keys()
    return "".join(letter for letter in before if letter not in known) + "".join(
        dict.fromkeys(letter for right, letters in _LETTERS.items() if right in rights for letter in letters)
    )
