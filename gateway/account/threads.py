"""Which Thread an Email joins (RFC 8621 section 3), where the upstream does not say.

Rule 1: two Emails share a Thread when their base subjects agree and they share an id among Message-ID, In-Reply-To
and References.
Rule 2: a new Thread's id comes from the first References entry (else In-Reply-To, else the own Message-ID) and the
base subject, so that it is the same after a rebuild.
Rule 3: threadId never changes: an email that links two Threads joins the older one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from gateway.account.ids import digest_id, id_of, link_digest
from gateway.account.sql import json_of, load_json
from gateway.message.threadkeys import thread_links


class Newcomer(NamedTuple):
    """An Email that needs a Thread."""

    email_id: str
    thread_id: str | None  # as the upstream says
    header: bytes
    links: Sequence[bytes] | None  # of the header, where they are made


class Assigned(NamedTuple):
    """The Thread of each newcomer, and the rows that this adds."""

    threads: list[int]
    created: dict[int, str]  # num -> id of new Threads
    links: dict[int, int]  # hash -> thread, new ones


def link_hash(digest: bytes) -> int:
    """Return the key of a link: 64 bits of its digest, signed as SQLite's integers are."""
    return int.from_bytes(digest[:8], "little", signed=True)


def assign(connection: sqlite3.Connection, newcomers: Sequence[Newcomer], next_num: int) -> Assigned:
    """Give each newcomer its Thread, in the order given (oldest first); new Threads are numbered from `next_num`."""
    nothing: Sequence[bytes] = ()
    linked = [
        (thread_links(header) if links is None else links) if told is None else nothing
        for _, told, header, links in newcomers
    ]
    # Answers repeat the ids of what they answer: each is digested once.
    digests = {link: link_digest(link) for link in set().union(*linked)}
    links = _known_links(connection, digests)
    known = _known_threads(
        connection,
        {_lone_thread_id(one) for one, mine in zip(newcomers, linked, strict=True) if not mine},
    )
    threads: list[int] = []
    created: dict[int, str] = {}
    added: dict[int, int] = {}
    for one, mine in zip(newcomers, linked, strict=True):
        found = [links[link] for link in mine if link in links]
        if found:
            thread = min(found)
        else:
            # A Thread that was made from this root before is found by the root's link.
            thread_id = id_of("T", digests[mine[0]]) if mine else _lone_thread_id(one)
            thread = known.get(thread_id, next_num)
            if thread == next_num:
                next_num += 1
                created[thread] = thread_id
                known[thread_id] = thread
        if len(found) < len(mine):
            for link in mine:
                if link not in links:
                    links[link] = added[link_hash(digests[link])] = thread
        threads.append(thread)
    return Assigned(threads, created, added)


def _lone_thread_id(one: Newcomer) -> str:
    """Return the id of the Thread of an email without links: the upstream's word, else its own."""
    return one.thread_id or digest_id("T", "email", one.email_id)


def _known_links(connection: sqlite3.Connection, digests: Mapping[bytes, bytes]) -> dict[bytes, int]:
    """Return the Threads of the links that are in the index."""
    by_hash = {link_hash(digest): link for link, digest in digests.items()}
    found = load_json(
        connection,
        "SELECT json_group_array(json_array(hash, thread)) FROM link WHERE hash IN (SELECT value FROM json_each(?))",
        (json_of(by_hash),),
    )
    return {by_hash[hash]: thread for hash, thread in found}


def _known_threads(connection: sqlite3.Connection, ids: Collection[str]) -> dict[str, int]:
    if not ids:
        return {}
    return dict(
        load_json(
            connection,
            "SELECT json_group_array(json_array(id, num)) FROM thread WHERE id IN (SELECT value FROM json_each(?))",
            (json_of(ids),),
        )
    )
