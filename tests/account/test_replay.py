"""What the mirror holds of an index leads to an equal one: by its entries, by a snapshot, by both."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import Any

import msgpack
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.account.dump import dump
from gateway.account.entries import Entry, Foreign, pack_entry, unpack_entry
from gateway.account.index import Index
from gateway.account.records import Batch, FlagChange, MailboxDelta, MailboxFacts, Mark, NewMessage
from gateway.store.api import Head
from tests.account.test_model import FULL_TREE, MAILBOXES, batches

# Everything but what is read again from the upstream or made when it is needed.
TABLES = {
    "meta": "*",
    "flagset": "*",
    "keywordset": "*",
    "mailbox": "*",
    "email": "num, id, thread, received, size, keywords, is_visible, created_seq, updated_seq, first_seq",
    "location": "*",
    "member": "*",
    "thread": "*",
    "link": "*",
    "tombstone": "*",
}
TOKEN = 7
IDS = [f"M{number}" for number in range(10)]


def contents(index: Index) -> dict[str, Any]:
    with index.snapshot() as snapshot:
        rows = {
            table: sorted(map(tuple, snapshot.connection.execute(f"SELECT {columns} FROM {table}")), key=repr)
            for table, columns in TABLES.items()
        }
        return rows | {"emails": snapshot.emails(IDS)}


def apply(index: Index, batch: Batch) -> list[bytes]:
    """Do as the owner of a mirrored account does; return what goes into the log."""
    _, entries, _ = index.stage(batch)
    index.commit()
    return list(entries)


def loaded(path: Path, base: Head, parts: list[bytes], entries: list[bytes]) -> Index:
    index = Index(path, TOKEN)
    index.open()
    index.begin_load()
    for part in parts:
        index.fill(part)
    index.begin_replay(base)
    index.replay([(TOKEN, entry) for entry in entries])
    index.end_load()
    return index


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    history=st.lists(batches(), min_size=1, max_size=8),
    snapshot_after=st.integers(0, 8),
    reopened_after=st.integers(0, 8),
    digested=st.integers(0, 3),
)
def test_a_copy_is_equal(history: list[Batch], snapshot_after: int, reopened_after: int, digested: int) -> None:
    """Every row, key, seq, count and tombstone, whatever was digested or opened anew on the way; and so it stays."""
    marks = [MailboxDelta(id, mark=Mark(1, is_indexed=True)) for id in MAILBOXES]
    with tempfile.TemporaryDirectory() as directory:
        owner = Index(Path(directory) / "owner.db", TOKEN)
        owner.open()
        begun, is_empty = owner.renew()
        assert is_empty
        all_entries, entries, parts, base = [], [], [], begun
        for number, batch in enumerate([Batch(FULL_TREE, marks), *history]):
            new = apply(owner, batch)
            entries += new
            all_entries += new
            with owner.snapshot() as snapshot:
                nums = snapshot.undigested(digested)
            assert apply(owner, Batch(digests=nums)) == []
            if number == snapshot_after:
                with owner.snapshot() as snapshot:
                    parts = list(dump(snapshot.connection))
                found, entries = owner.head(), []
                assert found is not None
                base = found
            if number == reopened_after:
                owner.close()
                owner.open()
        replayed = loaded(Path(directory) / "replayed.db", begun, [], all_entries)
        restored = loaded(Path(directory) / "restored.db", base, parts, entries)
        assert contents(replayed) == contents(owner)
        assert contents(restored) == contents(owner)
        assert replayed.head() == restored.head() == owner.head()
        for batch in history:
            more = apply(owner, batch)
            for copy in (replayed, restored):
                copy.begin_load()
                copy.replay([(TOKEN, entry) for entry in more])
                copy.end_load()
                assert contents(copy) == contents(owner)
        for index in (owner, replayed, restored):
            index.close()


def test_a_batch_that_moves_nothing_takes_no_step(tmp_path: Path) -> None:
    """Neither the tree told again nor marks told again fill the log."""
    index = Index(tmp_path / "a.db", TOKEN)
    index.open()
    index.renew()
    batch = Batch(FULL_TREE, [MailboxDelta(MAILBOXES[0], mark=Mark(1, 5, 6, 7, is_indexed=True))])
    assert len(apply(index, batch)) == 1
    assert apply(index, batch) == []
    assert apply(index, Batch()) == []
    assert len(apply(index, Batch(deltas=[MailboxDelta(MAILBOXES[0], mark=Mark(1, 5, 9, 7, is_indexed=True))]))) == 1
    index.close()


def test_what_the_mirror_does_not_take_is_not_there(tmp_path: Path) -> None:
    """What is staged is not seen, and a rollback leaves nothing of it."""
    index = Index(tmp_path / "a.db", TOKEN)
    index.open()
    index.renew()
    apply(index, Batch(FULL_TREE))
    before = contents(index)
    message = NewMessage(1, ("$new",), 1, 1000, 10, "M1", None, b"Subject: x\r\n\r\n")
    index.stage(Batch(deltas=[MailboxDelta(MAILBOXES[0], [message])]))
    assert contents(index) == before
    index.rollback()
    assert contents(index) == before
    apply(index, Batch(deltas=[MailboxDelta(MAILBOXES[0], [message])]))
    with index.snapshot() as snapshot:
        assert set(snapshot.emails(IDS)) == {"M1"}
    index.close()


def test_an_index_without_its_mirror_begins_a_new_history(tmp_path: Path) -> None:
    """A file that was mirrored and is opened without: its mirror may be gone on from elsewhere, under its epoch."""
    index = Index(tmp_path / "a.db", TOKEN)
    index.open()
    index.renew()
    apply(index, Batch(FULL_TREE))
    head = index.head()
    index.close()
    alone = Index(tmp_path / "a.db")
    alone.open()
    with alone.snapshot() as snapshot:
        assert head is not None
        assert snapshot.journal.epoch != head.epoch
        assert len(snapshot.mailboxes()) == 3
    assert alone.head() is None
    alone.close()


def test_an_entry_comes_back_as_it_was() -> None:
    """Every field, also names that are no Unicode and flags of several megabytes' windows."""
    facts = MailboxFacts(
        "B1",
        "p\udcff",
        "n",
        None,
        "inbox",
        False,
        3,
        frozenset({"mayReadItems"}),
        True,
        (("ann", ("mayReadItems", "mayAddItems")), ("bob", ())),
        5,
        None,
    )
    message = NewMessage(2**40, ("\\Seen", "\udcff"), 2**60, -5, 2**33, "M", None, b"\xff\x00", (-(2**63), 2**63 - 1))
    delta = MailboxDelta("B1", [message] * 20, [FlagChange(1, ("a",), 2)], [(1, 2)], Mark(1, 2, 3, 4, True), True, True)
    entry = Entry(Batch([facts], [delta], is_bulk=True), 5, 6, True, 7, 8)
    assert unpack_entry(pack_entry(entry)) == entry
    assert unpack_entry(pack_entry(entry._replace(batch=Batch(deltas=[])))).batch.mailboxes is None


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"p",
        b"zgarbage",
        b"p" + msgpack.packb(["0.0", 1, 2, False, 1, 1, None, [], False]),
        b"p" + msgpack.packb(["1"]),
        b"p" + msgpack.packb(7),
        b"p\xc1",
    ],
)
def test_a_foreign_entry_is_not_guessed_at(octets: bytes) -> None:
    with pytest.raises(Foreign):
        unpack_entry(octets)


def test_a_foreign_snapshot_is_not_guessed_at(tmp_path: Path) -> None:
    index = Index(tmp_path / "a.db", TOKEN)
    index.open()
    index.begin_load()
    for value in ({"format": "0.0", "meta": {}}, {"table": "nothing", "columns": []}, 7):
        with pytest.raises(Foreign):
            index.fill(zlib.compress(orjson.dumps(value)))
    with pytest.raises(Foreign):
        index.fill(b"garbage")
    index.close()
