"""Carry out the planned step for one mailbox that is indexed: read what changed, return it as a delta.

Rule 1: the mark that a delta carries was stated before the changes were read, so that nothing falls between.
Rule 2: one round trip where mod-sequences tell what changed: SELECT and all FETCHes go out together.
Rule 3: what is read is applied later, with the deltas of other mailboxes; `pending` is what this sweep has already
read of the mailbox and not applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.account.records import FlagChange, MailboxDelta, MailboxRow, Mark, NewMessage
from gateway.sync.identity import light_items, reader
from gateway.sync.link import Link
from gateway.sync.plan import Seen, Tier, count, missing, must_list_uids, windows
from gateway.upstream.imap import Connection, Message, Range

FLAG_WINDOW = 5_000  # uids whose flags are compared at a time: bounds what is held, and the time between two awaits


class UidsVoid(Exception):
    """The mailbox has another UIDVALIDITY than STATUS said a moment ago."""


async def changed_since(link: Link, row: MailboxRow, seen: Seen, pending: MailboxDelta | None) -> MailboxDelta:
    """Read changed flags, new messages and (by the tier) what vanished, since the mark of the mailbox."""
    facts, mark = await link.facts(), _mark(row, pending)
    flagged: list[FlagChange] = []
    arrived: list[NewMessage] = []
    read = reader(facts.identity)
    first_new = mark.uidnext

    def on_flags(message: Message) -> None:
        if message.uid < first_new:
            flagged.append(FlagChange(message.uid, message.flags, message.modseq))

    def on_new(message: Message) -> None:
        if message.uid >= first_new:  # `n:*` names the last message even when n is past it (RFC 3501 section 6.4.8)
            arrived.append(read(message))

    async with link.connection(row.facts.path, select=False) as connection:
        # All three are on their way before the first answer is awaited.
        changes = connection.fetch(
            "1:*",
            "UID FLAGS MODSEQ",
            changed_since=mark.highestmodseq,
            vanished=facts.tier is Tier.QRESYNC,
            on_message=on_flags,
        )
        news = connection.fetch(f"{first_new}:*", light_items(facts.identity, has_modseq=True), on_message=on_new)
        entered, vanished, fetched = await asyncio.gather(
            _enter(connection, row.facts.path, seen), changes, news, return_exceptions=True
        )
        for outcome in (entered, vanished, fetched):
            if isinstance(outcome, BaseException):
                raise outcome
        assert isinstance(vanished, list)  # the loop above raised anything else
        exists = mark.exists + len(arrived)
        now = connection.selected.exists if connection.selected is not None else exists
        if must_list_uids(facts.tier, known=mark.exists, arrived=len(arrived), exists=now):
            present = await connection.search(["ALL"])
            known = _after(await link.account.read(lambda snapshot: snapshot.uids(row.facts.id)), pending)
            vanished = missing(known, present)
            exists = count(known) + len(arrived) - count(vanished)
        elif facts.tier is Tier.QRESYNC:
            exists = seen.messages or 0  # VANISHED may name uids that were never known: nothing to add up
    arrived.sort(key=lambda message: message.uid)
    return MailboxDelta(row.facts.id, arrived, flagged, vanished, _next_mark(mark, seen, arrived, exists))


async def scan(link: Link, row: MailboxRow, seen: Seen, pending: MailboxDelta | None) -> MailboxDelta:
    """Compare all uids and flags with the index. The only step that needs nothing of the server but RFC 3501."""
    facts, mark = await link.facts(), _mark(row, pending)
    known = _after(await link.account.read(lambda snapshot: snapshot.uids(row.facts.id)), pending)
    has_modseq = facts.tier is not Tier.NEITHER and bool(seen.highestmodseq)
    arrived: list[NewMessage] = []
    flagged: list[FlagChange] = []
    read = reader(facts.identity)
    async with link.connection(row.facts.path, select=False) as connection:
        await _enter(connection, row.facts.path, seen)
        present = await connection.search(["ALL"])
        if new := missing(present, known):
            items = light_items(facts.identity, has_modseq=has_modseq)
            await connection.fetch(new, items, on_message=lambda message: arrived.append(read(message)))
        vanished = missing(known, present)
        for window in reversed(windows(missing(known, vanished), FLAG_WINDOW)):  # newest first: flags change there
            flagged += await _changed_flags(link, connection, row.facts.id, window, has_modseq=has_modseq)
    arrived.sort(key=lambda message: message.uid)
    return MailboxDelta(row.facts.id, arrived, flagged, vanished, _next_mark(mark, seen, arrived, count(present)))


async def _changed_flags(
    link: Link, connection: Connection, mailbox_id: str, window: list[Range], *, has_modseq: bool
) -> list[FlagChange]:
    with link.account.snapshot() as snapshot:
        before = snapshot.flags(mailbox_id, window[0][0], window[-1][1])
    changed: list[FlagChange] = []

    def on_message(message: Message) -> None:
        known = before.get(message.uid)
        if known is None or _comparable(known[0]) != _comparable(message.flags):
            changed.append(FlagChange(message.uid, message.flags, message.modseq))

    await connection.fetch(window, "UID FLAGS MODSEQ" if has_modseq else "UID FLAGS", on_message=on_message)
    return changed


def _comparable(flags: Sequence[str]) -> frozenset[str]:
    return frozenset(flag.lower() for flag in flags) - {"\\recent"}


async def _enter(connection: Connection, path: str, seen: Seen) -> None:
    """Select the mailbox, anew if need be: what is selected moves on only by a command of its own.

    NOOP would do, but not in a pipeline: Dovecot delays its answer, and the view, until after the commands behind it.
    A connection that writes there goes on to be able to.
    """
    before = connection.selected
    read_only = before is None or before.name != path or before.read_only
    selected = await connection.select(path, read_only=read_only, condstore="CONDSTORE" in connection.capabilities)
    if selected.uidvalidity != seen.uidvalidity and None not in (selected.uidvalidity, seen.uidvalidity):
        raise UidsVoid(path)


def _mark(row: MailboxRow, pending: MailboxDelta | None) -> Mark:
    mark = pending.mark if pending is not None and pending.mark is not None else row.mark
    if mark is None:
        raise ValueError("a mailbox without a mark is indexed, not resynced")
    return mark


def _next_mark(mark: Mark, seen: Seen, arrived: Sequence[NewMessage], exists: int) -> Mark:
    after_last = arrived[-1].uid + 1 if arrived else 0
    return Mark(
        uidvalidity=seen.uidvalidity or mark.uidvalidity,
        uidnext=max(seen.uidnext or 0, after_last, mark.uidnext),
        highestmodseq=seen.highestmodseq or 0,
        exists=exists,
        is_indexed=True,
    )


def _after(known: list[Range], pending: MailboxDelta | None) -> list[Range]:
    """Return the known uids as they will be once `pending` is applied."""
    if pending is None:
        return known
    gone = sorted(pending.vanished)
    added = [(message.uid, message.uid) for message in pending.arrived]
    return missing(sorted(missing(known, gone) + added), gone)
