"""Flags by UID STORE (RFC 9051 section 6.4.6), pipelined; the index learns them from the STORE's own responses.

Rule 1: one command for each mailbox, sign and combination of flags, however many messages (in pieces of a line).
Rule 2: a uid of which nothing was told is asked for. It had these flags already, or it is gone; or it came since this
connection last looked: then UID STORE passes over it, says OK (Dovecot 2.3, Courier 5.0), and is sent once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Mapping
from typing import Literal

from gateway.account.records import FlagChange
from gateway.sync.writes.flags import spelled
from gateway.upstream.imap import CommandFailed, Connection, Message
from gateway.upstream.imap.commands.store import Store
from gateway.upstream.imap.uidset import chunks, from_uids

Sign = Literal["+", "-"]
Group = tuple[Sign, frozenset[str]]
ROUNDS = 2  # the second on a connection that has looked

Refused = list[tuple[set[int], CommandFailed]]


class Stores:
    """What STOREs in one mailbox have told."""

    def __init__(self) -> None:
        self.changed: dict[int, FlagChange] = {}
        self.gone: set[int] = set()
        self.refused: Refused = []
        self.left: set[int] = set()  # there, and still without what was to be stored

    def note(self, message: Message) -> None:
        self.changed[message.uid] = FlagChange(message.uid, message.flags, message.modseq)


async def store(
    connection: Connection, groups: Mapping[Group, Collection[int]], *, unchanged_since: int | None = None
) -> Stores:
    """Carry out STOREs in the selected mailbox. Raises what breaks the connection; a NO is in the result."""
    told = Stores()
    for _ in range(ROUNDS):
        silent = await _store(connection, groups, told, unchanged_since)
        if silent:
            await renew(connection)
            await reread(connection, silent, told)
        told.left = {uid for uid in silent if uid in told.changed and not _is_stored(uid, groups, told)}
        if not told.left or unchanged_since is not None:
            break
        groups = {group: told.left.intersection(uids) for group, uids in groups.items()}
    return told


async def _store(
    connection: Connection, groups: Mapping[Group, Collection[int]], told: Stores, unchanged_since: int | None
) -> set[int]:
    """Send one STORE a group; return the uids of which nothing was told."""
    selected = connection.selected
    assert selected is not None  # whoever asks has selected
    before, told.changed = told.changed, {}
    asked: set[int] = set()
    commands = []
    for (sign, flags), uids in groups.items():
        asked.update(uids)
        names = spelled(flags, selected)
        for piece in chunks(from_uids(uids)):
            command = Store(piece, sign, names, on_message=told.note, unchanged_since=unchanged_since)
            commands.append((set(uids), connection.run(command)))
    for (uids_named, _), answer in zip(commands, await gathered(run for _, run in commands), strict=True):
        if isinstance(answer, CommandFailed):
            told.refused.append((uids_named, answer))
            asked -= uids_named
        elif isinstance(answer, BaseException):
            raise answer
    silent = asked - told.changed.keys()
    told.changed = before | told.changed
    return silent


def _is_stored(uid: int, groups: Mapping[Group, Collection[int]], told: Stores) -> bool:
    has = {flag.lower() for flag in told.changed[uid].flags}
    return all(
        (flag.lower() in has) is (sign == "+")
        for (sign, flags), uids in groups.items()
        if uid in uids
        for flag in flags
    )


async def renew(connection: Connection) -> None:
    """Select the mailbox anew, so that the connection sees what others have put there."""
    selected = connection.selected
    assert selected is not None  # whoever asks has selected
    await connection.select(
        selected.name, read_only=selected.read_only, condstore="CONDSTORE" in connection.capabilities
    )


async def reread(connection: Connection, uids: Collection[int], told: Stores) -> None:
    """Ask for the flags of these, on a connection that has just looked; what is not there is gone."""
    has_modseq = bool(connection.selected and connection.selected.highestmodseq)
    found: set[int] = set()

    def on_message(message: Message) -> None:
        found.add(message.uid)
        told.note(message)

    await connection.fetch(from_uids(uids), "UID FLAGS MODSEQ" if has_modseq else "UID FLAGS", on_message=on_message)
    told.gone |= set(uids) - found


async def gathered(runs: Iterable[Awaitable[object]]) -> list[object]:
    """Wait for commands that are in flight together, for all of them; a fault is an element of the result."""
    return list(await asyncio.gather(*runs, return_exceptions=True))
