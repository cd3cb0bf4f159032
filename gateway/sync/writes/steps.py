"""Decide what has to be done at which location to carry out one change. Pure: no I/O, no clock.

Rule 1: keywords first, where the Email will stay and where it is copied from; then copies; then what has to go.
Rule 2: a location that is flagged \\Deleted counts as absent: a mailbox that holds only such gets a copy like any
other, and they go with the others when the Email leaves that mailbox.
Rule 3: where the locations of an Email disagree, leaving one of them must not change its keywords.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.account.backend import EmailChange
from gateway.account.flags import union
from gateway.account.records import Location, MailboxRow
from gateway.jmap.errors import SetError
from gateway.sync.writes.flags import all_names_of, flags_of, is_deleted, is_sendable, keywords_at
from gateway.sync.writes.standing import Places


@dataclass(slots=True)
class Steps:
    """What one Email needs. A move is a copy whose source goes with it."""

    email_id: str
    adds: dict[Location, frozenset[str]] = field(default_factory=dict)  # flags
    removes: dict[Location, frozenset[str]] = field(default_factory=dict)
    copies: list[tuple[Location, str]] = field(default_factory=list)  # to a mailbox
    move: tuple[Location, str] | None = None
    removals: list[Location] = field(default_factory=list)

    @property
    def are_done(self) -> bool:
        return not (self.adds or self.removes or self.copies or self.move or self.removals)

    @property
    def locations(self) -> set[Location]:
        """Every location that a command will name."""
        moved = [self.move[0]] if self.move else []
        return {*self.adds, *self.removes, *(at for at, _ in self.copies), *moved, *self.removals}

    @property
    def targets(self) -> set[str]:
        """The mailboxes that will get a copy."""
        return {mailbox_id for _, mailbox_id in self.copies} | ({self.move[1]} if self.move else set())


def steps_of(change: EmailChange, places: Places, *, can_move: bool, is_again: bool = False) -> Steps:
    """Return what is to be done. `is_again`: trust the flags of the index, which were just looked up.

    Raise SetError("notFound") where there is nothing (left) to change.
    """
    live = {at: flags for at, flags in places.items() if not is_deleted(flags)}
    if live and not (change.add_mailboxes or change.remove_mailboxes):  # by far the most frequent
        steps = Steps(change.email_id)
        _store(steps, change, live, live, is_again=is_again)
        return steps
    here = {at.mailbox_id for at in live}
    target = (here | change.add_mailboxes) - change.remove_mailboxes
    steps = Steps(change.email_id)
    if not live:
        if is_again and not change.add_mailboxes and change.remove_mailboxes:
            return steps  # it was to go, and is gone
        raise SetError("notFound")
    coming = sorted(target - here)
    leaving = [at for at in live if at.mailbox_id not in target]
    staying = [at for at in live if at.mailbox_id in target]
    gone = [at for at in places if at.mailbox_id not in target] if here - target else []
    source = (leaving or staying)[0] if coming else None
    copied = [source] if source is not None and source in leaving else []
    _store(steps, change, live, [*staying, *copied], is_again=is_again)
    if source is not None:
        if source in leaving and can_move:
            steps.move = (source, coming.pop())
            gone.remove(source)
        steps.copies = [(source, mailbox_id) for mailbox_id in coming]
    steps.removals = gone
    return steps


def _store(steps: Steps, change: EmailChange, live: Places, where: Iterable[Location], *, is_again: bool) -> None:
    add, remove = change.add_keywords, change.remove_keywords
    is_moving = bool(change.add_mailboxes or change.remove_mailboxes) and len(live) > 1
    together = frozenset(union(keywords_at(flags) for flags in live.values())) if is_moving else frozenset[str]()
    for at in where:
        flags = live[at]
        if is_again or is_moving:
            has = keywords_at(flags)
            missing = (together - has - change.remove_keywords) if is_moving else frozenset[str]()
            surplus = (has - together - change.add_keywords) if is_moving else frozenset[str]()
            add = (change.add_keywords - has if is_again else change.add_keywords) | missing
            remove = (change.remove_keywords & has if is_again else change.remove_keywords) | surplus
        if add:
            steps.adds[at] = flags_of(add)
        if remove:
            steps.removes[at] = all_names_of(remove, flags)


def check(change: EmailChange, places: Places, rows: Mapping[str, MailboxRow]) -> None:
    """Raise SetError for what no flag can hold, or the tree and its rights do not allow (RFC 8621 section 2)."""
    if odd := sorted(keyword for keyword in change.add_keywords if not is_sendable(keyword)):
        raise SetError("invalidProperties", f"no keywords of IMAP: {', '.join(odd)}", properties=["keywords"])
    for mailbox_id in change.add_mailboxes:
        if mailbox_id not in rows or not rows[mailbox_id].facts.is_selectable:
            raise SetError("invalidProperties", "there is no such mailbox", properties=["mailboxIds"])
        _need(rows, mailbox_id, "mayAddItems")
    keywords = change.add_keywords | change.remove_keywords
    for mailbox_id in {at.mailbox_id for at, flags in places.items() if not is_deleted(flags)}:
        if mailbox_id in change.remove_mailboxes:
            _need(rows, mailbox_id, "mayRemoveItems")
            continue
        if "$seen" in keywords:
            _need(rows, mailbox_id, "maySetSeen")
        if keywords - {"$seen"}:
            _need(rows, mailbox_id, "maySetKeywords")


def _need(rows: Mapping[str, MailboxRow], mailbox_id: str, right: str) -> None:
    rights = rows[mailbox_id].facts.rights
    if rights and right not in rights:
        raise SetError("forbidden", f"{right} is not given for a mailbox concerned")
