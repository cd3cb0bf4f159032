"""From the upstream's LIST to the mailbox tree of RFC 8621 section 2. Pure.

Rule 1: an id is the server's own where it has one (MAILBOXID, X-GUID), else what the same path, or the same UIDVALIDITY
under a new path, had before, else minted from name and UIDVALIDITY.
Rule 2: every level of a path is a mailbox; one that the server did not list can hold no mail but is shown.
Rule 3: siblings differ in name, names hold no control characters (RFC 8621 section 2, `name`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from gateway.account import ids
from gateway.account.records import MailboxFacts
from gateway.sync.plan import Seen
from gateway.sync.rights import ALL_RIGHTS, rights_of
from gateway.sync.roles import SORT_ORDER, UNSORTED, Candidate, assign_roles

# RFC 8621 section 1.3.1 wants at least 100; a name is one level of an IMAP path, and servers keep levels in file names.
MAX_NAME_OCTETS = 255

_NOT_OF_INBOX = frozenset({"mayRename", "mayDelete"})  # RENAME INBOX moves its mail; DELETE INBOX fails (RFC 3501)
_SHELL_RIGHTS = frozenset({"mayCreateChild", "mayRename", "mayDelete"})


@dataclass(frozen=True, slots=True)
class Listed:
    """One mailbox of the LIST response; `status` holds what STATUS said of it."""

    path: str
    delimiter: str | None
    attributes: frozenset[str]
    seen: Seen | None = None
    unseen: int | None = None
    mailbox_id: str | None = None  # MAILBOXID (RFC 8474)
    guid: str | None = None  # Dovecot's STATUS X-GUID
    rights: str | None = None  # the letters of MYRIGHTS (RFC 4314); None: there is no ACL
    shares: tuple[tuple[str, tuple[str, ...]], ...] = ()  # whom it is shared with, and the rights


@dataclass(frozen=True, slots=True)
class KnownMailbox:
    """What the index remembers of a mailbox, enough to recognise it."""

    id: str
    path: str
    uidvalidity: int
    uidnext: int


@dataclass(frozen=True, slots=True)
class Namespaces:
    """RFC 2342, as far as the tree of one account needs it. Of a shared account (`scope`) `personal` is its prefix."""

    personal: str = ""
    foreign: tuple[str, ...] = ()  # prefixes of other users' and shared mailboxes
    inbox: str | None = "INBOX"  # the path of the INBOX; None: there is none

    def is_inbox(self, path: str) -> bool:
        """Tell whether a path is that of the INBOX."""
        return is_inbox(path) if self.inbox == "INBOX" else path == self.inbox

    def is_root(self, path: str, delimiter: str | None) -> bool:
        """Tell whether a path is the prefix, but for its delimiter: what is below it stands beside it."""
        return bool(self.personal) and f"{path}{delimiter or ''}".upper() == self.personal.upper()

    def is_foreign(self, path: str) -> bool:
        """Tell whether the longest prefix that fits belongs to a namespace that is not personal."""
        foreign = max((len(prefix) for prefix in self.foreign if is_under(path, prefix)), default=-1)
        own = len(self.personal) if is_under(path, self.personal) or self.is_inbox(path) else -1
        return foreign > own


class Move(NamedTuple):
    """A RENAME that we sent: of this mailbox and all below it."""

    old: str
    new: str
    delimiter: str | None

    def follow(self, path: str) -> str:
        """Return where a path is once the mailbox has moved."""
        if path == self.old:
            return self.new
        below = self.old + self.delimiter if self.delimiter else None
        return self.new + path[len(self.old) :] if below is not None and path.startswith(below) else path


@dataclass(frozen=True, slots=True)
class Tree:
    """The mailboxes of the account; `listed` by id, for those that can be selected."""

    facts: tuple[MailboxFacts, ...]
    listed: Mapping[str, Listed] = field(default_factory=dict)


def build_tree(
    listed: Sequence[Listed],
    known: Sequence[KnownMailbox],
    namespaces: Namespaces,
    subscribed: frozenset[str] | None,
    moves: Sequence[Move] = (),
    sort_orders: Mapping[str, int] = MappingProxyType({}),
) -> Tree:
    """Return the account's tree. `subscribed`: paths, None when the server cannot tell (then all are).

    `sort_orders`: by path, those that a client has set.
    """
    own = _with_every_level([entry for entry in listed if _belongs(entry, namespaces)], namespaces)
    levels = {entry.path: _levels(entry, namespaces) for entry in own}
    path_of_levels = {level: path for path, level in levels.items()}
    roles = assign_roles(
        [
            Candidate(e.path, levels[e.path][-1], len(levels[e.path]) - 1, e.attributes, namespaces.is_inbox(e.path))
            for e in own
            if _selectable(e)
        ]
    )
    assigned = _assign_ids(own, _moved(known, own, moves) if moves else known)
    names = _names(own, levels, namespaces)
    facts, by_id = [], {}
    for entry in own:
        parent = path_of_levels.get(levels[entry.path][:-1])
        role, selectable = roles.get(entry.path), _selectable(entry)
        facts.append(
            MailboxFacts(
                id=assigned[entry.path],
                path=entry.path,
                name=names[entry.path],
                parent_id=assigned[parent] if parent is not None else None,
                role=role,
                is_subscribed=subscribed is None or entry.path in subscribed,
                sort_order=sort_orders.get(entry.path, SORT_ORDER.get(role or "", UNSORTED)),
                rights=_rights(entry, namespaces),
                is_selectable=selectable,
                shares=entry.shares,
                total_emails=entry.seen.messages if entry.seen else None,
                unread_emails=entry.unseen,
            )
        )
        if selectable:
            by_id[assigned[entry.path]] = entry
    return Tree(tuple(facts), by_id)


def _moved(known: Sequence[KnownMailbox], own: Sequence[Listed], moves: Sequence[Move]) -> list[KnownMailbox]:
    """Return what is known, at the paths where our own RENAMEs brought it, as far as the list shows that they did."""
    entries = {entry.path: entry for entry in own}
    paths: dict[str, str] = {}
    for mailbox in known:
        path = mailbox.path
        for move in moves:
            path = move.follow(path)
        # A server may make a new mailbox in the old place at once: Dovecot does, for those it creates by itself.
        left = mailbox.path not in entries or _validity(entries[mailbox.path]) != mailbox.uidvalidity
        if path != mailbox.path and path in entries and left:
            paths[mailbox.path] = path
    taken = set(paths.values())
    return [
        replace(mailbox, path=paths.get(mailbox.path, mailbox.path))
        for mailbox in known
        if mailbox.path in paths or mailbox.path not in taken
    ]


def _rights(entry: Listed, namespaces: Namespaces) -> frozenset[str]:
    rights = ALL_RIGHTS if entry.rights is None else rights_of(entry.rights)
    if not _selectable(entry):
        rights &= _SHELL_RIGHTS
    if namespaces.is_inbox(entry.path):
        rights -= _NOT_OF_INBOX
    # Where the personal namespace is `INBOX.`, what is below INBOX stands beside it.
    is_root = namespaces.is_inbox(entry.path) and namespaces.is_root(entry.path, entry.delimiter)
    return rights - {"mayCreateChild"} if is_root or "\\noinferiors" in entry.attributes else rights


def is_inbox(path: str) -> bool:
    """Tell whether a path is the INBOX."""
    return path.upper() == "INBOX"  # the one name without case (RFC 3501 section 5.1)


def _belongs(entry: Listed, namespaces: Namespaces) -> bool:
    """Tell whether an entry is one of the account's; the bare prefix of a shared one is none, unless it holds mail."""
    is_bare = namespaces.inbox != "INBOX" and namespaces.is_root(entry.path, entry.delimiter)
    return not namespaces.is_foreign(entry.path) and (_selectable(entry) or not is_bare)


