"""UID COPY and UID MOVE (RFC 9051 section 6.4.7, RFC 6851), and where the copies are (RFC 4315).

Rule 1: COPYUID says where they are. Without it the uids that came after the UIDNEXT of before are read, by identity.
Rule 2: a message of which that does not show a copy is not removed from where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from gateway.account.records import MailboxRow, NewMessage
from gateway.sync.identity import light_items, reader
from gateway.sync.link import Link
from gateway.sync.plan import Tier
from gateway.upstream.imap import CommandFailed, Connection, Message
from gateway.upstream.imap.commands.copy import Copied, Copy, Move
from gateway.upstream.imap.uidset import chunks, from_uids

AT_ONCE = 1_000  # messages a command: a server that says nothing while it copies must be done before the silence counts


@dataclass(frozen=True, slots=True)
class Transfer:
    """The answer to one COPY or MOVE."""

    uids: frozenset[int]  # that were named
    copied: Copied
    first_new: int  # of the target: what came has this uid or a later one; 0: nothing came, or it is not known


async def transfer(
    connection: Connection, uids: Collection[int], target: MailboxRow, *, is_move: bool
) -> list[Transfer | tuple[frozenset[int], CommandFailed]]:
    """Copy or move messages of the selected mailbox. Raises what breaks the connection; a NO is in the result."""
    ordered = sorted(uids)
    answers: list[Transfer | tuple[frozenset[int], CommandFailed]] = []
    for at in range(0, len(ordered), AT_ONCE):
        for piece, named in _pieces(ordered[at : at + AT_ONCE]):
            command = (Move if is_move else Copy)(piece, target.facts.path)
            try:
                if "UIDPLUS" in connection.capabilities:
                    copied, first = await connection.run(command), 0
                else:
                    first, copied = await _watched(connection, command, target)
            except CommandFailed as error:
                answers.append((named, error))
            else:
                answers.append(Transfer(named, copied, min(copied.new_uids, default=first)))
    return answers


def _pieces(uids: list[int]) -> list[tuple[str, frozenset[int]]]:
    pieces = []
    ranges = from_uids(uids)
    for text in chunks(ranges):
        low, high = int(text.split(",")[0].split(":")[0]), int(text.split(",")[-1].split(":")[-1])
        pieces.append((text, frozenset(uid for uid in uids if low <= uid <= high)))
    return pieces


async def _watched(connection: Connection, command: Copy, target: MailboxRow) -> tuple[int, Copied]:
    """Ask for the target's UIDNEXT right before, in the same packet."""
    asked = asyncio.ensure_future(connection.status(target.facts.path, ["UIDNEXT"]))
    run = asyncio.ensure_future(connection.run(command))
    status, copied = await asyncio.gather(asked, run, return_exceptions=True)
    if isinstance(copied, BaseException):
        raise copied
    told = status.get("UIDNEXT") if isinstance(status, dict) else None
    return first_new(target) if not isinstance(told, int) else told, copied


def first_new(target: MailboxRow) -> int:
    """Return a uid before which nothing new can be, by what the index knows."""
    return max(1, target.mark.uidnext if target.mark is not None else 1)


async def arrivals(link: Link, target: MailboxRow, first: int) -> list[NewMessage]:
    """Read what is in a mailbox from a uid on. Raises ImapError."""
    facts = await link.facts()
    messages: list[NewMessage] = []
    read = reader(facts.identity)

    def on_message(message: Message) -> None:
        if message.uid >= first:  # `n:*` names the last message even when n is past it
            messages.append(read(message))

    async with link.connection(target.facts.path, read_only=False, select=False) as connection:
        # Anew: what is selected already does not show what came by a command of another connection.
        selected = await connection.select(target.facts.path, read_only=False, condstore=facts.tier is not Tier.NEITHER)
        if is_other(selected.uidvalidity, target):
            return []
        has_modseq = facts.tier is not Tier.NEITHER and bool(selected.highestmodseq)
        await connection.fetch(f"{first}:*", light_items(facts.identity, has_modseq=has_modseq), on_message=on_message)
    return messages


def is_other(uidvalidity: int | None, row: MailboxRow) -> bool:
    """Tell whether the uids of the index are void: the mailbox has another UIDVALIDITY.

    Where the index has none, none is: Courier tells the time as UIDVALIDITY until something is in the mailbox.
    """
    known = row.mark.uidvalidity if row.mark is not None and row.mark.exists else 0
    return bool(known and uidvalidity and known != uidvalidity)
