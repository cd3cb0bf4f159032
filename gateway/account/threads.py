"""Which Thread an Email joins (RFC 8621 section 3), where the upstream does not say.

Rule 1: two Emails share a Thread when their base subjects agree and they share an id among Message-ID, In-Reply-To
and References.
Rule 2: a new Thread's id comes from the first References entry (else In-Reply-To, else the own Message-ID) and the
base subject, so that it is the same after a rebuild.
Rule 3: threadId never changes: an email that links two Threads joins the older one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

from gateway.account.ids import digest_id, id_of, link_digest
from gateway.account.sql import json_of, load_json
from gateway.message.threadkeys import thread_links

MAX_LINKS = 4_096  # remembered: answers repeat the ids of what they answer


class Newcomer(NamedTuple):
    """An Email that needs a Thread: the last fields of a `NewMessage`."""

    email_id: str
    thread_id: str | None
    header: bytes
    links: Sequence[int] | None


class Assigned(NamedTuple):
    """The Thread of each newcomer, and the rows that this adds."""

    threads: list[int]
    created: dict[int, str]  # num -> id of new Threads
    links: dict[int, int]  # key -> thread, new ones


class ThreadKey(NamedTuple):
    """What a header says of its Thread."""

    thread_id: str  # of the Thread that the email founds where nothing links it to one
    links: Sequence[int]  # keys of its links, the root first


def thread_key(header: bytes, email_id: str) -> ThreadKey:
    """Read the links off a header; without any the email stays alone."""
    links = thread_links(header)
    if not links:
        return ThreadKey(_lone_thread_id(email_id), [])
    return ThreadKey(_founded(links[0]), [_key(link) for link in links])


@lru_cache(MAX_LINKS)
def _founded(root: bytes) -> str:
    """Return the id of the Thread that begins with this link."""
    return id_of("T", link_digest(root))


@lru_cache(MAX_LINKS)
def _key(link: bytes) -> int:
    """Return 64 bits of a link's digest, signed as SQLite's integers are."""
    return int.from_bytes(link_digest(link)[:8], "little", signed=True)


def assign(connection: sqlite3.Connection, newcomers: Sequence[Newcomer], next_num: int) -> Assigned:
    """Give each newcomer its Thread, in the order given (oldest first); new Threads are numbered from `next_num`."""
    keyed = [_key_of(one) if one.links is None else ThreadKey(one.thread_id or "", one.links) for one in newcomers]
    links = _known_links(connection, set().union(*[one.links for one in keyed]))
    known = _known_threads(connection, {thread_id for thread_id, mine in keyed if not mine})
    threads: list[int] = []
    created: dict[int, str] = {}
    added: dict[int, int] = {}
    for thread_id, mine in keyed:
        found = [links[link] for link in mine if link in links]
        if found:
            thread = min(found)
        else:
            # A Thread that was made from this root before is found by the root's link.
            thread = known.get(thread_id, next_num)
            if thread == next_num:
                next_num += 1
                created[thread] = thread_id
                known[thread_id] = thread
        if len(found) < len(mine):
            for link in mine:
                if link not in links:
                    links[link] = added[link] = thread
        threads.append(thread)
    return Assigned(threads, created, added)


def _key_of(one: Newcomer) -> ThreadKey:
    """Return the key of an email whose links nobody has read: the upstream's word, else the header's."""
    return ThreadKey(one.thread_id, []) if one.thread_id is not None else thread_key(one.header, one.email_id)


def _lone_thread_id(email_id: str) -> str:
    return digest_id("T", "email", email_id)


def _known_links(connection: sqlite3.Connection, links: Collection[int]) -> dict[int, int]:
    """Return the Threads of the links that are in the index."""
    return dict(
        load_json(
            connection,
            "SELECT json_group_array(json_array(hash, thread)) FROM link"
            " WHERE hash IN (SELECT value FROM json_each(?))",
            (json_of(links),),
        )
    )


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