def _selectable(entry: Listed) -> bool:
    return not entry.attributes & {"\\noselect", "\\nonexistent"}


def is_under(path: str, prefix: str) -> bool:
    """Tell whether a path begins with a prefix, or is that without the delimiter at its end."""
    return path.startswith(prefix) or (prefix != "" and path == prefix[:-1])


def _levels(entry: Listed, namespaces: Namespaces) -> tuple[str, ...]:
    """Split a path; the personal namespace's prefix (Courier: `INBOX.`) is no level of its own."""
    path = entry.path
    if namespaces.is_inbox(path):
        return ("INBOX",)
    prefix = namespaces.personal
    if prefix and path.startswith(prefix) and len(path) > len(prefix):
        return tuple(path[len(prefix) :].split(entry.delimiter or "\0"))
    if namespaces.inbox != "INBOX":
        return (path,)
    first, *rest = path.split(entry.delimiter) if entry.delimiter else [path]
    return ("INBOX" if is_inbox(first) else first, *rest)


def _with_every_level(listed: list[Listed], namespaces: Namespaces) -> list[Listed]:
    """Add the parents that the server left out, and drop double entries."""
    entries: dict[str, Listed] = {}
    present: set[tuple[str, ...]] = set()
    for entry in listed:
        if entry.path not in entries:
            entries[entry.path] = entry
            present.add(_levels(entry, namespaces))
    for entry in list(entries.values()):
        levels = _levels(entry, namespaces)
        for depth in range(1, len(levels)):
            parent = levels[:depth]
            if parent in present or entry.delimiter is None:
                continue
            cut = len(entry.path) - len(entry.delimiter.join(levels[depth:])) - len(entry.delimiter)
            path = entry.path[:cut]
            present.add(parent)
            entries.setdefault(path, Listed(path, entry.delimiter, frozenset({"\\nonexistent"})))
    return list(entries.values())


