"""New messages of a batch become rows.

Rule 1: an email new to the index, at one place, is written whole in one go; every other one is noted as touched and
goes the long way (`effects`).
Rule 2: Threads are given out oldest email first (RFC 8621 section 3, and the same result after a rebuild).
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.account.flags import FlagSets
from gateway.account.pack import base_of, pack_summary, pack_words, sent_at_s
from gateway.account.records import NewMessage
from gateway.account.sql import insert_many, json_of, load_json
from gateway.account.threads import Newcomer, assign

Place = tuple[int, NewMessage]  # the number of the mailbox, and what is new there
Row = tuple[Any, ...]


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
    contents: list[Row] = field(default_factory=list)
    words: list[Row] = field(default_factory=list)
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
        insert_many(connection, "INSERT INTO thread", self.threads)
        insert_many(connection, "INSERT INTO link", self.links)
        insert_many(connection, "INSERT INTO email", self.emails)
        insert_many(connection, "INSERT INTO content (email, summary)", self.contents)
        insert_many(connection, "INSERT INTO words", self.words)
        insert_many(connection, "INSERT OR REPLACE INTO location", self.locations)
        insert_many(connection, "INSERT INTO member", self.members)
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
    ids = json_of(times)
    known: dict[str, int] = dict(
        load_json(
            connection,
            "SELECT json_group_array(json_array(id, num)) FROM email WHERE id IN (SELECT value FROM json_each(?))",
            (ids,),
        )
    )
    died: dict[str, int] = dict(
        load_json(
            connection,
            "SELECT json_group_array(json_array(id, first_seq)) FROM tombstone"
            " WHERE type = 'Email' AND id IN (SELECT value FROM json_each(?))",
            (ids,),
        )
    )
    replaced = load_json(
        connection,
        "SELECT json_group_array(l.email) FROM json_each(?) j CROSS JOIN location l"
        " ON l.mailbox = j.value ->> 0 AND l.uid = j.value ->> 1",
        (json_of([(mailbox, message.uid) for mailbox, message in places]),),
    )
    out.touched.update(replaced)
    first: dict[str, NewMessage] = {}
    for _, message in sorted(places, key=lambda place: (place[1].received_at_s, place[1].uid)):
        if message.email_id not in known:
            first.setdefault(message.email_id, message)
    newcomers = [
        Newcomer(message.email_id, message.thread_id, message.summary, base_of(message.summary))
        for message in first.values()
    ]
    assigned = assign(connection, newcomers, numbers.thread)
    numbers.thread += len(assigned.created)
    seen_threads: set[int] = set()
    fresh: dict[str, Row] = {}  # id -> (num, thread, keywords) of those written whole
    for newcomer, thread, message in zip(newcomers, assigned.threads, first.values(), strict=True):
        num = numbers.email
        numbers.email += 1
        id = message.email_id
        known[id] = num
        flagset = flags.get(message.flags)
        is_whole = times[id] == 1
        is_visible = is_whole and not flagset.is_deleted
        is_reborn = id in died
        out.emails.append(
            (
                num,
                id,
                thread,
                message.received_at_s,
                message.size_octets,
                flagset.keywords,
                is_visible,
                sent_at_s(message.summary),
                None,
                seq if is_visible else 0,
                seq if is_visible else 0,
                died[id] if is_reborn else seq,
            )
        )
        out.contents.append((num, pack_summary(message.summary)))
        out.words.append((num, *pack_words(message.summary, newcomer.base)))
        if not is_whole:
            out.touched.add(num)
        elif is_visible:
            out.new_emails += 1
            fresh[id] = (num, thread, flagset.keywords)
            seen_threads.add(thread)
            if is_reborn:
                out.reborn.add(id)
    for mailbox, message in places:
        num = known[message.email_id]
        flagset = flags.get(message.flags)
        out.locations.append((mailbox, message.uid, num, flagset.num, message.modseq))
        if (row := fresh.get(message.email_id)) is not None:
            out.members.append((mailbox, message.received_at_s, num, row[1], row[2]))
        elif times[message.email_id] > 1 or message.email_id not in first:
            out.touched.add(num)
    out.locations.sort()
    out.members.sort()
    out.links.extend(sorted(assigned.links.items()))
    for thread, thread_id in assigned.created.items():
        is_visible = thread in seen_threads
        out.new_threads += is_visible
        at = seq if is_visible else 0
        out.threads.append((thread, thread_id, is_visible, at, at, seq))
    out.joined = {thread for thread in seen_threads if thread not in assigned.created}
    return out
