"""New messages of a batch become rows.

Rule 1: an email new to the index, at one place, is written whole in one go; every other one is noted as touched and
goes the long way (`effects`).
Rule 2: Threads are given out oldest email first (RFC 8621 section 3, and the same result after a rebuild).
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.account.flags import FlagSets
from gateway.account.records import MailboxDelta, NewMessage
from gateway.account.sql import insert_many, json_of, load_json
from gateway.account.threads import Newcomer, assign

Place = tuple[int, NewMessage]  # the number of the mailbox, and what is new there
Row = tuple[Any, ...]


class PlacedDelta(NamedTuple):
    """A delta of a mailbox that the index knows."""

    mailbox: int
    delta: MailboxDelta


@dataclass(slots=True)
class Numbers:
    """The next free internal keys."""

    email: int
    thread: int

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> Numbers:
        (email,) = connection.execute("SELECT coalesce(max(num), 0) + 1 FROM email").fetchone()
        (thread,) = connection.execute("SELECT coalesce(max(num), 0) + 1 FROM thread").fetchone()
        return cls(email, thread)


@dataclass(slots=True)
class Arrivals:
    """The rows to write, and what else they concern."""

    emails: list[Row] = field(default_factory=list)
    headers: list[Row] = field(default_factory=list)
    locations: list[Row] = field(default_factory=list)
    members: list[Row] = field(default_factory=list)
    links: list[Row] = field(default_factory=list)
    threads: list[Row] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)  # emails that go the long way
    joined: set[int] = field(default_factory=set)  # Threads that were there and gain an email here
    reborn: set[str] = field(default_factory=set)  # ids of Emails that come back from the dead
    new_emails: int = 0
    new_threads: int = 0

    def write(self, connection: sqlite3.Connection) -> None:
        """Insert the rows. `location` replaces: a uid that is told again is what it is told to be now."""
        insert_many(connection, "INSERT OR FAIL INTO thread", self.threads)
        insert_many(connection, "INSERT OR FAIL INTO link", self.links)
        insert_many(
            connection,
            "INSERT OR FAIL INTO email (num, id, thread, received, size, keywords, is_visible, created_seq,"
            " updated_seq, first_seq)",
            self.emails,
        )
        insert_many(connection, "INSERT OR FAIL INTO header", self.headers)
        insert_many(connection, "INSERT OR REPLACE INTO location", self.locations)
        insert_many(connection, "INSERT OR FAIL INTO member", self.members)
        if self.reborn:
            connection.execute(
                "DELETE FROM tombstone WHERE type = 'Email' AND id IN (SELECT value FROM json_each(?))",
                (json_of(self.reborn),),
            )


def prepare(
    connection: sqlite3.Connection, flags: FlagSets, places: Sequence[Place], numbers: Numbers, seq: int
) -> Arrivals:
    """Make the rows of new messages at (mailbox, message), without writing them."""
    out = Arrivals()
    times = Counter([message.email_id for _, message in places])
    known, died = _known(connection, times, numbers)
    out.touched.update(_replaced(connection, places))
    first: dict[str, NewMessage] = {}
    for _, message in sorted(places, key=_by_age):
        if message.email_id not in known:
            first.setdefault(message.email_id, message)
    newcomers = [Newcomer(*message[5:]) for message in first.values()]
    assigned = assign(connection, newcomers, numbers.thread)
    numbers.thread += len(assigned.created)
    seen_threads: set[int] = set()
    fresh: dict[str, tuple[int, int, int]] = {}  # id -> (num, thread, keywords) of those written whole
    num = numbers.email
    for thread, message in zip(assigned.threads, first.values(), strict=True):
        _, sent_flags, _, received, size, id, _, header, _ = message
        known[id] = num
        flagset = flags.get(sent_flags)
        at = seq if times[id] == 1 and not flagset.is_deleted else 0
        out.emails.append((num, id, thread, received, size, flagset.keywords, at > 0, at, at, died.get(id, seq)))
        out.headers.append((num, header))
        if at:
            fresh[id] = (num, thread, flagset.keywords)
            seen_threads.add(thread)
        elif times[id] > 1:
            out.touched.add(num)
        num += 1
    numbers.email = num
    out.new_emails = len(fresh)
    out.reborn = died.keys() & fresh.keys()
    for mailbox, message in places:
        uid, sent_flags, modseq, received, _, id, _, _, _ = message
        row = fresh.get(id)
        if row is not None:
            out.locations.append((mailbox, uid, row[0], flags.get(sent_flags).num, modseq))
            out.members.append((mailbox, received, *row))
            continue
        out.locations.append((mailbox, uid, known[id], flags.get(sent_flags).num, modseq))
        if times[id] > 1 or id not in first:
            out.touched.add(known[id])
    out.locations.sort()
    out.members.sort()
    out.links.extend(sorted(assigned.links.items()))
    for thread, thread_id in assigned.created.items():
        is_visible = thread in seen_threads
        out.new_threads += is_visible
        at = seq if is_visible else 0
        out.threads.append((thread, thread_id, is_visible, at, at, seq))
    out.joined = seen_threads - assigned.created.keys()
    return out


def _by_age(place: Place) -> tuple[int, int]:
    message = place[1]
    return (message.received_at_s, message.uid)


def _known(
    connection: sqlite3.Connection, ids: Iterable[str], numbers: Numbers
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the numbers of those that are in the index, and the first seqs of those that died."""
    known: dict[str, int] = {}
    died: dict[str, int] = {}
    text = json_of(ids)
    if numbers.email > 1:
        known.update(
            load_json(
                connection,
                "SELECT json_group_array(json_array(e.id, e.num)) FROM json_each(?) j"
                " CROSS JOIN email e ON e.id = j.value",
                (text,),
            )
        )
    if connection.execute("SELECT EXISTS (SELECT 1 FROM tombstone WHERE type = 'Email')").fetchone()[0]:
        died.update(
            load_json(
                connection,
                "SELECT json_group_array(json_array(t.id, t.first_seq)) FROM json_each(?) j"
                " CROSS JOIN tombstone t ON t.type = 'Email' AND t.id = j.value",
                (text,),
            )
        )
    return known, died


