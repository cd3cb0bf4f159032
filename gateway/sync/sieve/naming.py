"""Which script upstream is which SieveScript: an id outlives a rename, and the loss of everything that we keep. Pure.

Rule 1: a name that was there keeps its id. A name that came while another went is the same script if we have renamed
    it, or if it holds the same octets.
Rule 2: the id of a new script is derived from its name, so that it comes out the same without a record; unless the id
    is that of a script which had the name before it was renamed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.account.ids import digest_id
from gateway.account.user_records import Record


@dataclass(frozen=True, slots=True)
class Found:
    """One script as it is upstream."""

    name: str
    digest: str
    is_active: bool
    is_vacation: bool

    def record(self) -> Record:
        return {
            "name": self.name,
            "digest": self.digest,
            "isActive": self.is_active,
            "isVacation": self.is_vacation,
        }


def reconcile(
    known: Mapping[str, Record], found: Collection[Found], renamed: Mapping[str, str] | None = None
) -> dict[str, Record | None]:
    """Return the records to write so that they tell what is there; None: the script is gone.

    `renamed`: ids by the names that we have given.
    """
    ids = {record["name"]: id for id, record in known.items()}
    gone = {id: record for id, record in known.items() if record["name"] not in {one.name for one in found}}
    writes: dict[str, Record | None] = {}
    come: list[Found] = []
    for one in found:
        if (id := ids.get(one.name)) is not None:
            writes[id] = one.record()
        elif (id := (renamed or {}).get(one.name)) in gone:
            del gone[id]
            writes[id] = one.record()
        else:
            come.append(one)
    for one in come:
        id = _moved(gone, one) or _new_id(one.name, {*known, *writes})
        gone.pop(id, None)
        writes[id] = one.record()
    return {**writes, **dict.fromkeys(gone)}


def _moved(gone: Mapping[str, Record], one: Found) -> str | None:
    return next((id for id, record in gone.items() if record["digest"] == one.digest), None)


def _new_id(name: str, taken: Iterable[Any]) -> str:
    taken = set(taken)
    id = digest_id("S", name)
    while id in taken:
        id = digest_id("S", name, id)
    return id
