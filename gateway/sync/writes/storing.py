"""Flags by UID STORE (RFC 9051 section 6.4.6), pipelined; the index learns them from the STORE's own responses.

Rule 1: one command for each mailbox, sign and combination of flags, however many messages (in pieces of a line).
Rule 2: a uid of which nothing was told is asked for: it had these flags already, or it is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Mapping
from typing import Literal

from gateway.account.records import FlagChange
from gateway.sync.writes.flags import spelled
from gateway.upstream.imap import CommandFailed, Connection, Message
from gateway.upstream.imap.commands.store import Store, Stored
from gateway.upstream.imap.uidset import chunks, from_uids

Sign = Literal["+", "-"]
Group = tuple[Sign, frozenset[str]]
Refused = list[tuple[set[int], CommandFailed]]


class Stores:
    """What STOREs in one mailbox have told."""

    def __init__(self) -> None:
        self.changed: dict[int, FlagChange] = {}
        self.gone: set[int] = set()
        self.refused: Refused = []

    def note(self, message: Message) -> None:
        self.changed[message.uid] = FlagChange(message.uid, message.flags, message.modseq)


async def store(
    connection: Connection, groups: Mapping[Group, Collection[int]], *, unchanged_since: int | None = None
) -> Stores:
    """Carry out STOREs in the selected mailbox. Raises what breaks the connection; a NO is in the result."""
    selected, told = connection.selected, Stores()
    assert selected is not None  # whoever asks has selected
    asked: set[int] = set()
    commands = []
    for (sign, flags), uids in groups.items():
        asked.update(uids)
        names = spelled(flags, selected)
        for piece in chunks(from_uids(uids)):
            command = Store(piece, sign, names, on_message=told.note, unchanged_since=unchanged_since)
            commands.append((set(uids), connection.run(command)))
    for (uids, _), answer in zip(commands, await gathered(run for _, run in commands), strict=True):
        if isinstance(answer, CommandFailed):
            told.refused.append((uids, answer))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            assert isinstance(answer, Stored)
    if silent := asked - told.changed.keys():
        await reread(connection, silent, told)
    return told


async def reread(connection: Connection, uids: Collection[int], told: Stores) -> None:
    """Ask for the flags of these; what is not there is gone."""
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