def _replaced(connection: sqlite3.Connection, places: Sequence[Place]) -> list[int]:
    """Return the emails at the uids that are told anew."""
    highest: dict[int, int] = {}
    for mailbox in {mailbox for mailbox, _ in places}:
        row = connection.execute("SELECT max(uid) FROM location WHERE mailbox = ?", (mailbox,)).fetchone()
        highest[mailbox] = row[0] or 0
    again = [(mailbox, message.uid) for mailbox, message in places if message.uid <= highest[mailbox]]
    if not again:
        return []
    found: list[int] = load_json(
        connection,
        "SELECT json_group_array(l.email) FROM json_each(?) j CROSS JOIN location l"
        " ON l.mailbox = j.value ->> 0 AND l.uid = j.value ->> 1",
        (json_of(again),),
    )
    return found


def only_brings(delta: MailboxDelta) -> bool:
    """Tell whether nothing of a delta can concern what is in the index."""
    return not (delta.flagged or delta.vanished or delta.shelves or delta.clears_shelf)


def places_of(deltas: Sequence[PlacedDelta]) -> list[Place]:
    """Return the new places as the rest of the batch leaves them: last told, with their last flags, still there."""
    if len(deltas) == 1 and only_brings(deltas[0].delta):
        mailbox, delta = deltas[0]
        if len({message.uid for message in delta.arrived}) == len(delta.arrived):
            return [(mailbox, message) for message in delta.arrived]
    places = {(num, message.uid): message for num, delta in deltas for message in delta.arrived}
    if not places:
        return []
    for num, delta in deltas:
        for change in delta.flagged:
            if (message := places.get((num, change.uid))) is not None:
                places[num, change.uid] = message._replace(
                    flags=change.flags, modseq=max(message.modseq, change.modseq)
                )
        if delta.vanished:
            ranges = sorted(delta.vanished)
            starts = [low for low, _ in ranges]
            for key in [key for key in places if key[0] == num]:
                at = bisect_right(starts, key[1]) - 1
                if at >= 0 and key[1] <= ranges[at][1]:
                    del places[key]
    return [(num, message) for (num, _), message in places.items()]
