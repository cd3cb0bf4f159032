"""Records and their journal, in every store."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.store import SqliteStore, sqlite_records
from gateway.store.api import RecordState, UserStore
from tests.store.conftest import Stores


async def put(store: UserStore, type: str = "Identity", **records: bytes | None) -> RecordState | None:
    return (await store.write_records("A1", {type: records})).get(type)


async def test_what_was_written_is_there_after_a_restart(stores: Stores) -> None:
    """Records, their order and the state."""
    store = await stores.open()
    await put(store, b=b"1")
    state = await put(store, a=b"2")
    await store.close()
    store = await stores.open()
    found = await store.records("A1", "Identity")
    assert list(found.by_id.items()) == [("b", b"1"), ("a", b"2")]
    assert found.state == state
    assert await store.record_states("A1") == {"Identity": state}
    await store.close()


async def test_a_write_of_several_types_takes_one_seq(store: UserStore) -> None:
    """And types, accounts and ids are kept apart."""
    new = await store.write_records("A1", {"Identity": {"x": b"1"}, "Quota": {"x": b"2"}})
    assert new["Identity"] == new["Quota"]
    assert (await store.records("A1", "Quota", ["x", "y"])).by_id == {"x": b"2"}
    assert (await store.records("A2", "Quota")).by_id == {}
    assert await store.record_accounts("Quota") == ["A1"]


async def test_what_changes_nothing_takes_no_seq(store: UserStore) -> None:
    """The same octets again, and a tombstone of what was never there."""
    first = await put(store, a=b"1")
    assert await put(store, a=b"1", b=None) is None
    assert (await store.records("A1", "Identity")).state == first


async def test_the_history_tells_the_last_change_of_each(store: UserStore) -> None:
    await put(store, a=b"1", b=b"1")
    await put(store, a=b"2")
    await put(store, b=None)
    history = (await store.records("A1", "Identity", (), with_history=True)).history
    assert history is not None
    assert [tuple(change) for change in history.changes] == [(2, "a", 1, 1, False), (3, "b", 1, 1, True)]
    assert sorted(history.marks) == [0, 1, 2, 3]


async def test_one_that_comes_again_is_created_again(store: UserStore) -> None:
    await put(store, a=b"1")
    await put(store, a=None)
    await put(store, a=b"1")
    history = (await store.records("A1", "Identity", (), with_history=True)).history
    assert history is not None
    assert [tuple(change) for change in history.changes] == [(3, "a", 3, 1, False)]


async def test_the_state_before_the_first_write_stays_valid(store: UserStore) -> None:
    """A client that looked when there was nothing is told what came."""
    before = (await store.records("A1", "Identity", (), with_history=True)).state
    await put(store, a=b"1")
    history = (await store.records("A1", "Identity", (), with_history=True)).history
    assert history is not None
    assert history.marks[before.seq] == before.mark


async def test_a_lost_store_gives_other_states(tmp_path: Path) -> None:
    """Even the state of nothing is another one."""
    states = []
    for name in ("one", "other"):
        store = await SqliteStore.open(tmp_path / name)
        states += [(await store.records("A1", "Identity")).state, await put(store, a=b"1")]
        await store.close()
    assert len(set(states)) == 4


async def test_tombstones_are_bounded(store: UserStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states that would need a forgotten one are forgotten with it; the newest state never is."""
    monkeypatch.setattr(sqlite_records, "MAX_TOMBSTONES", 2)
    for id in "abcd":
        await store.write_records("A1", {"Identity": {id: b"1"}})
        newest = (await store.write_records("A1", {"Identity": {id: None}}))["Identity"]
    history = (await store.records("A1", "Identity", (), with_history=True)).history
    assert history is not None
    assert [change.id for change in history.changes] == ["c", "d"]
    assert min(history.marks) == 4
    assert history.marks[newest.seq] == newest.mark


async def test_old_writes_are_forgotten(store: UserStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is kept for 30 days after it was superseded, however old it was then."""
    clock = [1_000_000.0]
    monkeypatch.setattr("time.time", lambda: clock[0])
    await put(store, a=b"1", b=b"1")
    clock[0] += 10
    await put(store, b=None)
    clock[0] += 31 * 86_400
    await put(store, a=b"2")
    history = (await store.records("A1", "Identity", (), with_history=True)).history
    assert history is not None
    assert sorted(history.marks) == [2, 3]
    assert [change.id for change in history.changes] == ["a"]
