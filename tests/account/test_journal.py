"""What the journal forgets, and what it says then."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.account import journal
from gateway.account.index import Index
from gateway.account.records import Batch, MailboxDelta
from gateway.jmap.errors import MethodError
from tests.account.test_account import arriving, message


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
