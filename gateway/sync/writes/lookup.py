"""What is really there of some Emails, after a command whose answer did not come.

Rule 1: where they were is looked at before where they may have come to: a message that is moved meanwhile is seen twice
rather than never.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from gateway.account.records import MailboxRow
from gateway.sync.link import Link
from gateway.sync.writes.moving import arrivals, first_new, is_other
from gateway.sync.writes.outcome import Outcome
from gateway.sync.writes.standing import Standing
from gateway.sync.writes.storing import Stores, reread
from gateway.upstream.imap import CommandFailed


async def look(link: Link, standing: Standing, email_ids: Iterable[str], targets: Iterable[str]) -> Outcome:
    """Read the flags at every known location of these, and all that is new in the targets. Raises ImapError.

    A mailbox that cannot be opened, or whose uids are void, is left to the next sweep.
    """
    outcome = Outcome()
    known: Mapping[str, set[int]] = defaultdict(set)
    for email_id in email_ids:
        for at in standing.places.get(email_id, ()):
            known[at.mailbox_id].add(at.uid)
    for mailbox_id, uids in known.items():
        try:
            await _look_at(link, standing.rows[mailbox_id], uids, outcome)
        except CommandFailed:
            continue
    for mailbox_id in targets:
        row = standing.rows[mailbox_id]
        try:
            for message in await arrivals(link, row, first_new(row)):
                outcome.came(mailbox_id, message)
        except CommandFailed:
            continue
    return outcome


async def _look_at(link: Link, row: MailboxRow, uids: set[int], outcome: Outcome) -> None:
    told = Stores()
    path = row.facts.path
    async with link.connection(path, read_only=False, select=False) as connection:
        selected = await connection.select(path, read_only=False, condstore="CONDSTORE" in connection.capabilities)
        if is_other(selected.uidvalidity, row):
            return
        await reread(connection, uids, told)
    for change in told.changed.values():
        outcome.changed(row.facts.id, change)
    outcome.went(row.facts.id, told.gone)
