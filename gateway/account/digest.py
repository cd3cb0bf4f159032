"""From the raw header of an email to what the index keeps of it: its summary, its words and its sort keys.

A first indexing stores headers as they come, for reading them takes longer than all the rest of it. They are digested
later, newest first, or when a query needs them.

Rule 1: digesting changes nothing that a client can see: `Snapshot.emails` reads an undigested header itself, and a
query that needs words or sort keys has its candidates digested first.
Rule 2: an email is digested or it has its raw header, never both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gateway.account.filter_sql import View, compile_filter, structural
from gateway.account.pack import pack_summary, pack_words, sent_at_s
from gateway.account.query import STRING_SORTS, EmailQuery, conditions_of
from gateway.account.snapshot import Snapshot
from gateway.account.sql import insert_many, json_of, load_json
from gateway.message.summary import summarize

_DIGESTED_SORTS = STRING_SORTS | {"sentAt"}


class Undigested(Exception):
    """A query cannot be evaluated before these emails (internal keys) are digested."""

    def __init__(self, nums: Sequence[int]) -> None:
        super().__init__(f"{len(nums)} emails are not digested")
        self.nums = nums


def check_digested(snapshot: Snapshot, query: EmailQuery) -> None:
    """Raise `Undigested` if filter or sort look at what is not there yet."""
    if not any(one.property in _DIGESTED_SORTS for one in query.sort) and not any(
        one.text or one.from_ or one.to or one.cc or one.bcc or one.subject for one in conditions_of(query.filter)
    ):
        return
    (has_any,) = snapshot.connection.execute("SELECT EXISTS (SELECT 1 FROM header)").fetchone()
    if not has_any:
        return
    view = View({id: num for num, id in snapshot.mailbox_ids.items()}, snapshot.keywordsets)
    statement = compile_filter(structural(query.filter), view)
    statement.where.append(f"EXISTS (SELECT 1 FROM header h WHERE h.email = {statement.num})")
    text = statement.text(f"{statement.received} DESC")
    nums = load_json(snapshot.connection, f"SELECT json_group_array(num) FROM ({text})", statement.parameters)
    if nums:
        raise Undigested(nums)


def digest_emails(connection: sqlite3.Connection, nums: Sequence[int]) -> None:
    """Digest those of these emails that are not. Within a batch."""
    found = load_json(
        connection,
        "SELECT json_group_array(json_array(h.email, hex(h.block))) FROM json_each(?) j"
        " CROSS JOIN header h ON h.email = j.value",
        (json_of(set(nums)),),
    )
    if not found:
        return
    summaries = [(num, summarize(bytes.fromhex(block))) for num, block in found]
    connection.execute(
        # A preview may have come before.
        "INSERT INTO content (email, summary) SELECT j.value ->> 0, j.value ->> 1 FROM json_each(?) j WHERE true"
        " ON CONFLICT (email) DO UPDATE SET summary = excluded.summary",
        (json_of([(num, pack_summary(summary)) for num, summary in summaries]),),
    )
    insert_many(connection, "INSERT OR FAIL INTO words", [(num, *pack_words(summary)) for num, summary in summaries])
    connection.execute(
        "UPDATE email SET sent = j.value ->> 1 FROM json_each(?) j WHERE num = j.value ->> 0",
        (json_of([(num, at) for num, summary in summaries if (at := sent_at_s(summary)) is not None]),),
    )
    connection.execute(
        "DELETE FROM header WHERE email IN (SELECT value FROM json_each(?))", (json_of([num for num, _ in found]),)
    )
