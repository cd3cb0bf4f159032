"""What an account may hold, as records of the Quota type (RFC 9425): kept, compared and told of. No I/O of its own.

Rule 1: an id is derived from what the upstream calls a limit, so it is the same after the loss of everything kept.
Rule 2: when only `used` moved, /changes says so. A record remembers the state before anything else of it changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.account.ids import digest_id
from gateway.account.records import Changes
from gateway.account.user_records import Record, RecordsView, UserRecords

TYPE: Final = "Quota"
_SHAPED_AFTER: Final = "shapedAfter"  # the state before the last write that changed more than `used`; no property


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit as the upstream tells it, in JMAP's terms."""

    root: str  # the upstream's own name of the limit
    resource: str  # what is limited, in the upstream's word
    resource_type: str  # "octets" or "count"
    types: tuple[str, ...]  # the data types that count towards it
    used: int
    hard_limit: int

    @property
    def id(self) -> str:
        return digest_id("Q", self.root, self.resource)

    def record(self) -> Record:
        return {
            "resourceType": self.resource_type,
            "used": self.used,
            "hardLimit": self.hard_limit,
            "scope": "account",
            "name": self.root or self.resource,
            "types": list(self.types),
        }


async def keep(records: UserRecords, quotas: Iterable[Quota]) -> None:
    """Make the records those of these limits; nothing is written where nothing changed."""
    view = await records.look(TYPE, None)
    found = {quota.id: quota.record() for quota in quotas}
    writes: dict[str, Record | None] = {id: None for id in view.by_id if id not in found}
    for id, record in found.items():
        old = view.by_id.get(id, {})
        is_shaped = _shape(old) != _shape(record)
        record[_SHAPED_AFTER] = view.state if is_shaped else old[_SHAPED_AFTER]
        if record != old:
            writes[id] = record
    if writes:
        await records.write(TYPE, writes)


def changes(view: RecordsView, since: str, at_most: int) -> Changes:
    """Answer /changes, with the properties that changed where it was only `used` (RFC 9425 section 4.3)."""
    found = view.changes(since, at_most=at_most)
    told: list[str] | None = None
    if found.updated and all(_seq(view.by_id[id][_SHAPED_AFTER]) < _seq(since) for id in found.updated):
        told = ["used"]
    return Changes(
        found.old_state, found.new_state, found.has_more, found.created, found.updated, found.destroyed, told
    )


def _shape(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in record.items() if name not in ("used", _SHAPED_AFTER)}


def _seq(state: str) -> int:
    """Return what number of write a state is of; of one in the middle of a telling, where that began."""
    whole, _, rest = state.partition(".")
    return int(rest.partition(".")[0] if rest else whole.partition("-")[0])
