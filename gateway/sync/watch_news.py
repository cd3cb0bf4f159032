"""What a watched connection has told and nobody has acted on yet: gathered, coalesced, bounded. No I/O.

Rule 1: of one mailbox the newest numbers count, however many events told of it.
Rule 2: what is not understood, or is too much to keep, becomes a look at all mailboxes: never silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.upstream.imap import (
    Event,
    Exists,
    Expunged,
    ImapError,
    Listed,
    Message,
    Notice,
    StatusChanged,
    StatusItems,
    Vanished,
)

MAX_TOLD = 200  # mailboxes with news at the same time; one LIST of all is cheaper than more resyncs
FLOOD_EVENTS = 20_000  # within FLOOD_S: more than a busy account ever has, and work that others wait behind
FLOOD_S = 20.0


class News:
    """Events in, what is to be done out. `selected`: the path that events without a name are about."""

    def __init__(self, *, clock: Callable[[], float], selected: str | None = None) -> None:
        self._clock, self._selected = clock, selected
        self._told: dict[str, StatusItems] = {}
        self.is_sweep_due = False  # a look at all mailboxes
        self._heard, self._since_s = 0, clock()
        self.has_come = asyncio.Event()
        self.has_tree_changed = False
        self.has_overflown = False  # the server has stopped telling (NOTIFICATIONOVERFLOW)
        self.ended: ImapError | None = None

    @property
    def is_pending(self) -> bool:
        """Tell whether something is to be done."""
        return bool(self._told) or self.is_sweep_due or self.has_overflown or self.ended is not None

    @property
    def is_flooded(self) -> bool:
        """Tell whether events come faster than anybody needs them."""
        return self._heard > FLOOD_EVENTS

    def hear(self, event: Event) -> None:
        """Take an event of the connection."""
        now = self._clock()
        if now - self._since_s > FLOOD_S:
            self._heard, self._since_s = 0, now
        self._heard += 1
        match event:
            case StatusChanged(name, items):
                self.tell(name, items)
            case Listed():
                self.has_tree_changed = True
                self.want_sweep()
            case Exists() | Expunged() | Vanished() | Message():
                if self._selected is not None:
                    self.tell(self._selected, {})
            case Notice(_, "NOTIFICATIONOVERFLOW", _):
                self.has_overflown = True
                self.want_sweep()

    def tell(self, path: str, items: StatusItems) -> None:
        """Note that a mailbox changed; `items` may be empty: something about it did."""
        if not self.is_sweep_due:
            self._told[path] = {**self._told.get(path, {}), **items}
            if len(self._told) > MAX_TOLD:
                self.want_sweep()
        self.has_come.set()

    def want_sweep(self) -> None:
        """Note that all mailboxes are to be looked at."""
        self.is_sweep_due = True
        self._told.clear()
        self.has_come.set()

    def end(self, error: ImapError) -> None:
        """Note that the connection is over."""
        self.ended = error
        self.has_come.set()

    def take(self) -> dict[str, StatusItems] | None:
        """Return the mailboxes with news, by path, and forget them; None: all are to be looked at."""
        told = None if self.is_sweep_due else self._told
        self._told, self.is_sweep_due = {}, False
        self.has_come.clear()
        return told
