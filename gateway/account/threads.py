"""Which Thread an Email joins (RFC 8621 section 3), where the upstream does not say.

Rule 1: two Emails share a Thread when their base subjects agree and they share an id among Message-ID, In-Reply-To
and References.
Rule 2: a new Thread's id comes from the first References entry (else In-Reply-To, else the own Message-ID) and the
base subject, so that it is the same after a rebuild.
Rule 3: threadId never changes: an email that links two Threads joins the older one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from gateway.account.ids import derived_thread_id, digest_id
from gateway.account.sql import json_of, load_json
from gateway.message.summary import Summary

# Of a long References field the first ones (the root) and the last ones (the nearest) count: a reply's own list
# grows without end, and each entry is a row of the index.
MAX_FIRST_REFERENCES = 4
MAX_LAST_REFERENCES = 28


class Newcomer(NamedTuple):
    """An Email that needs a Thread."""

    email_id: str
    thread_id: str | None  # as the upstream says
    summary: Summary
    base: str  # base subject


class Assigned(NamedTuple):
    """The Thread of each newcomer, and the rows that this adds."""

    threads: list[int]
    created: dict[int, str]  # num -> id of new Threads
    links: dict[int, int]  # hash -> thread, new ones


def message_ids(summary: Summary) -> list[str]:
    """Return the ids that link an email, the root first; each once."""
    references = summary.references or ()
    if len(references) > MAX_FIRST_REFERENCES + MAX_LAST_REFERENCES:
        references = [*references[:MAX_FIRST_REFERENCES], *references[-MAX_LAST_REFERENCES:]]
    replied = (summary.in_reply_to or ())[:MAX_FIRST_REFERENCES]
    own = (summary.message_id or ())[:1]
    if not references and not replied:
        return list(own)
    return list(dict.fromkeys([*references, *replied, *own]))


def link_hash(message_id: str, base: str) -> int:
    """Return the key of a link: 64 bits, signed as SQLite's integers are."""
    data = f"{message_id}\0{base}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little", signed=True)


def fold_base(base: str) -> str:
    """Return a base subject as Threads compare it: without white space, in one case (RFC 8621 section 3)."""
    return "".join(base.split()).casefold()


def assign(connection: sqlite3.Connection, newcomers: Sequence[Newcomer], next_num: int) -> Assigned:
    """Give each newcomer its Thread, in the order given (oldest first); new Threads are numbered from `next_num`."""
    keyed: list[tuple[list[int], str, str]] = []  # of each: its link hashes, root and base, if it links at all
    for one in newcomers:
        if one.thread_id is not None or not (ids := message_ids(one.summary)):
            keyed.append(([], "", ""))
            continue
        base = fold_base(one.base)
        keyed.append(([link_hash(message_id, base) for message_id in ids], ids[0], base))
    links: dict[int, int] = dict(
        load_json(
            connection,
            "SELECT json_group_array(json_array(hash, thread)) FROM link"
            " WHERE hash IN (SELECT value FROM json_each(?))",
            (json_of({value for hashes, _, _ in keyed for value in hashes}),),
        )
    )
    founded: list[str] = []  # ids of Threads that may have to be made
    for one, (hashes, root, base) in zip(newcomers, keyed, strict=True):
        if hashes:
            founded.append("" if not links.keys().isdisjoint(hashes) else derived_thread_id(root, base))
        else:
            founded.append(one.thread_id or digest_id("T", "email", one.email_id))
    known: dict[str, int] = dict(
        load_json(
            connection,
            "SELECT json_group_array(json_array(id, num)) FROM thread WHERE id IN (SELECT value FROM json_each(?))",
            (json_of({thread_id for thread_id in founded if thread_id}),),
        )
    )
    threads: list[int] = []
    created: dict[int, str] = {}
    added: dict[int, int] = {}
    for (hashes, _, _), thread_id in zip(keyed, founded, strict=True):
        candidates = [links[value] for value in hashes if value in links]
        if candidates:
            thread = min(candidates)
        elif (found := known.get(thread_id)) is not None:
            thread = found
        else:
            thread = next_num
            next_num += 1
            created[thread] = thread_id
            known[thread_id] = thread
        for value in hashes:
            if value not in links:
                links[value] = added[value] = thread
        threads.append(thread)
    return Assigned(threads, created, added)
