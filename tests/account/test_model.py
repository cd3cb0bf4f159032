"""Random batches against the naive model: what is seen, what changed since any earlier moment, what queries find."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.account.digest import Undigested, check_digested
from gateway.account.index import Index
from gateway.account.query import Comparator, Condition, EmailFilter, EmailQuery, Operator
from gateway.account.query_changes import evaluate_changes
from gateway.account.records import Batch, FlagChange, MailboxDelta, MailboxFacts, Mark, NewMessage
from gateway.account.results import Listings, evaluate, normalized
from gateway.account.snapshot import Snapshot
from gateway.message.summary import summarize
from tests.account.model import Model, View

MAILBOXES = ("Binbox", "Btrash", "Bother")
FLAGS = st.sampled_from([(), ("\\Seen",), ("\\Seen", "\\Flagged"), ("$Work",), ("\\Deleted",), ("\\Draft",)])
UIDS = st.integers(1, 8)
KEYWORDS = st.sampled_from(["$seen", "$flagged", "$work", "$never"])
NAMES = ["Åse Ärlig", "ase", "Zoe", None]
SUBJECTS = ["Re: plan", "plan", "[list] Élan", None]


def message_of(number: int, uid: int, flags: tuple[str, ...]) -> NewMessage:
    """One of ten emails; what never changes depends on its number alone."""
    name, subject = NAMES[number % 4], SUBJECTS[number % 4]
    fields = [
        f"Message-ID: <{number}@x>" if number % 5 else "",
        f"In-Reply-To: <{number // 2}@x>" if number % 3 == 0 and number else "",
        f"From: {name or ''} <p{number}@example.org>" if number % 7 else "",
        "To: me@example.org",
        f"Subject: {subject}" if subject else "",
        f"Date: Thu, 0{number % 4 + 1} Jan 2026 10:00:00 +0000" if number % 4 else "",
    ]
    header = "".join(f"{field}\r\n" for field in fields if field).encode() + b"\r\n"
    thread_id = "Tserver" if number in (8, 9) else None
    return NewMessage(uid, flags, 1, 1000 + number // 2 * 10, 100 * (number % 4), f"M{number}", thread_id, header)


SUMMARIES = {f"M{number}": summarize(message_of(number, 1, ()).header) for number in range(10)}
MESSAGES = st.builds(message_of, st.integers(0, 9), UIDS, FLAGS)
RANGES = st.tuples(UIDS, st.integers(0, 3)).map(lambda pair: (pair[0], pair[0] + pair[1]))
DELTAS = st.builds(
    MailboxDelta,
    mailbox_id=st.sampled_from(MAILBOXES),
    arrived=st.lists(MESSAGES, max_size=5, unique_by=lambda message: message.uid),
    flagged=st.lists(st.builds(FlagChange, UIDS, FLAGS, st.just(2)), max_size=3, unique_by=lambda one: one.uid),
    vanished=st.lists(RANGES, max_size=1),
    shelves=st.sampled_from([False] * 5 + [True]),
    clears_shelf=st.sampled_from([False] * 3 + [True]),
    mark=st.just(Mark(1, is_indexed=True)),
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    deltas = draw(st.lists(DELTAS, max_size=3, unique_by=lambda delta: delta.mailbox_id))
    mailboxes = draw(st.none() | st.none() | trees()) if draw(st.booleans()) else None
    is_bulk = draw(st.sampled_from([False] * 4 + [True]))
    if is_bulk:
        deltas = [
            MailboxDelta(one.mailbox_id, one.arrived, one.flagged, one.vanished, None, one.shelves, one.clears_shelf)
            for one in deltas
        ]
    return Batch(mailboxes, deltas, is_bulk=is_bulk)


@st.composite
def trees(draw: st.DrawFn) -> list[MailboxFacts]:
    trash = draw(st.sampled_from(["Btrash", "Btrash", "Bother", None]))
    ids = draw(st.sampled_from([MAILBOXES, MAILBOXES, MAILBOXES[:2]]))
    names = draw(st.sampled_from(["", "x"]))
    return [MailboxFacts(id, id, id + names, None, "trash" if id == trash else None) for id in ids]


FULL_TREE = [MailboxFacts(id, id, id, None, "trash" if id == "Btrash" else None) for id in MAILBOXES]

CONDITIONS = st.one_of(
    st.builds(Condition, in_mailbox=st.sampled_from(MAILBOXES)),
    st.builds(Condition, in_mailbox=st.sampled_from(MAILBOXES), has_keyword=KEYWORDS),
    st.builds(Condition, in_mailbox_other_than=st.lists(st.sampled_from(MAILBOXES), max_size=2).map(tuple)),
    st.builds(Condition, before_s=st.integers(995, 1050)),
    st.builds(Condition, after_s=st.integers(995, 1050), not_keyword=KEYWORDS),
    st.builds(Condition, min_size=st.integers(0, 400), max_size=st.integers(0, 400)),
    st.builds(Condition, all_in_thread_have_keyword=KEYWORDS),
    st.builds(Condition, some_in_thread_have_keyword=KEYWORDS),
    st.builds(Condition, none_in_thread_have_keyword=KEYWORDS),
    st.builds(Condition, subject=st.sampled_from(["PLAN", "élan", "re plan", "'re: plan'", ""])),
    st.builds(Condition, from_=st.sampled_from(["åse", "P1@", "zoe p2"])),
    st.just(Condition()),
)
FILTERS: st.SearchStrategy[EmailFilter | None] = st.none() | st.recursive(
    CONDITIONS,
    lambda children: st.builds(
        Operator, st.sampled_from(["AND", "OR", "NOT"]), st.lists(children, max_size=3).map(tuple)
    ),
    max_leaves=4,
)
COMPARATORS = st.one_of(
    st.builds(Comparator, st.sampled_from(["receivedAt", "receivedAt", "sentAt", "size"]), st.booleans()),
    st.builds(
        Comparator,
        st.sampled_from(["from", "to", "subject"]),
        st.booleans(),
        st.sampled_from([None, "i;octet", "i;ascii-casemap", "i;unicode-casemap"]),
    ),
    st.builds(
        Comparator,
        st.sampled_from(["hasKeyword", "allInThreadHaveKeyword", "someInThreadHaveKeyword"]),
        st.booleans(),
        st.none(),
        KEYWORDS,
    ),
)
QUERIES = st.builds(
    EmailQuery, filter=FILTERS, sort=st.lists(COMPARATORS, max_size=2).map(tuple), collapse_threads=st.booleans()
)


def check_view(snapshot: Snapshot, view: View, *, is_settled: bool) -> None:
    rows = snapshot.emails([f"M{number}" for number in range(10)])
    assert {id: (frozenset(row.mailbox_ids), row.keywords) for id, row in rows.items()} == view.emails
    assert {id: row.summary for id, row in rows.items()} == {id: SUMMARIES[id] for id in rows}
    assert all(len(set(row.mailbox_ids)) == len(row.mailbox_ids) for row in rows.values())
    assert {thread: tuple(ids) for thread, ids in snapshot.threads(view.threads).items()} == view.threads
    assert {row.thread_id for row in rows.values()} == set(view.threads)
    assert (snapshot.meta("emails"), snapshot.meta("threads")) == (len(view.emails), len(view.threads))
    assert {row.facts.id for row in snapshot.mailboxes()} == set(view.mailboxes)
    for row in snapshot.mailboxes():
        name, role, counts = view.mailboxes[row.facts.id]
        assert (row.facts.name, row.facts.role) == (name, role)
        if is_settled:
            assert (row.total_emails, row.unread_emails, row.total_threads, row.unread_threads) == counts, row.facts.id


def check_changes(snapshot: Snapshot, states: dict[str, str], old: View, new: View, limit: int | None) -> None:
    """Follow /changes from an old view: it must end in the new one, and name everything that differs."""
    for type, before, after in (
        ("Email", old.emails, new.emails),
        ("Thread", old.threads, new.threads),
        (
            "Mailbox",
            {id: one[:2] for id, one in old.mailboxes.items()},
            {id: one[:2] for id, one in new.mailboxes.items()},
        ),
    ):
        known, named, state = set(before), set(), states[type]
        for _ in range(60):
            changes = snapshot.changes(type, state, limit)  # type: ignore[arg-type]  # literals of a loop
            told = [*changes.created, *changes.updated, *changes.destroyed]
            assert len(set(told)) == len(told)
            assert limit is None or len(told) <= limit
            known = (known | set(changes.created)) - set(changes.destroyed)
            named.update(told)
            state = changes.new_state
            if not changes.has_more:
                break
        assert state == snapshot.state(type)  # type: ignore[arg-type]  # as above
        assert known == set(after), type
        assert {id for id in after if id in before and before[id] != after[id]} <= named, type


class Pager:
    """A client that reads one page of /changes after each batch, and gets what it is told of as it is then."""

    def __init__(self, states: dict[str, str], view: View) -> None:
        self.states, self.known = states, _objects(view)

    def read(self, snapshot: Snapshot, view: View, limit: int) -> bool:
        """Read a page of each type; return whether there is more."""
        now, has_more = _objects(view), False
        for type, known in self.known.items():
            changes = snapshot.changes(type, self.states[type], limit)  # type: ignore[arg-type]  # names of types
            assert not {*changes.created, *changes.updated} & {*changes.destroyed}
            for id in changes.destroyed:
                known.pop(id, None)
            for id in [*changes.created, *changes.updated]:
                known.pop(id, None)
                if id in now[type]:  # else it has gone since, and a later page tells
                    known[id] = now[type][id]
            self.states[type] = changes.new_state
            has_more = has_more or changes.has_more
        return has_more

    def check(self, snapshot: Snapshot, view: View) -> None:
        """Read on to the end: it has come to what is there, and to the states of a /get."""
        for _ in range(200):
            if not self.read(snapshot, view, 3):
                break
        assert self.known == _objects(view)
        assert self.states == {type: snapshot.state(type) for type in self.states}  # type: ignore[arg-type]


def _objects(view: View) -> dict[str, dict[str, object]]:
    mailboxes = {id: one[:2] for id, one in view.mailboxes.items()}
    return {"Email": {**view.emails}, "Thread": {**view.threads}, "Mailbox": {**mailboxes}}


def digest_for(index: Index, query: EmailQuery) -> None:
    """Do as an account does before it evaluates a query."""
    with index.snapshot() as snapshot:
        states = [snapshot.state(type) for type in ("Email", "Thread", "Mailbox")]  # type: ignore[arg-type]
        try:
            check_digested(snapshot, query)
        except Undigested as lacking:
            nums = lacking.nums
        else:
            return
    assert not index.apply(Batch(digests=nums)).states
    with index.snapshot() as snapshot:
        check_digested(snapshot, query)
        assert states == [snapshot.state(type) for type in ("Email", "Thread", "Mailbox")]  # type: ignore[arg-type]


def splice(old: Sequence[str], removed: Sequence[str], added: Sequence[tuple[str, int]]) -> list[str]:
    out = [id for id in old if id not in set(removed)]
    for id, index in added:
        out.insert(index, id)
    return out


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    history=st.lists(batches(), min_size=1, max_size=6),
    queries=st.lists(QUERIES, min_size=1, max_size=4),
    limit=st.none() | st.integers(1, 4),
    digested=st.integers(0, 3),
)
def test_the_index_is_the_model(
    history: list[Batch], queries: list[EmailQuery], limit: int | None, digested: int
) -> None:
    """After any batches the index shows, and tells the changes to, what the definitions say, digested or not."""
    with tempfile.TemporaryDirectory() as directory:
        index, model, listings = Index(Path(directory) / "a.db"), Model(), Listings()
        index.open()
        queries = [normalized(query) for query in queries]
        moments: list[tuple[dict[str, str], View, list[list[str]]]] = []
        # A mailbox shows its own counts from its mark on; a trailing batch settles what bulk batches left.
        marks = [MailboxDelta(id, mark=Mark(1, is_indexed=True)) for id in MAILBOXES]
        is_settled, pagers = True, list[Pager]()
        for batch in [Batch(FULL_TREE, marks), *history, Batch(deltas=marks)]:
            index.apply(batch)
            index.flush()  # windows of a first indexing are seen together
            model.apply(batch)
            view = model.view()
            is_settled = is_settled and not batch.is_bulk
            with index.snapshot() as snapshot:
                check_view(snapshot, view, is_settled=is_settled)
                nums = snapshot.undigested(digested)
            index.apply(Batch(digests=nums))
            for query in queries:
                digest_for(index, query)
            with index.snapshot() as snapshot:
                check_view(snapshot, view, is_settled=is_settled)
                results = [evaluate(snapshot, query, listings).ids for query in queries]
                for query, ids in zip(queries, results, strict=True):
                    assert ids == model.query(view, query.filter, query.sort, query.collapse_threads), query
                for states, old, _ in moments:
                    check_changes(snapshot, states, old, view, limit)
                for states, _, olds in moments:
                    for query, old_ids, ids in zip(queries, olds, results, strict=True):
                        changes = evaluate_changes(
                            snapshot, query, listings, states["Email"], max_changes=None, up_to_id=None
                        )
                        assert splice(old_ids, changes.removed, changes.added) == ids
                states = {type: snapshot.state(type) for type in ("Email", "Thread", "Mailbox")}  # type: ignore[arg-type]
                moments.append((states, view, results))
                for pager in pagers:
                    pager.read(snapshot, view, limit or 2)
                pagers.append(Pager(states.copy(), view))
        with index.snapshot() as snapshot:
            check_view(snapshot, model.view(), is_settled=True)
            for pager in pagers:
                pager.check(snapshot, view)
        index.close()
