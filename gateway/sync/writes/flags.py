"""JMAP keywords to IMAP flags (RFC 8621 section 4.1.1), and which of them a mailbox keeps. Pure.

Rule 1: a keyword that is taken away goes under every name by which the message has it; one that is added takes the
spelling that the mailbox knows already, for not every server compares names without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from gateway.account.flags import keyword_of, keywords_of
from gateway.upstream.imap import Selected

DELETED = "\\Deleted"
CACHED = 2_048  # combinations remembered: a few hundred octets each
_SYSTEM = {"$seen": "\\Seen", "$flagged": "\\Flagged", "$answered": "\\Answered", "$draft": "\\Draft"}

_SENDABLE = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,255}")  # an atom (RFC 9051 section 9)


@lru_cache(CACHED)
def is_sendable(keyword: str) -> bool:
    """Tell whether a keyword can be an IMAP flag at all."""
    return _SENDABLE.fullmatch(keyword) is not None


def flag_of(keyword: str) -> str:
    """Return the flag that shows as this keyword."""
    return _SYSTEM.get(keyword.lower(), keyword)


# A thousand messages have a handful of combinations between them.
@lru_cache(CACHED)
def keywords_at(flags: tuple[str, ...]) -> frozenset[str]:
    """Return the keywords of one location."""
    return frozenset(keywords_of(flags))


@lru_cache(CACHED)
def flags_of(keywords: frozenset[str]) -> frozenset[str]:
    """Return the flags that show as these keywords."""
    return frozenset(flag_of(keyword) for keyword in keywords)


@lru_cache(CACHED)
def all_names_of(keywords: frozenset[str], flags: tuple[str, ...]) -> frozenset[str]:
    """Return the flags among `flags` that show as these keywords; for one that none shows as, the one that would."""
    names: set[str] = set()
    for keyword in keywords:
        names |= {flag for flag in flags if keyword_of(flag) == keyword} or {flag_of(keyword)}
    return frozenset(names)


def spelled(flags: Iterable[str], selected: Selected) -> list[str]:
    """Return flags as this mailbox spells them, sorted."""
    known = {flag.lower(): flag for flag in (*selected.flags, *(selected.permanent_flags or ())) if flag != "\\*"}
    return sorted(known.get(flag.lower(), flag) for flag in flags)


def not_kept(flags: Iterable[str], selected: Selected) -> list[str]:
    """Return those that PERMANENTFLAGS does not allow here (RFC 9051 section 7.1), sorted."""
    return sorted(flag for flag in flags if not selected.can_store(flag))


@lru_cache(CACHED)
def is_deleted(flags: tuple[str, ...]) -> bool:
    """Tell whether a location with these flags counts as absent."""
    return any(flag.lower() == "\\deleted" for flag in flags)
