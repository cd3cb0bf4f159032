"""Where Emails are, by the index: every location with its flags, at one moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gateway.account.records import Location, MailboxRow
from gateway.account.snapshot import Snapshot
from gateway.sync.link import Link
from gateway.sync.writes.flags import is_deleted

MAX_GAP = 64  # uids between two that are asked for together: a row costs less than a statement

Places = dict[Location, tuple[str, ...]]  # the flags of each location


@dataclass(frozen=True, slots=True)
class Standing:
    """Mailboxes by id, and the locations of the Emails asked for; those that cannot be reached are left out."""

    rows: Mapping[str, MailboxRow]
    places: Mapping[str, Places]

    def live(self, email_id: str) -> Places:
        """Return the locations that count (not flagged \\Deleted)."""
        return {at: flags for at, flags in self.places.get(email_id, {}).items() if not is_deleted(flags)}


def standing_of(link: Link, email_ids: Collection[str]) -> Standing:
    """Read it from the index."""
    with link.account.snapshot() as snapshot:
        rows = {row.facts.id: row for row in snapshot.mailboxes()}
        places: dict[str, Places] = {email_id: {} for email_id in email_ids}
        by_mailbox: dict[str, dict[int, str]] = defaultdict(dict)
        for email_id, locations in snapshot.locations(email_ids).items():
            for at in locations:
                if at.uid > 0 and at.mailbox_id in rows and rows[at.mailbox_id].facts.is_selectable:
                    by_mailbox[at.mailbox_id][at.uid] = email_id
        for mailbox_id, email_of in by_mailbox.items():
            for uid, flags in _flags(snapshot, mailbox_id, sorted(email_of)).items():
                places[email_of[uid]][Location(mailbox_id, uid)] = flags
    return Standing(rows, places)


def _flags(snapshot: Snapshot, mailbox_id: str, uids: list[int]) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[tuple[str, ...], int]] = {}
    first = last = uids[0]
    for uid in uids[1:]:
        if uid - last > MAX_GAP:
            found |= snapshot.flags(mailbox_id, first, last)
            first = uid
        last = uid
    found |= snapshot.flags(mailbox_id, first, last)
    return {uid: found[uid][0] for uid in uids if uid in found}
