"""Email/queryChanges (RFC 8620 section 5.6, RFC 8621 section 4.5): the query is evaluated again, and compared by row.

Rule 1: `removed` is every id whose row changed or vanished since the old state; `added` is those of them that are in
the new result. Where the result depends on Threads, the rows are those of every Thread with a change.
Rule 2: an Email that did not exist at the old state cannot have been in the old result.
Rule 3: where filter and sort see only what never changes, a row that merely changed stays where it is.
"""

from __future__ import annotations

from gateway.account.filter_sql import THREAD_SORTS, searches
from gateway.account.query import KEYWORD_SORTS, EmailQuery, QueryChanges, conditions_of
from gateway.account.results import Listings, complete
from gateway.account.snapshot import Snapshot
from gateway.account.sql import load_json
from gateway.jmap.errors import MethodError

# Emails of the Threads with a change, and what was destroyed, as (num, id, whether it can have been there before).
_BY_THREAD = """
WITH hit AS (
  SELECT thread FROM email WHERE is_visible AND updated_seq > :seq
  UNION SELECT thread FROM tombstone WHERE type = 'Email' AND seq > :seq)
SELECT json_group_array(json_array(e.num, e.id, e.first_seq <= :seq)) FROM email e
WHERE e.is_visible AND e.num IN (SELECT m.email FROM hit CROSS JOIN member m ON m.thread = hit.thread)"""
_BY_EMAIL = """
SELECT json_group_array(json_array(num, id, first_seq <= :seq)) FROM email WHERE is_visible AND updated_seq > :seq"""
_CREATED = """
SELECT json_group_array(json_array(num, id, first_seq <= :seq)) FROM email WHERE is_visible AND updated_seq > :seq
AND created_seq > :seq"""
_DESTROYED = """
SELECT json_group_array(id) FROM tombstone WHERE type = 'Email' AND seq > :seq AND first_seq <= :seq"""


def is_by_thread(query: EmailQuery) -> bool:
    """Tell whether a result depends on other emails of the same Thread."""
    return (
        query.collapse_threads
        or any(one.property in THREAD_SORTS for one in query.sort)
        or any(
            one.all_in_thread_have_keyword is not None
            or one.some_in_thread_have_keyword is not None
            or one.none_in_thread_have_keyword is not None
            for one in conditions_of(query.filter)
        )
    )


def is_immutable(query: EmailQuery) -> bool:
    """Tell whether filter and sort see only properties that never change."""
    return (
        not query.collapse_threads
        and not any(one.property in KEYWORD_SORTS for one in query.sort)
        and not any(
            one.in_mailbox is not None
            or one.in_mailbox_other_than is not None
            or one.has_keyword is not None
            or one.not_keyword is not None
            for one in conditions_of(query.filter)
        )
        and not is_by_thread(query)
    )


def evaluate_changes(
    snapshot: Snapshot,
    query: EmailQuery,
    listings: Listings,
    since: str,
    *,
    max_changes: int | None,
    up_to_id: str | None,
) -> QueryChanges:
    """Answer Email/queryChanges. Raise `cannotCalculateChanges`, `tooManyChanges`."""
    if next(searches(query.filter), None) is not None:
        raise MethodError("cannotCalculateChanges", "the upstream's text search decides this query")
    position = snapshot.journal.parse("Email", since)
    if not position.is_whole:
        raise MethodError("cannotCalculateChanges", "not the state of a query")
    parameters = {"seq": position.seq}
    immutable = is_immutable(query)
    text = _CREATED if immutable else _BY_THREAD if is_by_thread(query) else _BY_EMAIL
    rows = load_json(snapshot.connection, text, parameters)
    removed: list[str] = [id for _, id, was_there in rows if was_there]
    removed += load_json(snapshot.connection, _DESTROYED, parameters)
    ids = {num: id for num, id, _ in rows}
    nums = complete(snapshot, query, listings)
    added = [(ids[num], index) for index, num in enumerate(nums) if num in ids] if ids else []
    if immutable and up_to_id is not None and added:
        row = snapshot.connection.execute("SELECT num FROM email WHERE id = ?", (up_to_id,)).fetchone()
        if row is not None and row[0] in nums:
            end = nums.index(row[0])
            added = [one for one in added if one[1] <= end]
    if max_changes is not None and len(removed) + len(added) > max_changes:
        raise MethodError("tooManyChanges", f"more than {max_changes} changes")
    total = len(nums) if query.calculate_total else None
    return QueryChanges(since, snapshot.state("Email"), total, removed, added)
