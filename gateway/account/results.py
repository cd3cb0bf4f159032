"""Evaluate Email/query and Email/queryChanges on a read view (RFC 8621 sections 4.4 and 4.5).

Rule 1: a plain list (of a mailbox or of all, by receivedAt) is walked until the page is full; anything else is
evaluated whole.
Rule 2: what was found is kept, bounded, as long as no Email changes; a list that was walked far is walked on.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from gateway.account.filter_sql import Found, View, compile_filter, compile_sort, searches
from gateway.account.query import Comparator, Condition, EmailFilter, EmailQuery, QueryResult
from gateway.account.snapshot import Snapshot
from gateway.account.sql import json_of, load_json
from gateway.jmap.errors import MethodError

MAX_LIMIT = 100_000  # ids in one answer: 3 MB of JSON
MAX_LISTS = 24  # results kept of one account
MAX_NUMS = 500_000  # in all of them: 4 MB
MAX_ROWS_ON_LOOP = 2_000  # of a walk on the event loop: about a millisecond
FIRST_WALK = 64  # rows looked at for the first page: most threads in a list are of one email
_NOTHING: Found = {}

Key = tuple[EmailFilter | None, tuple[Comparator, ...], bool]


@dataclass(slots=True)
class Listing:
    """The beginning of a query's result, or all of it, as of one seq of Email."""

    seq: int
    nums: array[int] = field(default_factory=lambda: array("q"))
    is_complete: bool = False
    last: tuple[int, int] | None = None  # where the walk stopped: (received, num)
    threads: set[int] = field(default_factory=set)  # seen by the walk
    rows_left: int | None = None  # how far the walk under way may go on


