"""What the journal forgets, and what it says then."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.account import journal
from gateway.account.index import Index
from gateway.account.records import Batch, FlagChange, MailboxDelta, MailboxFacts, Mark
from gateway.jmap.errors import MethodError
from tests.account.test_account import TREE, arriving, message


def test_a_state_older_than_the_tombstones_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit the oldest tombstones go, and states from before them cannot be calculated from."""
    monkeypatch.setattr(journal, "MAX_TOMBSTONES", 3)
    monkeypatch.setattr("gateway.account.writer.BATCHES_BETWEEN_SWEEPS", 1)
    index = Index(tmp_path / "a.db")
    index.open()
    states = []
    index.apply(arriving(*[message(uid, thread="T") for uid in range(1, 9)]))
    for uid in range(1, 8):
        with index.snapshot() as snapshot:
            states.append(snapshot.state("Email"))
        index.apply(Batch(deltas=[MailboxDelta("Binbox", vanished=[(uid, uid)])]))
    with index.snapshot() as snapshot:
        with pytest.raises(MethodError) as caught:
            snapshot.changes("Email", states[0])
        assert caught.value.kind == "cannotCalculateChanges"
        assert snapshot.changes("Email", states[-2]).destroyed == ["M6", "M7"]
    index.close()


@pytest.mark.parametrize(
    ("age_s", "is_kept"), [(journal.TOMBSTONE_AGE_S - 60, True), (journal.TOMBSTONE_AGE_S + 60, False)]
)
def test_tombstones_are_kept_for_thirty_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age_s: int, is_kept: bool
) -> None:
    """A state from before the oldest is refused once that has gone, and no sooner; a later one never is."""
    monkeypatch.setattr("gateway.account.writer.BATCHES_BETWEEN_SWEEPS", 1)
    index = Index(tmp_path / "a.db")
    index.open()
    states = []
    index.apply(arriving(*[message(uid, thread="T") for uid in range(1, 5)]))
    for uid in (1, 2, 3):
        with index.snapshot() as snapshot:
            states.append(snapshot.state("Email"))
        index.apply(Batch(deltas=[MailboxDelta("Binbox", vanished=[(uid, uid)])]))
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + age_s)
    index.apply(arriving(message(9, thread="T")))
    with index.snapshot() as snapshot:
        if is_kept:
            assert snapshot.changes("Email", states[0]).destroyed == ["M1", "M2", "M3"]
        else:
            for state in states:
                with pytest.raises(MethodError, match="too old"):
                    snapshot.changes("Email", state)
        last = snapshot.state("Email")
        assert snapshot.changes("Email", last).new_state == last
    index.close()


def test_a_page_that_was_begun_goes_on_or_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state in the middle of changes whose tombstones have gone is never answered with a part of them."""
    monkeypatch.setattr(journal, "MAX_TOMBSTONES", 3)
    monkeypatch.setattr("gateway.account.writer.BATCHES_BETWEEN_SWEEPS", 1)
    index = Index(tmp_path / "a.db")
    index.open()
    index.apply(arriving(*[message(uid, thread="T") for uid in range(1, 12)]))
    with index.snapshot() as snapshot:
        state = snapshot.state("Email")
    index.apply(Batch(deltas=[MailboxDelta("Binbox", vanished=[(1, 3)])]))
    with index.snapshot() as snapshot:
        page = snapshot.changes("Email", state, 2)
        assert (page.destroyed, page.has_more) == (["M1", "M2"], True)
        assert snapshot.changes("Email", page.new_state).destroyed == ["M3"]
    index.apply(Batch(deltas=[MailboxDelta("Binbox", vanished=[(4, 6)])]))
    index.apply(arriving(message(20, thread="T")))
    with index.snapshot() as snapshot, pytest.raises(MethodError, match="too old"):
        snapshot.changes("Email", page.new_state)
    index.close()


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (arriving(message(2, flags=())), True),
        (Batch(deltas=[MailboxDelta("Binbox", flagged=[FlagChange(1, (), 2)])]), True),
        (Batch([replace(TREE[0], name="Eingang"), TREE[1]]), False),
        (Batch([replace(TREE[0], name="Eingang"), TREE[1]], [MailboxDelta("Binbox", vanished=[(1, 1)])]), False),
        (
            Batch([*TREE, MailboxFacts("Bnew", "New", "New", None, None)], [MailboxDelta("Binbox", vanished=[(1, 1)])]),
            False,
        ),
        (Batch(TREE[:1], [MailboxDelta("Binbox", vanished=[(1, 1)])]), False),
    ],
)
def test_updated_properties_are_told_when_nothing_but_counts_moved(tmp_path: Path, batch: Batch, told: bool) -> None:
    """And are null as soon as anything else did (RFC 8621 section 2.2), in the whole answer."""
    index = Index(tmp_path / "a.db")
    index.open()
    index.apply(arriving(message(1)))
    index.apply(Batch(TREE, [MailboxDelta("Btrash", mark=Mark(1, is_indexed=True))]))
    with index.snapshot() as snapshot:
        state = snapshot.state("Mailbox")
    index.apply(batch)
    with index.snapshot() as snapshot:
        changes = snapshot.changes("Mailbox", state)
        assert "Binbox" in changes.updated
        assert changes.updated_properties == (journal.COUNT_PROPERTIES if told else None)
    index.close()


def test_an_id_that_comes_back_is_created_and_may_go_again(tmp_path: Path) -> None:
    """A client that knew an email hears that it went, whatever happened in between."""
    index = Index(tmp_path / "a.db")
    index.open()
    index.apply(arriving(message(1), message(2)))
    with index.snapshot() as snapshot:
        state = snapshot.state("Email")
    index.apply(Batch(deltas=[MailboxDelta("Binbox", vanished=[(1, 1)])]))
    index.apply(arriving(message(1)))
    with index.snapshot() as snapshot:
        assert snapshot.changes("Email", state).created == ["M1"]
    index.apply(Batch(deltas=[MailboxDelta("Binbox", vanished=[(1, 1)])]))
    with index.snapshot() as snapshot:
        changes = snapshot.changes("Email", state)
        assert (changes.created, changes.destroyed) == ([], ["M1"])
    index.close()
