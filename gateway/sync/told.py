"""What the upstream told of single mailboxes, unasked (RFC 5465), laid over what is known of them. Pure.

Rule 1: what was not told is as it was. What was told late, after a sweep had read further, is no news.
Rule 2: what the numbers of single mailboxes cannot explain takes a look at all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.account.records import MailboxRow, Mark
from gateway.sync.plan import Seen, Tier
from gateway.sync.tree import Listed
from gateway.upstream.imap import StatusItems


def is_enough(told: StatusItems, tier: Tier) -> bool:
    """Tell whether a resync can start from these numbers; else STATUS has to be asked."""
    return isinstance(told.get("HIGHESTMODSEQ" if tier is not Tier.NEITHER else "MESSAGES"), int)


def listed_of(rows: Mapping[str, MailboxRow], told: Mapping[str, StatusItems], tier: Tier) -> dict[str, Listed] | None:
    """Return the mailboxes (by id) to be read because of what was `told` (by path); None: look at all."""
    by_path = {row.facts.path: row for row in rows.values()}
    listed: dict[str, Listed] = {}
    for path, items in told.items():
        row = by_path.get(path)
        if row is None or row.mark is None or items.get("UIDVALIDITY", row.mark.uidvalidity) != row.mark.uidvalidity:
            return None
        seen = overlay(row.mark, items, tier)
        if seen is not None:
            listed[row.facts.id] = Listed(path, None, frozenset(), seen, _number(items, "UNSEEN", None))
    return listed


def overlay(mark: Mark, told: StatusItems, tier: Tier) -> Seen | None:
    """Return the numbers of a mailbox as they are now; None: nothing that the mark does not have."""
    uidnext = _number(told, "UIDNEXT", mark.uidnext)
    messages = _number(told, "MESSAGES", mark.exists)
    modseq = _number(told, "HIGHESTMODSEQ", None)
    if tier is not Tier.NEITHER and modseq and modseq <= mark.highestmodseq:
        # Without QRESYNC an expunge may leave HIGHESTMODSEQ as it was (RFC 7162 section 3.1.2.1).
        if tier is Tier.QRESYNC or (messages == mark.exists and (uidnext or 0) <= mark.uidnext):
            return None
        modseq = mark.highestmodseq
    return Seen(mark.uidvalidity, uidnext, modseq, messages)


def _number(items: StatusItems, name: str, default: int | None) -> int | None:
    value = items.get(name)
    return value if isinstance(value, int) else default