def _assign_ids(own: list[Listed], known: Sequence[KnownMailbox]) -> dict[str, str]:
    kept, renamed = _recognise(own, known)
    assigned: dict[str, str] = {}
    for entry in own:
        if entry.mailbox_id or entry.guid:
            assigned[entry.path] = ids.mailbox_id(mailboxid=entry.mailbox_id, guid=entry.guid)
        elif (old := kept.get(entry.path) or renamed.get(entry.path)) is not None:
            assigned[entry.path] = old
    taken = {*assigned.values(), *kept.values(), *renamed.values()}
    for entry in own:
        if entry.path not in assigned:
            assigned[entry.path] = id = _minted(entry, taken)
            taken.add(id)
    return assigned


def _minted(entry: Listed, taken: Collection[str]) -> str:
    id = ids.mailbox_id(path=entry.path, uidvalidity=_validity(entry))
    # A mailbox that got this id under this path may live on under another: where UIDVALIDITY is the time in seconds,
    # a new one in its place can come with the same number.
    number = 2
    while id in taken:
        id, number = ids.mailbox_id(path=f"{entry.path}\0{number}", uidvalidity=_validity(entry)), number + 1
    return id


def _validity(entry: Listed) -> int:
    return (entry.seen.uidvalidity if entry.seen else None) or 0


def _recognise(own: list[Listed], known: Sequence[KnownMailbox]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the ids by path of mailboxes that stayed where they were, and of those that were renamed.

    A rename: one path lost a UIDVALIDITY, exactly one other path came with it, and UIDNEXT did not fall. The old path
    may be in use again, by a new mailbox.
    """
    entries = {entry.path: entry for entry in own}
    by_path = {mailbox.path: mailbox for mailbox in known}
    fresh: dict[int, list[Listed]] = {}
    for entry in own:
        before = by_path.get(entry.path)
        if _validity(entry) and (before is None or before.uidvalidity != _validity(entry)):
            fresh.setdefault(_validity(entry), []).append(entry)
    kept: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for mailbox in known:
        now = entries.get(mailbox.path)
        stayed = now is not None and _validity(now) == mailbox.uidvalidity
        heirs = [] if stayed or not mailbox.uidvalidity else fresh.get(mailbox.uidvalidity, [])
        if len(heirs) == 1 and heirs[0].seen is not None and (heirs[0].seen.uidnext or 0) >= mailbox.uidnext:
            renamed.setdefault(heirs[0].path, mailbox.id)
        elif now is not None:
            kept[mailbox.path] = mailbox.id
    return {path: id for path, id in kept.items() if path not in renamed}, renamed


def _names(own: list[Listed], levels: Mapping[str, tuple[str, ...]], namespaces: Namespaces) -> dict[str, str]:
    names: dict[str, str] = {}
    taken: set[tuple[tuple[str, ...], str]] = set()
    for entry in own:
        level = levels[entry.path]
        name = "Inbox" if namespaces.is_inbox(entry.path) else _presentable(level[-1])
        unique, number = name, 2
        while (level[:-1], unique) in taken:
            unique, number = f"{name} ({number})", number + 1
        taken.add((level[:-1], unique))
        names[entry.path] = unique
    return names


def _presentable(name: str) -> str:
    """Return a name that is Net-Unicode (RFC 5198) and neither empty nor too long."""
    name = unicodedata.normalize("NFC", "".join("�" if unicodedata.category(c) in ("Cc", "Cs") else c for c in name))
    while len(name.encode()) > MAX_NAME_OCTETS:
        name = name[:-1]
    return name or "(no name)"
