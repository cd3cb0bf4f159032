"""Where Emails can be fetched from: one location each, grouped by mailbox so that one command serves many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.account.records import Location
from gateway.sync.link import Link
from gateway.upstream.imap import Connection


@dataclass(slots=True)
class Place:
    """One mailbox and the messages wanted from it."""

    path: str
    email_by_uid: dict[int, str] = field(default_factory=dict)

    def ranges(self) -> list[tuple[int, int]]:
        """Return the uids as sorted ranges."""
        out: list[tuple[int, int]] = []
        for uid in sorted(self.email_by_uid):
            if out and out[-1][1] == uid - 1:
                out[-1] = (out[-1][0], uid)
            else:
                out.append((uid, uid))
        return out


@asynccontextmanager
async def at_place(link: Link, place: Place) -> AsyncIterator[Connection]:
    """Borrow a connection that sees the messages of a place. Raises ImapError.

    One that had the mailbox selected before they came need not know of them until it is told (RFC 3501 section 5.2).
    Courier tells in the answer to NOOP and then only; before that, a FETCH of them is OK and answers nothing.
    """
    async with link.connection(place.path) as connection:
        selected = connection.selected
        if selected is None or selected.uidnext is None or max(place.email_by_uid, default=0) >= selected.uidnext:
            await connection.noop()
        yield connection


def places_of(link: Link, email_ids: Iterable[str]) -> list[Place]:
    """Choose a location for each Email that has one; the mailboxes that serve most come first."""
    with link.account.snapshot() as snapshot:
        locations = snapshot.locations(email_ids)
        paths = {row.facts.id: row.facts.path for row in snapshot.mailboxes() if row.facts.is_selectable}
    usable = {email_id: [at for at in found if _can_fetch(at, paths)] for email_id, found in locations.items()}
    demand: dict[str, int] = {}
    for found in usable.values():
        for at in found:
            demand[at.mailbox_id] = demand.get(at.mailbox_id, 0) + 1
    places: dict[str, Place] = {}
    for email_id, found in usable.items():
        if found:
            best = max(found, key=lambda at: demand[at.mailbox_id])
            place = places.setdefault(best.mailbox_id, Place(paths[best.mailbox_id]))
            place.email_by_uid[best.uid] = email_id
    return sorted(places.values(), key=lambda place: -len(place.email_by_uid))


def _can_fetch(location: Location, paths: dict[str, str]) -> bool:
    return location.uid > 0 and location.mailbox_id in paths
