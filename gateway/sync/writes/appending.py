"""append_email: APPEND, streamed (RFC 9051 section 6.3.12), then a COPY into each further mailbox.

Rule 1: nothing but the octets under way is held of a message.
Rule 2: APPEND goes out without the turn, for it may last minutes; what came of it is read and put into the index within
the turn, from the upstream and not from memory: whatever a sweep saw meanwhile, the index is right afterwards.
Rule 3: after a break the message is looked for, before it is sent once more. After a tagged OK it is never sent again.
Rule 4: an Email that was there already is not stored twice. Where its id is known only afterwards (RFC 8474, EMAILID),
the location that APPEND made is removed again: that one uid and no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from gateway.account.backend import EmailChange, NewEmail
from gateway.account.records import Location, MailboxRow, NewMessage
from gateway.jmap.errors import MethodError, SetError
from gateway.sync.identity import Identity, light_items, reader
from gateway.sync.link import Facts, Link
from gateway.sync.plan import Tier
from gateway.sync.writes.changing import LOOK_PAUSE_S, LOOK_TRIES, SETTLE_S, Change
from gateway.sync.writes.expunging import Debts, remove
from gateway.sync.writes.flags import flag_of, is_sendable, not_kept, spelled
from gateway.sync.writes.moving import arrivals, first_new, is_other
from gateway.sync.writes.outcome import Outcome
from gateway.sync.writes.refusals import UNDONE, UNKNOWN, UNTOLD, refusal
from gateway.sync.writes.refusals import not_kept as not_kept_error
from gateway.sync.writes.standing import standing_of
from gateway.upstream.imap import CommandFailed, Connection, ImapError, Message
from gateway.upstream.imap.commands.append import Append, Appended

log = logging.getLogger(__name__)

ATTEMPTS = 2  # at sending the octets: once more after a connection that broke
LOST_SIGHT = "the mail server stored the message, and did not show it a moment later"
MAX_HEADER_OCTETS = 256 << 10  # looked at to know the message again; a longer header is known by what fits


class Appending:
    """One call of append_email."""

    def __init__(self, link: Link, debts: Debts, email: NewEmail) -> None:
        self._link, self._debts, self._email = link, debts, email
        self._at_s = int(time.time()) if email.received_at_s is None else email.received_at_s
        self._fields_id = ""  # of the message by its header, date and size: how it is known again
        self._first_new = 1  # what APPEND makes has this uid or a later one
        self._source_error: Exception | None = None

    async def run(self) -> str:
        """Store the message; return its Email id. Raise SetError, or ImapError when nothing was attempted."""
        facts = await self._link.facts()
        row = self._check(facts)
        self._fields_id = _fields_id(await _header_of(self._email), self._at_s, self._email.size_octets)
        if facts.identity is Identity.FIELDS:
            self._refuse_existing(self._fields_id)
        for _attempt in range(ATTEMPTS):
            appended = await self._append(row)
            async with self._link.turn:
                message = await self._find(row, appended)
                if message is not None:
                    return await self._enter(row, message)
            if appended is not None:
                raise SetError("serverFail", LOST_SIGHT)
        raise SetError("serverFail", UNDONE)

    def _check(self, facts: Facts) -> MailboxRow:
        """Return the mailbox to append to. Raise SetError for what can be known beforehand."""
        rows = self._link.mailboxes()
        for mailbox_id in self._email.mailbox_ids:
            row = rows.get(mailbox_id)
            if row is None or not row.facts.is_selectable:
                raise SetError("invalidProperties", "there is no such mailbox", properties=["mailboxIds"])
            if row.facts.rights and "mayAddItems" not in row.facts.rights:
                raise SetError("forbidden", "mayAddItems is not given for a mailbox concerned")
        if odd := sorted(keyword for keyword in self._email.keywords if not is_sendable(keyword)):
            raise SetError("invalidProperties", f"no keywords of IMAP: {', '.join(odd)}", properties=["keywords"])
        limits = [name[12:] for name in facts.capabilities if name.startswith("APPENDLIMIT=")]  # RFC 7889
        if any(limit.isdigit() and self._email.size_octets > int(limit) for limit in limits):
            raise SetError("tooLarge")
        return rows[self._email.mailbox_ids[0]]

    # ------------------------------------------------------------ sending

    async def _append(self, row: MailboxRow) -> Appended | None:
        """Send the message; None: the connection broke. Raise SetError when it was refused."""
        is_sent = False
        try:
            async with self._link.connection(row.facts.path, read_only=False) as connection:
                flags = self._flags(connection)
                is_sent = True
                return await self._send(connection, row, flags)
        except CommandFailed as error:
            has_keywords = any(not keyword.startswith("$") for keyword in self._email.keywords)
            raise refusal(error, verb="APPEND" if is_sent else "SELECT", has_keywords=has_keywords) from error
        except ImapError as error:
            if self._source_error is not None:
                raise _of_source(self._source_error) from error
            if not is_sent:
                raise
            log.info("append broke", extra={"error": type(error).__name__})
            return None

    def _flags(self, connection: Connection) -> list[str]:
        selected = connection.selected
        assert selected is not None  # the pool selects the mailbox it was asked for
        if selected.read_only:
            raise SetError("forbidden", "the mailbox is read-only")
        flags = spelled((flag_of(keyword) for keyword in self._email.keywords), selected)
        if refused := not_kept(flags, selected):
            raise not_kept_error(refused)
        return flags

    async def _send(self, connection: Connection, row: MailboxRow, flags: list[str]) -> Appended:
        selected = connection.selected
        self._first_new = max(first_new(row), (selected.uidnext if selected is not None else None) or 1)
        # In the same packet as the APPEND: what is looked for after a break came after this.
        asked = asyncio.ensure_future(connection.status(row.facts.path, ["UIDNEXT"]))
        command = Append(
            row.facts.path,
            self._octets(),
            octets=self._email.size_octets,
            flags=flags,
            internaldate_s=self._at_s,
            has_utf8_headers=self._email.has_utf8_headers,
        )
        try:
            return await connection.run(command)
        finally:
            if not asked.done():
                asked.cancel()
            with suppress(ImapError, asyncio.CancelledError):
                told = (await asked).get("UIDNEXT")
                self._first_new = told if isinstance(told, int) else self._first_new

    async def _octets(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._email.octets():
                yield chunk
        except Exception as error:  # the connection ends for it; whoever reads the reason finds it here
            self._source_error = error
            raise

    # ------------------------------------------------------------ finding

    async def _find(self, row: MailboxRow, appended: Appended | None) -> NewMessage | None:
        """Return the message as it is in the mailbox; None: it is not there. Raise SetError when that is not known."""
        if appended is None:
            await asyncio.sleep(SETTLE_S)
        for tries_left in reversed(range(LOOK_TRIES)):
            try:
                if appended is not None and appended.uid is not None and not is_other(appended.uidvalidity, row):
                    found = await self._fetch(row, appended.uid)
                    if found is None:
                        raise SetError("serverFail", LOST_SIGHT)
                    return found
                return await self._search(row)
            except CommandFailed as error:
                raise refusal(error, verb="SELECT") from error
            except ImapError as error:
                log.info("look after an append failed", extra={"error": type(error).__name__})
                if tries_left:
                    await asyncio.sleep(LOOK_PAUSE_S)
        raise SetError("serverFail", UNKNOWN)

    async def _fetch(self, row: MailboxRow, uid: int) -> NewMessage | None:
        facts = await self._link.facts()
        found: list[NewMessage] = []
        read = reader(facts.identity)

        def on_message(message: Message) -> None:
            if message.uid == uid:
                found.append(read(message))

        async with self._link.connection(row.facts.path, read_only=False) as connection:
            has_modseq = facts.tier is not Tier.NEITHER and bool(
                connection.selected and connection.selected.highestmodseq
            )
            items = light_items(facts.identity, has_modseq=has_modseq)
            await connection.fetch([(uid, uid)], items, on_message=on_message)
            if not found:  # another connection made it: this one has not looked since
                await connection.select(row.facts.path, read_only=False, condstore=facts.tier is not Tier.NEITHER)
                await connection.fetch([(uid, uid)], items, on_message=on_message)
        return found[0] if found else None

    async def _search(self, row: MailboxRow) -> NewMessage | None:
        """Look through what is new. Of several alike the last: nothing tells them apart, nor need it."""
        alike = [
            message
            for message in await arrivals(self._link, row, self._first_new)
            if _fields_id(message.header, message.received_at_s, message.size_octets) == self._fields_id
        ]
        return max(alike, key=lambda message: message.uid) if alike else None

    # ------------------------------------------------------------ entering

    async def _enter(self, row: MailboxRow, message: NewMessage) -> str:
        """Put the message into the index and into the further mailboxes."""
        mailbox_id, email_id = row.facts.id, message.email_id
        standing = standing_of(self._link, [email_id])
        if standing.live(email_id).keys() - {Location(mailbox_id, message.uid)}:
            await self._take_back(row, message)
            raise SetError("alreadyExists", existingId=email_id)
        outcome = Outcome()
        outcome.came(mailbox_id, message)
        await self._apply(outcome)
        further = frozenset(self._email.mailbox_ids) - {mailbox_id}
        if further:
            error = await self._change(EmailChange(email_id=email_id, add_mailboxes=further))
            if error is not None:
                await self._change(EmailChange(email_id=email_id, remove_mailboxes=further | {mailbox_id}))
                raise error
        return email_id

    async def _change(self, change: EmailChange) -> SetError | None:
        try:
            return (await Change(self._link, self._debts).run([change])).get(change.email_id)
        except ImapError:
            return SetError("serverFail", UNDONE)

    async def _take_back(self, row: MailboxRow, message: NewMessage) -> None:
        """Remove the location that this APPEND made, of an Email that was there before."""
        outcome = Outcome()
        try:
            async with self._link.connection(row.facts.path, read_only=False) as connection:
                selected = connection.selected
                if selected is None or is_other(selected.uidvalidity, row):
                    return
                removal = await remove(connection, [message.uid], self._debts)
        except ImapError as error:  # then it stays: the Email has one location more
            log.warning("append not taken back", extra={"error": type(error).__name__})
            outcome.came(row.facts.id, message)
        else:
            if message.uid in removal.gone:
                outcome.went(row.facts.id, [message.uid])
            else:
                flags = removal.flagged[message.uid].flags if message.uid in removal.flagged else message.flags
                outcome.came(row.facts.id, message._replace(flags=flags))
        await self._apply(outcome)

    async def _apply(self, outcome: Outcome) -> None:
        batch = outcome.batch()
        if batch is not None:
            try:
                await self._link.account.apply(batch)
            except MethodError as error:  # nobody may take this for a message that was not stored
                raise SetError("serverFail", UNTOLD) from error

    def _refuse_existing(self, email_id: str) -> None:
        if standing_of(self._link, [email_id]).live(email_id):
            raise SetError("alreadyExists", existingId=email_id)


async def _header_of(email: NewEmail) -> bytes:
    """Read the header from the start of the octets."""
    held = b""
    octets = email.octets()
    try:
        async for chunk in octets:
            held += chunk
            if b"\r\n\r\n" in held or len(held) > MAX_HEADER_OCTETS:
                break
    finally:
        close = getattr(octets, "aclose", None)
        if close is not None:
            await close()
    return held.partition(b"\r\n\r\n")[0][:MAX_HEADER_OCTETS] + b"\r\n\r\n"


def _fields_id(header: bytes, received_at_s: int, size_octets: int) -> str:
    """Return the Email id that a server without ids of its own would give rise to."""
    message = Message(0)
    message.sections = {"HEADER.FIELDS": header}
    message.internaldate_s, message.size = received_at_s, size_octets
    return reader(Identity.FIELDS)(message).email_id


def _of_source(error: Exception) -> Exception:
    if isinstance(error, (SetError, MethodError)):
        return error
    return SetError("serverFail", "the octets of the message could not be read")
