"""The account as methods use it: its owner, its queries that ask the backend, its end."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.account.account import Account
from gateway.account.query import Comparator, Condition, EmailQuery, Operator
from gateway.account.records import (
    Applied,
    Batch,
    EmailDetail,
    FlagChange,
    MailboxDelta,
    MailboxFacts,
    Mark,
    Need,
    NewMessage,
    TextCriterion,
)
from gateway.jmap.errors import MethodError
from gateway.message.part import Part
from tests.fakes.backend import backend_of, make_account

TREE = [
    MailboxFacts("Binbox", "INBOX", "INBOX", None, "inbox"),
    MailboxFacts("Btrash", "Trash", "Trash", None, "trash"),
]


def message(
    uid: int, *, flags: tuple[str, ...] = ("\\Seen",), subject: str = "plan", thread: str | None = None
) -> NewMessage:
    header = f"Message-ID: <{uid}@x>\r\nFrom: Ann <ann{uid}@example.org>\r\nSubject: {subject}\r\n\r\n"
    return NewMessage(uid, flags, 1, 1000 + uid, 100 * uid, f"M{uid}", thread, header.encode())


def arriving(*messages: NewMessage, mailbox: str = "Binbox") -> Batch:
    return Batch(TREE, [MailboxDelta(mailbox, arrived=messages, mark=Mark(1, is_indexed=True))])


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    account = make_account(tmp_path / "a.db")
    await account.open()
    yield account
    await account.aclose()


async def test_a_batch_is_announced_once_with_the_states_it_moved(account: Account) -> None:
    """Push hears of what a client can see, and of nothing else."""
    heard: list[Applied] = []
    stop = account.subscribe(heard.append)
    applied = await account.apply(arriving(message(1)))
    assert set(applied.states) == {"Email", "Thread", "Mailbox"}
    await account.apply(Batch(details=[EmailDetail("M1", "hello", Part("1", "text/plain"), False)]))
    stop()
    await account.apply(arriving(message(2)))
    assert heard == [applied]
    with account.snapshot() as snapshot:
        row = snapshot.emails(["M1"], with_structure=True)["M1"]
    assert (row.preview, row.has_attachment, row.structure) == ("hello", False, Part("1", "text/plain"))


async def test_structures_come_back_as_they_went_in(account: Account) -> None:
    """A stored tree is the tree that was stored."""
    leaf = Part("1", "text/html", "utf-8", "é", "inline", "c@x", ("de", "en"), "http://x", "base64", 10, 7)
    tree = Part("", "multipart/mixed", subparts=(leaf, Part("2", "image/png")))
    await account.apply(arriving(message(1)))
    await account.apply(Batch(details=[EmailDetail("M1", "p", tree, True)]))
    with account.snapshot() as snapshot:
        assert snapshot.emails(["M1"], with_structure=True)["M1"].structure == tree
        assert snapshot.emails(["M1"])["M1"].structure is None


async def test_text_is_asked_of_the_upstream_in_the_mailboxes_that_can_match(account: Account) -> None:
    """A text filter asks once, for the mailboxes around it, and joins the answer with the rest."""
    await account.apply(arriving(message(1), message(2), message(3, subject="budget talk")))
    backend = backend_of(account)
    criterion = TextCriterion("text", ("budget",))
    backend.matches[criterion] = {"M1", "Mgone"}
    text = Operator("AND", (Condition(in_mailbox="Binbox"), Operator("OR", (Condition(text="budget"),))))
    result = await account.query_emails(EmailQuery(filter=text, calculate_total=True))
    assert result.ids == ["M3", "M1"]  # M3: its subject says so, whatever the upstream found
    assert (result.total, result.can_calculate_changes) == (2, False)
    assert backend.searched == [(criterion, frozenset({"Binbox"}))]
    await account.query_emails(EmailQuery(filter=text, position=1))
    assert len(backend.searched) == 1
    with pytest.raises(MethodError) as caught:
        await account.email_query_changes(EmailQuery(filter=text), result.query_state)
    assert caught.value.kind == "cannotCalculateChanges"


async def test_has_attachment_loads_what_is_missing_and_no_more(account: Account) -> None:
    """A filter on hasAttachment has details loaded for those that can match only."""
    await account.apply(arriving(message(1), message(2), message(3, flags=())))
    backend = backend_of(account)
    for number in (1, 2, 3):
        backend.details[f"M{number}"] = EmailDetail(f"M{number}", "", Part("1", "text/plain"), number > 1)
    query = EmailQuery(filter=Condition(in_mailbox="Binbox", has_keyword="$seen", has_attachment=True))
    assert (await account.query_emails(query)).ids == ["M2"]
    assert backend.loaded == [["M2", "M1"]]
    query = EmailQuery(filter=Operator("NOT", (Condition(has_attachment=True),)))
    assert (await account.query_emails(query)).ids == ["M1"]
    assert backend.loaded[1:] == [["M3"]]
    with account.snapshot() as snapshot:
        assert snapshot.emails_without_details(None, 10) == []


@pytest.mark.parametrize(
    ("page", "ids", "position"),
    [
        ({"limit": 2}, ["M9", "M8"], 0),
        ({"position": 8}, ["M1"], 8),
        ({"position": 20}, [], 20),
        ({"position": -2}, ["M2", "M1"], 7),
        ({"position": -20, "limit": 1}, ["M9"], 0),
        ({"anchor": "M5", "anchor_offset": -1, "limit": 2}, ["M6", "M5"], 3),
        ({"anchor": "M9", "anchor_offset": -5, "limit": 1}, ["M9"], 0),
        ({"anchor": "M1", "position": 99}, ["M1"], 8),
        ({"limit": 0, "calculate_total": True}, [], 0),
    ],
)
@pytest.mark.parametrize("collapse_threads", [False, True])
@pytest.mark.parametrize("filter", [None, Condition(in_mailbox="Binbox"), Condition(after_s=0)])
async def test_pages(
    account: Account, page: dict[str, int], ids: list[str], position: int, collapse_threads: bool, filter: Condition
) -> None:
    """Every way to choose a page gives that page, walked or evaluated whole, first and again (RFC 8620 section 5.5)."""
    await account.apply(arriving(*[message(uid, thread=f"T{uid}") for uid in range(1, 10)]))
    query = EmailQuery(filter=filter, collapse_threads=collapse_threads, **page)  # type: ignore[arg-type]  # a table
    for _ in range(2):
        result = await account.query_emails(query)
        assert (result.ids, result.position) == (ids, position)
        assert result.total == (9 if "calculate_total" in page else None)


async def test_an_anchor_that_is_not_there(account: Account) -> None:
    """An anchor outside the results is anchorNotFound, whether the email exists or not."""
    await account.apply(arriving(message(1)))
    for filter in (Condition(in_mailbox="Btrash"), None):
        with pytest.raises(MethodError) as caught:
            await account.query_emails(EmailQuery(filter=filter, anchor="M1" if filter else "Mnone"))
        assert caught.value.kind == "anchorNotFound"


async def test_what_cannot_be_evaluated_is_refused(account: Account) -> None:
    """An unknown sort, collation or an endless filter is refused with its error."""
    deep: Condition | Operator = Condition()
    for _ in range(40):
        deep = Operator("NOT", (deep,))
    for query, kind in (
        (EmailQuery(sort=(Comparator("mood"),)), "unsupportedSort"),
        (EmailQuery(sort=(Comparator("subject", collation="i;klingon"),)), "unsupportedSort"),
        (EmailQuery(filter=deep), "unsupportedFilter"),
        (EmailQuery(filter=Operator("OR", (Condition(),) * 600)), "unsupportedFilter"),
        (EmailQuery(limit=-1), "invalidArguments"),
    ):
        with pytest.raises(MethodError) as caught:
            await account.query_emails(query)
        assert caught.value.kind == kind


async def test_query_changes_counts_and_limits(account: Account) -> None:
    """A flag on a collapsed list moves its Thread; more than maxChanges is tooManyChanges."""
    await account.apply(arriving(message(1, thread="T1"), message(2, thread="T1"), message(3)))
    query = EmailQuery(filter=Condition(in_mailbox="Binbox"), collapse_threads=True, calculate_total=True)
    before = await account.query_emails(query)
    change = MailboxDelta("Binbox", flagged=[FlagChange(1, (), 2)])
    await account.apply(Batch(deltas=[change]))
    changes = await account.email_query_changes(query, before.query_state)
    assert sorted(changes.removed) == ["M1", "M2"]
    assert (changes.added, changes.total) == ([("M2", 1)], 2)
    with pytest.raises(MethodError) as caught:
        await account.email_query_changes(query, before.query_state, max_changes=2)
    assert caught.value.kind == "tooManyChanges"


async def test_up_to_id_ends_the_additions_of_an_immutable_query(account: Account) -> None:
    """Where nothing mutable decides, what was added behind upToId is left out, and changed flags move nothing."""
    await account.apply(arriving(message(1), message(5)))
    query = EmailQuery(filter=Condition(after_s=0), sort=(Comparator("receivedAt"),))
    before = await account.query_emails(query)
    await account.apply(arriving(message(3), message(7)))
    await account.apply(Batch(deltas=[MailboxDelta("Binbox", flagged=[FlagChange(1, (), 2)])]))
    changes = await account.email_query_changes(query, before.query_state, up_to_id="M5")
    assert (changes.removed, changes.added) == ([], [("M3", 1)])


@pytest.mark.parametrize("state", ["", "x", "0-0", "{epoch}-99", "{epoch}-1.7", "{epoch}--1", "{epoch}-1 "])
async def test_a_state_that_was_never_given_out(account: Account, state: str) -> None:
    """A state of elsewhere, of the future or of no shape cannot be calculated from."""
    await account.apply(arriving(message(1)))
    with account.snapshot() as snapshot:
        with pytest.raises(MethodError) as caught:
            snapshot.changes("Email", state.format(epoch=snapshot.journal.epoch))
        assert caught.value.kind == "cannotCalculateChanges"


async def test_only_counts_moved(account: Account) -> None:
    """Mailbox/changes names the count properties when nothing else changed (RFC 8621 section 2.2)."""
    await account.apply(arriving(message(1)))
    with account.snapshot() as snapshot:
        state = snapshot.state("Mailbox")
    await account.apply(Batch(deltas=[MailboxDelta("Binbox", flagged=[FlagChange(1, (), 2)])]))
    with account.snapshot() as snapshot:
        changes = snapshot.changes("Mailbox", state)
    assert (changes.updated, changes.created) == (["Binbox"], [])
    assert changes.updated_properties == ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")
    await account.apply(Batch([MailboxFacts("Binbox", "INBOX", "Inbox", None, "inbox"), TREE[1]]))
    with account.snapshot() as snapshot:
        assert snapshot.changes("Mailbox", state).updated_properties is None


async def test_the_trash_counts_apart(account: Account) -> None:
    """An unread email only in the trash makes no Thread of the inbox unread (the example of RFC 8621 section 2)."""
    await account.apply(arriving(message(1, thread="T1")))
    await account.apply(arriving(message(2, flags=(), thread="T1"), mailbox="Btrash"))
    with account.snapshot() as snapshot:
        rows = {row.facts.id: row for row in snapshot.mailboxes()}
    assert (rows["Binbox"].unread_threads, rows["Btrash"].unread_threads) == (0, 1)


async def test_a_mailbox_that_is_not_indexed_shows_the_upstreams_counts(account: Account) -> None:
    """Before its first indexing a mailbox shows what the upstream says of it."""
    await account.apply(Batch([MailboxFacts("Bx", "x", "x", None, None, total_emails=7, unread_emails=3)]))
    with account.snapshot() as snapshot:
        row = snapshot.mailbox("Bx")
    assert row is not None
    assert (row.total_emails, row.unread_emails, row.total_threads, row.unread_threads) == (7, 3, 7, 3)


async def test_a_new_uidvalidity_keeps_the_emails(account: Account) -> None:
    """What is found again under new uids is the same email; what is not goes with the shelf."""
    await account.apply(arriving(message(1), message(2)))
    with account.snapshot() as snapshot:
        state = snapshot.state("Email")
    again = message(1)._replace(uid=11)
    await account.apply(Batch(deltas=[MailboxDelta("Binbox", shelves=True, arrived=[again], mark=Mark(2))]))
    with account.snapshot() as snapshot:
        assert snapshot.changes("Email", state).destroyed == []
        assert snapshot.uids("Binbox") == [(11, 11)]
    await account.apply(Batch(deltas=[MailboxDelta("Binbox", clears_shelf=True)]))
    with account.snapshot() as snapshot:
        changes = snapshot.changes("Email", state)
        assert (changes.created, changes.updated, changes.destroyed) == ([], [], ["M2"])


@pytest.mark.parametrize("octets", [b"not a database at all, but long enough to be looked at" * 40, b""])
async def test_a_corrupt_index_is_begun_anew(tmp_path: Path, octets: bytes) -> None:
    """A file that is no index costs a rebuild, not the account."""
    (tmp_path / "a.db").write_bytes(octets)
    account = make_account(tmp_path / "a.db")
    await account.open()
    await account.apply(arriving(message(1)))
    await account.aclose()


async def test_another_schema_is_another_epoch(tmp_path: Path) -> None:
    """States of an index that was dropped are refused; those of one that was closed still work."""
    states = []
    for schema in (None, None, 99):
        if schema is not None:
            connection = sqlite3.connect(tmp_path / "a.db")
            connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (schema,))
            connection.commit()
            connection.close()
        account = make_account(tmp_path / "a.db")
        await account.open()
        await account.apply(Batch(TREE))
        with account.snapshot() as snapshot:
            states.append(snapshot.state("Mailbox"))
        await account.aclose()
    assert states[0] == states[1]
    assert states[1] != states[2]


async def test_batches_keep_their_order(account: Account) -> None:
    """Batches asked for at once are applied as they were asked for."""
    await account.apply(arriving(message(1)))
    flips = [("\\Seen",), (), ("\\Flagged",)] * 7
    await asyncio.gather(
        *[account.apply(Batch(deltas=[MailboxDelta("Binbox", flagged=[FlagChange(1, one, 2)])])) for one in flips]
    )
    with account.snapshot() as snapshot:
        assert snapshot.emails(["M1"])["M1"].keywords == ("$flagged",)


async def test_fresh_asks_the_backend(account: Account) -> None:
    """The account passes on what a request needs."""
    await account.fresh(Need(everything=True))
    assert backend_of(account).needs == [Need(everything=True)]


async def test_released_connections_come_back(account: Account) -> None:
    """An idle account gives its connections up and reads again when asked."""
    await account.apply(arriving(message(1)))
    account.release()
    with account.snapshot() as snapshot:
        assert snapshot.email_ids(5) == ["M1"]
        assert snapshot.email_at("Binbox", [1, 2]) == {1: "M1"}
        assert snapshot.flags("Binbox", 1, 5) == {1: (("\\Seen",), 1)}
        assert [tuple(one) for one in snapshot.locations(["M1"])["M1"]] == [("Binbox", 1)]


async def test_a_thread_of_thousands_does_not_hold_the_loop(account: Account) -> None:
    """A collapsed page that has to look past one huge Thread is finished in a thread, and is right."""
    many = [message(uid, thread="Thuge") for uid in range(2, 5_000)]
    await account.apply(arriving(message(1, thread="Told"), *many))
    query = EmailQuery(filter=Condition(in_mailbox="Binbox"), collapse_threads=True, limit=50, calculate_total=True)
    result = await account.query_emails(query)
    assert (result.ids, result.total) == (["M4999", "M1"], 2)


async def test_what_is_not_digested_is_found_after_a_restart(tmp_path: Path) -> None:
    """An end between index and digest loses nothing: emails show and queries find them, and no state moves."""
    account = make_account(tmp_path / "a.db")
    await account.open()
    await account.apply(arriving(message(1), message(2, subject="Budget")))
    await account.aclose()
    account = make_account(tmp_path / "a.db")
    await account.open()
    with account.snapshot() as snapshot:
        state, nums = snapshot.state("Email"), snapshot.undigested(5)
        before = snapshot.emails(["M1", "M2"])
    assert len(nums) == 2
    assert before["M2"].summary.subject == "Budget"
    query = EmailQuery(filter=Condition(in_mailbox="Binbox", subject="budget"))
    assert (await account.query_emails(query)).ids == ["M2"]
    with account.snapshot() as snapshot:
        assert snapshot.undigested(5) == []
        assert (snapshot.state("Email"), snapshot.emails(["M1", "M2"])) == (state, before)
    await account.aclose()


async def test_a_query_digests_its_candidates_and_no_more(account: Account) -> None:
    """A sort by subject waits for what its filter lets through; a plain list waits for nothing."""
    await account.apply(arriving(message(1, subject="b"), message(2, subject="a"), message(3, flags=())))
    await account.query_emails(EmailQuery(filter=Condition(in_mailbox="Binbox"), calculate_total=True))
    with account.snapshot() as snapshot:
        assert len(snapshot.undigested(5)) == 3
        old = snapshot.state("Email")
    query = EmailQuery(filter=Condition(has_keyword="$seen", after_s=0), sort=(Comparator("subject"),))
    assert (await account.query_emails(query)).ids == ["M2", "M1"]
    with account.snapshot() as snapshot:
        assert len(snapshot.undigested(5)) == 1
    await account.apply(arriving(message(4, subject="aa")))
    changes = await account.email_query_changes(query, old)
    assert (changes.removed, changes.added) == ([], [("M4", 1)])


async def test_details_may_come_before_the_digest(account: Account) -> None:
    """A preview that was loaded first stays when the header is digested."""
    await account.apply(arriving(message(1)))
    await account.apply(Batch(details=[EmailDetail("M1", "hello", Part("1", "text/plain"), False)]))
    with account.snapshot() as snapshot:
        before, nums = snapshot.emails(["M1"]), snapshot.undigested(5)
    await account.apply(Batch(digests=nums))
    with account.snapshot() as snapshot:
        assert snapshot.emails(["M1"]) == before
    assert before["M1"].preview == "hello"