class Listings:
    """The bounded store of one account's results; whoever takes one out owns it until it is put back."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, Key], Listing] = OrderedDict()

    def peek(self, epoch: str, key: Key, seq: int) -> Listing | None:
        """Return what is kept, and leave it there."""
        kept = self._kept.get((epoch, key))
        return kept if kept is not None and kept.seq == seq else None

    def take(self, epoch: str, key: Key, seq: int) -> Listing:
        """Return what is kept, or an empty list to be filled."""
        kept = self._kept.pop((epoch, key), None)
        return kept if kept is not None and kept.seq == seq else Listing(seq)

    def put(self, epoch: str, key: Key, listing: Listing) -> None:
        self._kept[epoch, key] = listing
        self._kept.move_to_end((epoch, key))
        while len(self._kept) > 1 and (
            len(self._kept) > MAX_LISTS or sum(len(one.nums) for one in list(self._kept.values())) > MAX_NUMS
        ):
            self._kept.popitem(last=False)


def normalized(query: EmailQuery) -> EmailQuery:
    """Return the query with its defaults spelled out, so that equal queries are equal."""
    sort = query.sort or (Comparator("receivedAt", is_ascending=False),)
    filter = None if query.filter == Condition() else query.filter
    return replace(query, filter=filter, sort=sort)


def key_of(query: EmailQuery) -> Key:
    return (query.filter, query.sort, query.collapse_threads)


def plain_mailbox(query: EmailQuery) -> tuple[bool, str | None]:
    """Return whether a query is a plain list, and of which mailbox (None: of all)."""
    if len(query.sort) != 1 or query.sort[0].property != "receivedAt":
        return False, None
    if query.filter is None:
        return True, None
    if isinstance(query.filter, Condition) and query.filter == Condition(in_mailbox=query.filter.in_mailbox):
        return True, query.filter.in_mailbox
    return False, None


def is_quick(snapshot: Snapshot, query: EmailQuery, listings: Listings) -> bool:
    """Tell whether a query can be answered on the event loop."""
    is_plain, _ = plain_mailbox(query)
    limit = MAX_LIMIT if query.limit is None else query.limit
    if limit > MAX_ROWS_ON_LOOP:
        return False
    if query.anchor is None and query.position >= 0 and is_plain:
        if query.calculate_total and maintained_total(snapshot, query) is None:
            return False
        if query.position + limit <= MAX_ROWS_ON_LOOP:
            return True
    journal = snapshot.journal
    kept = listings.peek(journal.epoch, key_of(query), journal.seqs["Email"])
    if kept is None or (query.anchor is not None and len(kept.nums) > MAX_ROWS_ON_LOOP):
        return False
    return kept.is_complete or (
        query.anchor is None
        and 0 <= query.position <= len(kept.nums) - limit
        and (not query.calculate_total or (is_plain and maintained_total(snapshot, query) is not None))
    )


def maintained_total(snapshot: Snapshot, query: EmailQuery) -> int | None:
    """Return the total of a plain list from the counts; None when they do not tell."""
    is_plain, mailbox_id = plain_mailbox(query)
    if not is_plain:
        return None
    if mailbox_id is None:
        return snapshot.meta("threads" if query.collapse_threads else "emails")
    column = "total_threads" if query.collapse_threads else "total_emails"
    row = snapshot.connection.execute(
        f"SELECT {column} FROM mailbox WHERE id = ? AND is_indexed AND NOT is_stale", (mailbox_id,)
    ).fetchone()
    return None if row is None else int(row[0])


class WalkTooLong(Exception):
    """A walk met more rows than it may look at; it goes on from there the next time."""


def evaluate(
    snapshot: Snapshot,
    query: EmailQuery,
    listings: Listings,
    found: Found = _NOTHING,
    *,
    max_rows: int | None = None,
) -> QueryResult:
    """Answer Email/query; `found` is what the upstream said to `searches`. Raise `WalkTooLong` past `max_rows`."""
    journal = snapshot.journal
    key = key_of(query)
    listing = listings.take(journal.epoch, key, journal.seqs["Email"])
    listing.rows_left = max_rows
    try:
        return _evaluate(snapshot, query, listing, found)
    finally:
        listings.put(journal.epoch, key, listing)


def complete(snapshot: Snapshot, query: EmailQuery, listings: Listings) -> array[int]:
    """Return the whole result as internal keys."""
    journal = snapshot.journal
    key = key_of(query)
    listing = listings.take(journal.epoch, key, journal.seqs["Email"])
    listing.rows_left = None
    try:
        _reach(snapshot, query, listing, None, _NOTHING)
        return listing.nums
    finally:
        listings.put(journal.epoch, key, listing)


def _evaluate(snapshot: Snapshot, query: EmailQuery, listing: Listing, found: Found) -> QueryResult:
    limit = MAX_LIMIT if query.limit is None else min(query.limit, MAX_LIMIT)
    total = maintained_total(snapshot, query)
    if total is None and (query.calculate_total or (query.position < 0 and query.anchor is None)):
        _reach(snapshot, query, listing, None, found)
        total = len(listing.nums)
    if query.anchor is not None:
        position = max(0, _anchor(snapshot, query, listing, found) + query.anchor_offset)
    else:
        position = query.position if query.position >= 0 else max(0, (total or 0) + query.position)
    if limit:
        _reach(snapshot, query, listing, position + limit, found)
    page = listing.nums[position : position + limit]
    is_cut = limit == MAX_LIMIT and query.limit != MAX_LIMIT and len(page) == limit
    return QueryResult(
        load_ids(snapshot, page),
        position,
        total if query.calculate_total else None,
        snapshot.state("Email"),
        next(searches(query.filter), None) is None,
        limit if is_cut or (query.limit or 0) > MAX_LIMIT else None,
    )


def _anchor(snapshot: Snapshot, query: EmailQuery, listing: Listing, found: Found) -> int:
    """Return the index of the anchor. Raise `anchorNotFound`."""
    row = snapshot.connection.execute("SELECT num FROM email WHERE id = ? AND is_visible", (query.anchor,)).fetchone()
    if row is not None:
        need = FIRST_WALK
        while True:
            _reach(snapshot, query, listing, need, found)
            try:
                return listing.nums.index(row[0])
            except ValueError:
                if listing.is_complete:
                    break
                need = max(need, len(listing.nums)) * 4
    raise MethodError("anchorNotFound", "the anchor is not in the results")


def load_ids(snapshot: Snapshot, nums: array[int]) -> list[str]:
    """Return the ids of emails by internal key, in order."""
    if not nums:
        return []
    ids: list[str] = load_json(
        snapshot.connection,
        "SELECT json_group_array(id) FROM (SELECT e.id FROM json_each(?) j CROSS JOIN email e ON e.num = j.value"
        " ORDER BY j.key LIMIT -1)",
        (json_of(nums),),
    )
    return ids


def _reach(snapshot: Snapshot, query: EmailQuery, listing: Listing, need: int | None, found: Found) -> None:
    """Make the listing at least `need` long, or complete."""
    if listing.is_complete or (need is not None and len(listing.nums) >= need):
        return
    is_plain, mailbox_id = plain_mailbox(query)
    if is_plain and need is not None:
        _walk(snapshot, query, listing, need, mailbox_id)
    else:
        _select(snapshot, query, listing, found)


def _walk(snapshot: Snapshot, query: EmailQuery, listing: Listing, need: int, mailbox_id: str | None) -> None:
    """Walk a plain list on from where it stopped."""
    is_ascending = query.sort[0].is_ascending
    sign, direction = (">", "ASC") if is_ascending else ("<", "DESC")
    if mailbox_id is None:
        num, source, parameters = "num", "email WHERE is_visible", []
    else:
        num, source = "email", "member WHERE mailbox = ?"
        row = snapshot.connection.execute("SELECT num FROM mailbox WHERE id = ?", (mailbox_id,)).fetchone()
        parameters = [-1 if row is None else row[0]]
    size = max(need - len(listing.nums), FIRST_WALK)
    while not listing.is_complete and len(listing.nums) < need:
        if listing.rows_left is not None:
            if listing.rows_left <= 0:
                raise WalkTooLong
            listing.rows_left -= size
        after = "" if listing.last is None else f" AND (received, {num}) {sign} (?, ?)"
        rows = load_json(
            snapshot.connection,
            f"SELECT json_group_array(json_array(received, num, thread)) FROM (SELECT received, {num} AS num, thread"
            f" FROM {source}{after} ORDER BY received {direction}, {num} {direction} LIMIT ?)",
            [*parameters, *(listing.last or ()), size],
        )
        listing.is_complete = len(rows) < size
        if rows:
            listing.last = (rows[-1][0], rows[-1][1])
        if query.collapse_threads:
            seen = listing.threads
            for _, email, thread in rows:
                if thread not in seen:
                    seen.add(thread)
                    listing.nums.append(email)
        else:
            listing.nums.extend([email for _, email, _ in rows])
        size *= 2


def _select(snapshot: Snapshot, query: EmailQuery, listing: Listing, found: Found) -> None:
    """Evaluate a query whole."""
    view = View({id: num for num, id in snapshot.mailbox_ids.items()}, snapshot.keywordsets, found)
    statement = compile_filter(query.filter, view)
    order = compile_sort(query.sort, statement, view)
    text = statement.text(order)
    row = load_json(
        snapshot.connection,
        f"SELECT json_array(json_group_array(num), json_group_array(thread)) FROM ({text})",
        statement.parameters,
    )
    nums, threads = row
    if query.collapse_threads:
        first = dict(zip(reversed(threads), reversed(nums), strict=True))  # Thread -> its first email
        nums = [first[thread] for thread in dict.fromkeys(threads)]
    listing.nums = array("q", nums)
    listing.is_complete = True
    listing.threads = set()
