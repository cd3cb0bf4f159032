"""Decide by the upstream's own search which Emails match a text: UID SEARCH in every mailbox that may hold one.

Rule 1: the words of a client go out as strings (quoted or literals), never as search keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.account.records import MailboxRow, TextCriterion
from gateway.sync.link import Link

_KEYS = {"text": "TEXT", "body": "BODY"}


async def search(link: Link, criterion: TextCriterion, mailbox_ids: frozenset[str] | None) -> set[str]:
    """Return the ids of the Emails that match, in these mailboxes only (None: in all)."""
    criteria = _criteria(criterion)
    rows = [
        row
        for row in link.mailboxes().values()
        if row.facts.is_selectable and (mailbox_ids is None or row.facts.id in mailbox_ids) and row.total_emails
    ]
    found = await asyncio.gather(*(_search_one(link, row, criteria) for row in rows))
    return set().union(*found)


async def _search_one(link: Link, row: MailboxRow, criteria: Sequence[str | bytes]) -> set[str]:
    async with link.connection(row.facts.path) as connection:
        await connection.noop()  # a view that was selected earlier may lack what the index has
        ranges = await connection.search(criteria)
    uids = [uid for first, last in ranges for uid in range(first, last + 1)]
    if not uids:
        return set()
    return set((await link.account.read(lambda snapshot: snapshot.email_at(row.facts.id, uids))).values())


def _criteria(criterion: TextCriterion) -> list[str | bytes]:
    words = [word.encode("utf-8", "replace") for word in criterion.words]
    if criterion.kind == "header":
        name = (criterion.header or "").encode("utf-8", "replace")
        return [item for word in words or [b""] for item in ("HEADER", name, word)]
    return [item for word in words for item in (_KEYS[criterion.kind], word)] or ["ALL"]
