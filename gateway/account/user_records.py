"""The records of one account that no index holds (Identity, EmailSubmission, ...): read, written and told of.

RFC 8620 sections 1.6.2 and 5.2.

Rule 1: a state is `<seq>-<mark>`, the seq of the last write that touched the type and what was drawn for that write: a
        state of a store that was lost, or restored from a backup, does not look valid.
Rule 2: changes are told in the order (seq of the last change, id). A state in the middle is
        `<seq>-<mark>.<since>.<id>`: the last change told, and where the telling began; what was created since
        then is told as created.
Rule 3: a write is durable, and its states are announced, before it returns. A type whose name begins with a small
        letter is the gateway's own: nobody is told of it.
Rule 4: who writes what depends on what it has read holds `lock` meanwhile.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.account.records import Changes
from gateway.jmap.errors import MethodError
from gateway.store.api import RecordHistory, RecordState, RecordStore

Record = dict[str, Any]  # the properties of a record, `id` left out; nobody changes one that was read

_STATE = re.compile(r"([0-9]{1,18})-([0-9a-f]{12})(?:\.([0-9]{1,18})\.([A-Za-z0-9_-]{1,255}))?\Z")


@dataclass(frozen=True, slots=True)
class RecordsView:
    """Records of one type at one moment: a `methods.standard.View`."""

    state: str
    by_id: Mapping[str, Record]
    history: RecordHistory | None

    def records(self, ids: Collection[str] | None, *, at_most: int) -> Mapping[str, Record]:
        return self.by_id if ids is None else {id: self.by_id[id] for id in ids if id in self.by_id}

    def changes(self, since: str, *, at_most: int) -> Changes:
        """Answer /changes. Raise `cannotCalculateChanges`."""
        assert self.history is not None, "this view was opened for certain records only"
        return changes(self.history, self.state, since, at_most)


class UserRecords:
    """All of an account's. `open()` before anybody listens; `states` are those of the types that were ever written."""

    def __init__(
        self, store: RecordStore | None, account_id: str, announce: Callable[[Mapping[str, str]], None]
    ) -> None:
        self._store, self._account_id, self._announce = store, account_id, announce
        self._states: dict[str, RecordState] = {}
        self.lock = asyncio.Lock()

    async def open(self) -> None:
        if self._store is not None:
            self._states = dict(await self._store.record_states(self._account_id))

    @property
    def states(self) -> Mapping[str, str]:
        return {type: written(state) for type, state in self._states.items() if _is_told(type)}

    async def look(self, type: str, ids: Collection[str] | None = ()) -> RecordsView:
        """Return a view of these records, or (None) of all. One of certain records tells no changes."""
        found = await self._kept.records(self._account_id, type, ids, with_history=not ids)
        by_id = {id: orjson.loads(octets) for id, octets in found.by_id.items()}
        return RecordsView(written(found.state), by_id, found.history)

    async def state(self, type: str) -> str:
        return written((await self._kept.records(self._account_id, type, ())).state)

    async def write(self, type: str, records: Mapping[str, Record | None]) -> None:
        """Put records, or (None) destroy them; all or none."""
        await self.write_all({type: records})

    async def write_all(self, writes: Mapping[str, Mapping[str, Record | None]]) -> None:
        """Put and destroy records of several types; all or none."""
        octets = {type: {id: _octets(one) for id, one in records.items()} for type, records in writes.items()}
        new = await self._kept.write_records(self._account_id, octets)
        for type, state in new.items():
            if state.seq > self._states.get(type, state._replace(seq=-1)).seq:
                self._states[type] = state
        if told := {type: written(state) for type, state in new.items() if _is_told(type)}:
            self._announce(told)

    @property
    def _kept(self) -> RecordStore:
        if self._store is None:
            raise RuntimeError("this account was made without a store of records")
        return self._store


def written(state: RecordState) -> str:
    """Return the state string of a type."""
    return f"{state.seq}-{state.mark}"


def changes(history: RecordHistory, state: str, since: str, at_most: int) -> Changes:
    """Return what changed from the state `since` to `state`, or to a position at most so many ids further."""
    found = _STATE.match(since)
    seq = int(found[1]) if found is not None else -1
    if found is None or history.marks.get(seq) != found[2]:
        raise MethodError("cannotCalculateChanges", "the state is too old, or not of this server's history")
    since_seq, told_id = (seq, None) if found[3] is None else (int(found[3]), found[4])
    created: list[str] = []
    updated: list[str] = []
    destroyed: list[str] = []
    last: str | None = None
    for change in history.changes:
        if change.seq < seq or (change.seq == seq and (told_id is None or change.id <= told_id)):
            continue
        if change.is_destroyed and change.first_seq > seq:
            continue  # it came and went, and nobody has been told
        if len(created) + len(updated) + len(destroyed) == at_most:
            return Changes(since, str(last), True, created, updated, destroyed)
        if change.is_destroyed:
            destroyed.append(change.id)
        elif change.created_seq > since_seq:
            created.append(change.id)
        else:
            updated.append(change.id)
        last = f"{change.seq}-{history.marks[change.seq]}.{since_seq}.{change.id}"
    return Changes(since, state, False, created, updated, destroyed)


def _is_told(type: str) -> bool:
    return type[:1].isupper()


def _octets(record: Record | None) -> bytes | None:
    return None if record is None else orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
