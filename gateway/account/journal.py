"""State strings and /changes (RFC 8620 section 5.2): what the index remembers of its own history.

Rule 1: a state is `<epoch>-<seq>`: the seq of the last batch that touched the type. The epoch is drawn at random when
an index is begun, so that a state of a lost index never looks valid.
Rule 2: changes are told in the order (seq of the last change, alive before destroyed, num). A state in the middle is
`<epoch>-<seq>.<class>.<num>.<since>`: the position of the last change told, and where the telling began. What was
created after `since` is told as created, even when a later batch moved it behind the position.
Rule 3: an id that came and went since a state is left out; one that went and came back is created.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gateway.account.records import Changes
from gateway.account.sql import load_json
from gateway.jmap.errors import MethodError

# EmailDelivery has no records: its state moves when an Email is added to the store (RFC 8621 section 1.5).
StateType = Literal["Email", "Thread", "Mailbox", "EmailDelivery"]
STATE_TYPES: tuple[StateType, ...] = ("Email", "Thread", "Mailbox", "EmailDelivery")
COUNT_PROPERTIES = ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")
MAX_CHANGES = 10_000  # ids in one answer, when the client sets no lower limit: half a megabyte of JSON
TOMBSTONE_AGE_S = 30 * 86_400  # RFC 8620 section 5.2 asks for 30 days
MAX_TOMBSTONES = 100_000  # a few megabytes
_ALIVE, _DESTROYED = 0, 1
_WHOLE = 2**62  # a position behind every change of its seq
_STATE = re.compile(r"([0-9a-z]{1,32})-([0-9]{1,18})(?:\.([01])\.([0-9]{1,19})\.([0-9]{1,18}))?\Z")


class Position(NamedTuple):
    """A place in the history of a type. `since` is another seq than `seq` in the middle of a telling."""

    seq: int
    kind: int
    num: int
    since: int

    @property
    def is_whole(self) -> bool:
        return self.num == _WHOLE and self.since == self.seq


@dataclass(frozen=True, slots=True)
class Journal:
    """The head of an index's history, as one read view sees it."""

    epoch: str
    seqs: dict[StateType, int]  # the last batch that touched each type
    floor: int  # the oldest seq since which every tombstone is kept

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> Journal:
        meta = load_json(connection, "SELECT json_group_object(key, value) FROM meta")
        return cls(meta["epoch"], {type: meta.get(f"seq {type}", 0) for type in STATE_TYPES}, meta["floor"])

    def state(self, type: StateType) -> str:
        return f"{self.epoch}-{self.seqs[type]}"

    def parse(self, type: StateType, state: str) -> Position:
        """Return the position of a state that was given out. Raise `cannotCalculateChanges`."""
        found = _STATE.match(state)
        if found is None or found[1] != self.epoch:
            raise MethodError("cannotCalculateChanges", "the state is not of this server's history")
        seq = int(found[2])
        if seq > self.seqs[type]:
            raise MethodError("cannotCalculateChanges", "the state is not of this server's history")
        if seq < self.floor:
            raise MethodError("cannotCalculateChanges", "the state is too old")
        if found[3] is None:
            return Position(seq, _DESTROYED, _WHOLE, seq)
        position = Position(seq, int(found[3]), min(int(found[4]), _WHOLE), int(found[5]))
        if seq == self.floor and position.num != _WHOLE:
            raise MethodError("cannotCalculateChanges", "the state is too old")
        return position

    def changes(self, connection: sqlite3.Connection, type: StateType, since: str, max_changes: int | None) -> Changes:
        """Answer /changes from the state `since` to now, or to a position at most `max_changes` ids further."""
        start = self.parse(type, since)
        limit = MAX_CHANGES if max_changes is None else min(max_changes, MAX_CHANGES)
        found = load_json(connection, _changes_text(type), {**_parameters(type, start), "limit": limit + 1})
        has_more = len(found) > limit
        created: list[str] = []
        updated: list[str] = []
        destroyed: list[str] = []
        only_counts = True
        for _, kind, _, id, created_seq, facts_seq in found[:limit]:
            if kind == _DESTROYED:
                destroyed.append(id)
            elif created_seq > start.since:
                created.append(id)
            else:
                updated.append(id)
                only_counts = only_counts and facts_seq <= start.since
        new_state = self.state(type)
        if has_more:
            seq, kind, num = found[limit - 1][:3]
            new_state = f"{self.epoch}-{seq}.{kind}.{num}.{start.since}"
        are_counts = type == "Mailbox" and bool(updated) and only_counts and not created and not destroyed
        return Changes(
            since, new_state, has_more, created, updated, destroyed, COUNT_PROPERTIES if are_counts else None
        )


def _parameters(type: StateType, start: Position) -> dict[str, object]:
    return {"type": type, "seq": start.seq, "kind": start.kind, "num": start.num}


def _changes_text(type: StateType) -> str:
    table = type.lower()
    visible = "" if type == "Mailbox" else "is_visible AND"
    facts = "facts_seq" if type == "Mailbox" else "updated_seq"
    # One arm starts in the middle of a seq (>= and compare), the order and the limit are of both arms together.
    return f"""
SELECT json_group_array(json_array(seq, kind, num, id, created_seq, facts_seq)) FROM (
  SELECT * FROM (
    SELECT updated_seq AS seq, {_ALIVE} AS kind, num, id, created_seq, {facts} AS facts_seq FROM {table}
    WHERE {visible} updated_seq >= :seq AND (updated_seq, {_ALIVE}, num) > (:seq, :kind, :num)
    ORDER BY updated_seq, num LIMIT :limit)
  UNION ALL
  SELECT * FROM (
    SELECT seq, {_DESTROYED}, num, id, first_seq, 0 FROM tombstone
    WHERE type = :type AND seq >= :seq AND (seq, {_DESTROYED}, num) > (:seq, :kind, :num) AND first_seq <= :seq
    ORDER BY seq, num LIMIT :limit)
  ORDER BY 1, 2, 3 LIMIT :limit)"""


def forget_tombstones(connection: sqlite3.Connection, now_s: int) -> None:
    """Drop the tombstones that are too old or too many, and move the floor behind them."""
    (count,) = connection.execute("SELECT count(*) FROM tombstone").fetchone()
    (oldest,) = connection.execute(
        "SELECT max(seq) FROM tombstone WHERE destroyed_at_s < ?", (now_s - TOMBSTONE_AGE_S,)
    ).fetchone()
    floor = oldest or 0
    if count > MAX_TOMBSTONES:
        (last,) = connection.execute(
            "SELECT seq FROM tombstone ORDER BY seq DESC LIMIT 1 OFFSET ?", (MAX_TOMBSTONES,)
        ).fetchone()
        floor = max(floor, last)
    if floor:
        connection.execute("DELETE FROM tombstone WHERE seq <= ?", (floor,))
        connection.execute("UPDATE meta SET value = max(value, ?) WHERE key = 'floor'", (floor,))
