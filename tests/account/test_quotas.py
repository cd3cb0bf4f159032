"""The records of Quota: written when they differ, and told as what really changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.account.quotas import Quota, changes, keep
from gateway.account.records import Changes
from gateway.account.user_records import UserRecords
from gateway.store import SqliteStore

STORAGE = Quota("root", "STORAGE", "octets", ("Email",), used=10, hard_limit=100)
MESSAGE = replace(STORAGE, resource="MESSAGE", resource_type="count")


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[UserRecords]:
    store = await SqliteStore.open(tmp_path)
    yield UserRecords(store, "A1", lambda _states: None)
    await store.close()


async def since(records: UserRecords, state: str, at_most: int = 100) -> Changes:
    return changes(await records.look("Quota", None), state, at_most)


async def test_equal_limits_write_nothing(records: UserRecords) -> None:
    """The same numbers again leave the state as it is; ids are those of the limit, whatever its numbers."""
    await keep(records, [STORAGE])
    state = await records.state("Quota")
    await keep(records, [replace(STORAGE)])
    assert await records.state("Quota") == state
    await keep(records, [replace(STORAGE, used=11, hard_limit=7)])
    assert list((await records.look("Quota", None)).by_id) == [STORAGE.id]
    assert STORAGE.id != MESSAGE.id


async def test_only_used_is_said_as_long_as_it_is_true(records: UserRecords) -> None:
    """`updatedProperties` names `used` from every state since the last other change, and from no state before it."""
    states = []
    for quota in (
        STORAGE,
        replace(STORAGE, used=11),
        replace(STORAGE, used=11, hard_limit=200),
        replace(STORAGE, used=12, hard_limit=200),
    ):
        await keep(records, [quota])
        states.append(await records.state("Quota"))
    told = [(await since(records, state)).updated_properties for state in states]
    assert told == [None, None, ["used"], None]
    assert [list((await since(records, state)).updated) for state in states] == [[STORAGE.id]] * 3 + [[]]


async def test_limits_come_and_go(records: UserRecords) -> None:
    """A limit that the upstream tells no more is destroyed, one that is new created; neither hides behind `used`."""
    await keep(records, [STORAGE])
    state = await records.state("Quota")
    await keep(records, [replace(STORAGE, used=11), MESSAGE])
    found = await since(records, state)
    assert (list(found.created), list(found.updated), found.updated_properties) == (
        [MESSAGE.id],
        [STORAGE.id],
        ["used"],
    )
    await keep(records, [])
    assert sorted((await since(records, state)).destroyed) == [STORAGE.id]


async def test_in_the_middle_of_a_telling(records: UserRecords) -> None:
    """With one id at a time, no change but that of `used` is ever told as one of `used`."""
    await keep(records, [STORAGE, MESSAGE])
    state = await records.state("Quota")
    await keep(records, [replace(STORAGE, hard_limit=200), replace(MESSAGE, hard_limit=200)])
    first = await since(records, state, 1)
    second = await since(records, first.new_state, 1)
    assert (first.has_more, second.has_more) == (True, False)
    assert {*first.updated, *second.updated} == {STORAGE.id, MESSAGE.id}
    assert (first.updated_properties, second.updated_properties) == (None, None)
