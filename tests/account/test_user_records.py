"""States, changes and announcements of the records that no index holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.account.user_records import UserRecords, changes, written
from gateway.jmap.errors import MethodError
from gateway.store import SqliteStore
from gateway.store.api import RecordChange, RecordHistory, RecordState


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "data")
    yield opened
    await opened.close()


async def opened(store: SqliteStore, told: list[Mapping[str, str]]) -> UserRecords:
    records = UserRecords(store, "A1", told.append)
    await records.open()
    return records


async def test_a_write_is_announced_with_the_state_of_a_get(store: SqliteStore) -> None:
    told: list[Mapping[str, str]] = []
    records = await opened(store, told)
    await records.write("Identity", {"a": {"name": "A"}})
    view = await records.look("Identity", None)
    assert view.records(None, at_most=10) == {"a": {"name": "A"}}
    assert told == [{"Identity": view.state}] == [records.states]
    assert await records.state("Identity") == view.state


async def test_states_are_there_after_a_restart(store: SqliteStore) -> None:
    """Whoever listens then is not told what it knows."""
    first = await opened(store, [])
    await first.write("Identity", {"a": {}})
    assert (await opened(store, [])).states == first.states


async def test_what_changes_nothing_is_not_announced(store: SqliteStore) -> None:
    told: list[Mapping[str, str]] = []
    records = await opened(store, told)
    await records.write("Identity", {"a": {"x": 1, "y": 2}})
    await records.write("Identity", {"a": {"y": 2, "x": 1}})
    assert len(told) == 1


@pytest.mark.parametrize("state", ["", "1", "0-", "9-000000000000", "-1-000000000000", "1-000000000000", "x" * 5000])
async def test_a_foreign_state_is_refused(store: SqliteStore, state: str) -> None:
    records = await opened(store, [])
    await records.write("Identity", {"a": {}})
    view = await records.look("Identity")
    with pytest.raises(MethodError, match="cannotCalculateChanges"):
        view.changes(state, at_most=10)


async def test_a_restored_backup_does_not_take_the_states_of_before(tmp_path: Path) -> None:
    """The same seq, written again after the restoration, is another state."""
    states = []
    for value in (1, 2):  # both begin from the same file
        store = await SqliteStore.open(tmp_path)
        if value == 1:
            await (await opened(store, [])).write("Identity", {"a": {}})
            await store.close()
            backup = (tmp_path / "gateway.db").read_bytes()
            store = await SqliteStore.open(tmp_path)
        records = await opened(store, [])
        await records.write("Identity", {"a": {"value": value}})
        states.append(await records.state("Identity"))
        view = await records.look("Identity")
        await store.close()
        (tmp_path / "gateway.db").write_bytes(backup)
    assert states[0].partition("-")[0] == states[1].partition("-")[0]
    with pytest.raises(MethodError, match="cannotCalculateChanges"):
        view.changes(states[0], at_most=10)


@settings(max_examples=200)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcde"), st.booleans(), min_size=1, max_size=3), max_size=12),
    st.integers(1, 3),
    st.data(),
)
def test_a_client_that_follows_changes_ends_with_what_is_there(
    writes: list[dict[str, bool]], at_most: int, data: st.DataObject
) -> None:
    """In steps of any size, with writes in between, from any state that was given out."""
    alive: dict[str, int] = {}
    first: dict[str, int] = {}
    rows: dict[str, RecordChange] = {}
    marks = {0: "0" * 12}
    client: set[str] = set()
    state = told = written(RecordState(0, marks[0]))

    def follow() -> bool:
        nonlocal told
        ordered = sorted(rows.values(), key=lambda row: (row.seq, row.id))
        found = changes(RecordHistory(marks, ordered), state, told, at_most)
        assert len(found.created) + len(found.updated) + len(found.destroyed) <= at_most
        assert client.issuperset(found.updated), "updated, and the client does not know it"
        client.update(found.created)
        client.difference_update(found.destroyed)
        told = found.new_state
        return found.has_more

    for seq, steps in enumerate(writes, 1):
        marks[seq] = f"{seq:012x}"
        for id, is_put in steps.items():
            if not is_put and id not in alive:
                continue
            created = alive.setdefault(id, seq)
            rows[id] = RecordChange(seq, id, created, first.setdefault(id, seq), not is_put)
            if not is_put:
                del alive[id]
        state = written(RecordState(seq, marks[seq]))
        if data.draw(st.booleans()):
            follow()
    while follow():
        pass
    assert told == state
    assert client == set(alive)
