"""What is to be done to the scripts upstream, decided before anything is (RFC 5804 has no transactions). Pure.

Rule 1: whatever step the connection breaks at, no script is lost, and the user's active script keeps working: it is
    active itself, or included by ours, which is active.
Rule 2: what was left half done says so, in the comment of our script: the next look finishes it (`heal`).
Rule 3: another client may make another script the active one while the vacation is on: it is included then, instead of
    the one before. One who makes none active switches the vacation off as well; and one who makes ours active, on.
Rule 4: a script that replies by itself cannot stand beside ours: two replies to one message are an error (RFC 5230
    section 4.7). It is not included, and the vacation is off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from gateway.sync.sieve import vacation_text
from gateway.sync.sieve.script_text import needs
from gateway.sync.sieve.vacation_text import Status, Vacation

NAME = "jmap-vacation"  # of our script, if nobody has a script of that name
REJECTING = frozenset({"reject", "ereject", "refuse"})


@dataclass(frozen=True, slots=True)
class Put:
    """Store a script."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Activate:
    """Make a script the active one; None: make none active."""

    name: str | None


Step = Put | Activate


class CannotInclude(Exception):
    """The user's own script cannot be kept working beside a reply; the text says why, to a client."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The scripts as they are."""

    scripts: Mapping[str, bytes]  # by name
    active: str | None
    extensions: frozenset[str]  # of the engine
    addresses: tuple[str, ...] = ()  # the user's own

    @property
    def ours(self) -> tuple[str, Vacation] | None:
        """Return the vacation's script and what it says of itself.

        If there are several, copies made by somebody: the active one, or the one with the name that we give.
        """
        found = [(name, told) for name, content in self.scripts.items() if (told := vacation_text.read(content))]
        return min(found, key=lambda one: (one[0] != self.active, one[0] != NAME, one[0]), default=None)

    @property
    def properties(self) -> Mapping[str, Any]:
        """Return the VacationResponse as it really is: enabled if a reply is sent."""
        ours = self.ours
        if ours is None:
            return vacation_text.DEFAULTS
        return {**ours[1].properties, "isEnabled": ours[1].status != "leaving" and self.active == ours[0]}

    @property
    def included(self) -> str | None:
        """Return the user's own script while it works by being included in ours."""
        ours = self.ours
        return self._followed(ours[1]) if ours is not None and self.active == ours[0] else None

    def _followed(self, told: Vacation) -> str | None:
        """Return the script that ours includes, wherever a rename has taken it."""
        for name in told.includes:
            if name in self.scripts:
                return name
        if not told.includes:
            return None
        moved = (name for name, content in self.scripts.items() if _digest(content) == told.included_digest)
        return next(moved, None)


def heal(standing: Standing) -> Sequence[Step]:
    """Return what brings the scripts to order: after a step that was the last, or what another client did."""
    ours = standing.ours
    if ours is None:
        return ()
    name, told = ours
    is_active = standing.active == name
    off = Put(name, _text(standing, "off", told.properties, None))
    if told.status == "leaving":
        return (Activate(standing.included), off) if is_active else (off,)
    if told.status == "off":
        return (Put(name, _text(standing, "on", told.properties, None)),) if is_active else ()
    own = standing.included if is_active else standing.active
    if own is None and not is_active:
        return (off,)
    try:
        text = _text(standing, "on", told.properties, own)
    except CannotInclude:
        return (Activate(own), off) if is_active else (off,)
    changed = vacation_text.read(text) != told
    steps: list[Step] = [Put(name, text)] if changed else []
    return steps if is_active else [*steps, Activate(name)]


def set_vacation(standing: Standing, properties: Mapping[str, Any]) -> Sequence[Step]:
    """Return what sets the VacationResponse. Raise CannotInclude."""
    ours = standing.ours
    name = ours[0] if ours is not None else _free_name(standing)
    is_active = standing.active == name
    if properties["isEnabled"]:
        own = standing.included if is_active else standing.active
        text = _text(standing, "on", properties, own)
        return (Put(name, text),) if is_active else (Put(name, text), Activate(name))
    return (*leave(standing, standing.included), Put(name, _text(standing, "off", properties, None)))


def leave(standing: Standing, to: str | None) -> Sequence[Step]:
    """Return what makes another script (None: none) the active one if ours is: the first steps of a way out.

    What is left for `heal` is to write down that it is off.
    """
    ours = standing.ours
    if ours is None or standing.active != ours[0]:
        return ()
    if to is None or "include" not in standing.extensions:
        return (Activate(to),)  # if that is the last step, `heal` sees that ours is off
    return Put(ours[0], _text(standing, "leaving", ours[1].properties, to)), Activate(to)


def before_rename(standing: Standing, name: str, new_name: str) -> Sequence[Step]:
    """Return what keeps an included script working while it is renamed."""
    ours = standing.ours
    if ours is None or standing.included != name:
        return ()
    return (Put(ours[0], vacation_text.write(replace(ours[1], includes=(name, new_name)))),)


def _text(standing: Standing, status: Status, properties: Mapping[str, Any], own: str | None) -> bytes:
    """Return our script. Raise CannotInclude."""
    is_behind = False
    if own is not None and status != "leaving":
        if "include" not in standing.extensions:
            raise CannotInclude("the mail server cannot run a vacation reply beside an active SieveScript")
        needed = needs(own, standing.scripts)
        if needed.extensions & {"vacation", "vacation-seconds"}:
            raise CannotInclude("the active SieveScript replies to messages by itself")
        is_behind = bool(needed.extensions & REJECTING)
    return vacation_text.write(
        Vacation(
            status,
            {**properties, "isEnabled": status == "on"},
            (own,) if own is not None else (),
            _digest(standing.scripts.get(own, b"")) if own is not None else "",
            is_behind,
            standing.addresses,
        )
    )


def _free_name(standing: Standing) -> str:
    number = 1
    while (name := NAME if number == 1 else f"{NAME}-{number}") in standing.scripts:
        number += 1
    return name


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
