r"""Take messages out of a mailbox for good: \Deleted, then EXPUNGE of exactly those (RFC 4315; RFC 9051 6.4.3).

Rule 1: without UIDPLUS, EXPUNGE removes whatever is flagged \Deleted. So the flag is first taken off the messages that
others have flagged, and put back afterwards; and EXPUNGE is sent only when nothing but ours is flagged.
Rule 2: a message counts as gone when VANISHED named it, or when it is not there. OK to EXPUNGE says nothing: what came
since the connection last looked is passed over; and when another connection expunges in between, Dovecot 2.3 tells of
the flag, says OK, and keeps the message.
Rule 3: what is owed (flags to be put back) when the connection breaks is paid on the next one, or before another write.
If the process ends in between, messages that another client had flagged \Deleted are there without it: kept, not lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection

from gateway.account.records import FlagChange
from gateway.sync.link import Link
from gateway.sync.writes.flags import DELETED
from gateway.sync.writes.storing import ROUNDS, Stores, gathered, renew, reread
from gateway.upstream.imap import CommandFailed, Connection, ImapError, Message
from gateway.upstream.imap.commands.expunge import ExpungeAll, UidExpunge
from gateway.upstream.imap.commands.store import Store
from gateway.upstream.imap.uidset import chunks, expand, from_uids, normalize, within

log = logging.getLogger(__name__)

MAX_ROUNDS = 3  # of taking \Deleted off others: one who flags faster than that is let have the mailbox
MAX_OTHERS = 100_000  # messages flagged by others that we are ready to remember
PAY_TRIES = 3
PAY_PAUSE_S = 1.0  # the pool refuses to connect for so long after a failure


class Removal:
    r"""What became of a removal."""

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.left: set[int] = set()  # still there: tried in vain
        self.flagged: dict[int, FlagChange] = {}  # of those that were flagged \Deleted, expunged or not
        self.refused: CommandFailed | None = None

    def note(self, message: Message) -> None:
        self.flagged[message.uid] = FlagChange(message.uid, message.flags, message.modseq)


class Debts:
    r"""The \Deleted flags of others that are still to be put back, by path of the mailbox and its UIDVALIDITY."""

    def __init__(self) -> None:
        self._owed: dict[tuple[str, int | None], set[int]] = {}

    def owe(self, path: str, uidvalidity: int | None, uids: Collection[int]) -> None:
        self._owed.setdefault((path, uidvalidity), set()).update(uids)

    def paid(self, path: str, uidvalidity: int | None) -> None:
        self._owed.pop((path, uidvalidity), None)

    async def pay(self, link: Link) -> None:
        """Put back what is owed; what cannot be put back now is still owed."""
        for tries_left in reversed(range(PAY_TRIES)):
            if not self._owed:
                return
            try:
                await self._pay(link)
            except ImapError as error:
                log.warning("deleted flags of others not put back yet", extra={"error": type(error).__name__})
                if tries_left:
                    await asyncio.sleep(PAY_PAUSE_S)

    async def _pay(self, link: Link) -> None:
        for (path, uidvalidity), uids in list(self._owed.items()):
            try:
                async with link.connection(path, read_only=False) as connection:
                    if connection.selected is not None and connection.selected.uidvalidity == uidvalidity:
                        await _flag(connection, "+", uids)
            except CommandFailed as error:  # the mailbox is gone, or closed to us: so is the debt
                log.warning("deleted flags of others not put back", extra={"error": type(error).__name__})
            del self._owed[path, uidvalidity]


async def remove(connection: Connection, uids: Collection[int], debts: Debts) -> Removal:
    """Remove messages of the selected mailbox. Raises what breaks the connection; a NO is in the result."""
    removal = Removal()
    if "UIDPLUS" in connection.capabilities:
        await _remove_exactly(connection, uids, removal)
    else:
        await _remove_alone(connection, uids, removal, debts)
    return removal


async def _remove_exactly(connection: Connection, uids: Collection[int], removal: Removal) -> None:
    removal.left = set(uids)
    for _ in range(ROUNDS):
        runs: list[Awaitable[object]] = []
        for piece in chunks(from_uids(removal.left)):
            # In one packet: a message that could not be flagged is not expunged either.
            flagged = connection.run(Store(piece, "+", [DELETED], on_message=removal.note))
            expunged = connection.run(UidExpunge(piece))
            runs += [flagged, expunged]
        answers = await gathered(runs)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, CommandFailed):
                raise answer
        removal.refused = next((answer for answer in answers[0::2] if isinstance(answer, CommandFailed)), None)
        if any(isinstance(answer, CommandFailed) for answer in answers):
            removal.left -= removal.flagged.keys()
            return
        vanished = normalize(piece for answer in answers[1::2] if isinstance(answer, list) for piece in answer)
        await _look_after(connection, within(vanished, removal.left), removal)
        if not removal.left:
            return


async def _remove_alone(connection: Connection, uids: Collection[int], removal: Removal, debts: Debts) -> None:
    selected = connection.selected
    assert selected is not None  # whoever asks has selected
    removal.left, others = set(uids), set[int]()
    try:
        for _ in range(MAX_ROUNDS):
            flagged = await _deleted(connection)
            if flagged is None:
                break
            if strangers := flagged - removal.left:
                others |= strangers
                debts.owe(selected.name, selected.uidvalidity, strangers)
                await _flag(connection, "-", strangers)
            await _store(connection, removal.left, removal)
            flagged = await _deleted(connection)
            if flagged is not None and flagged <= removal.left:
                await connection.run(ExpungeAll())
                await _look_after(connection, set(), removal)
            if not removal.left:
                break
    except CommandFailed as error:
        removal.refused = error if not removal.flagged else None
        removal.left -= removal.flagged.keys()
    if others:
        await _flag(connection, "+", others)
        debts.paid(selected.name, selected.uidvalidity)


async def _look_after(connection: Connection, vanished: set[int], removal: Removal) -> None:
    """Sort out what is gone: what was said to be, and what is not there."""
    removal.gone |= vanished
    removal.left -= vanished
    if "QRESYNC" not in connection.enabled:  # what it has flagged it knows, so it knows as well when that is gone
        await _look(connection, removal.left & removal.flagged.keys(), removal)
    if removal.left:
        await renew(connection)
        await _look(connection, removal.left, removal)


async def _look(connection: Connection, uids: Collection[int], removal: Removal) -> None:
    if uids:
        told = Stores()
        await reread(connection, uids, told)
        removal.gone |= told.gone
        removal.left -= told.gone


async def _deleted(connection: Connection) -> set[int] | None:
    """Return what is flagged; None: more than we would remember."""
    try:
        return set(expand(await connection.search(["DELETED"]), MAX_OTHERS))
    except ValueError:
        return None


async def _store(connection: Connection, uids: Collection[int], removal: Removal) -> None:
    for piece in chunks(from_uids(uids)):
        await connection.run(Store(piece, "+", [DELETED], on_message=removal.note))


async def _flag(connection: Connection, sign: str, uids: Collection[int]) -> None:
    for piece in chunks(from_uids(uids)):
        await connection.run(Store(piece, "+" if sign == "+" else "-", [DELETED]))
