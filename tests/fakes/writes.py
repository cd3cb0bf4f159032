"""The write methods of a backend over the real index: what IMAP would do to flags and places, without IMAP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from gateway.account.account import Account
from gateway.account.backend import EmailChange, MailboxChange, NewEmail, NewMailbox
from gateway.account.quotas import Quota, keep
from gateway.account.records import Batch, FlagChange, Location, MailboxDelta, MailboxFacts, Mark, NewMessage
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.objects.mailbox import RIGHTS
from gateway.message.headers import header_end

FLAGS = {"$seen": "\\Seen", "$flagged": "\\Flagged", "$answered": "\\Answered", "$draft": "\\Draft"}
NOW_S = 1_700_000_000


class IndexWrites:
    """Writes for a fake backend. `refusals` answers for an Email id or, with None, for the next append."""

    account: Account

    def __init__(self) -> None:
        self.changed: list[list[EmailChange]] = []  # one list for each call
        self.appended: list[NewEmail] = []
        self.refusals: dict[str | None, SetError | MethodError] = {}
        self.quotas: list[Quota] = []
        self._uids = count(1_000_000)

    def stored(self, email_id: str, octets: bytes) -> None:
        """Remember what an Email consists of."""

    async def load_shares(self) -> None:
        pass

    async def change_shares(self, mailbox_id: str, changes: Mapping[str, frozenset[str] | None]) -> None:
        raise SetError("forbidden")

    async def refresh_quotas(self) -> None:
        await keep(self.account.user_records, self.quotas)

    async def change_emails(self, changes: Sequence[EmailChange]) -> Mapping[str, SetError]:
        self.changed.append(list(changes))
        failed: dict[str, SetError] = {}
        deltas: dict[str, MailboxDelta] = {}
        with self.account.snapshot() as snapshot:
            rows = snapshot.emails([change.email_id for change in changes])
            places = snapshot.locations(rows)
            for change in changes:
                refusal = self.refusals.get(change.email_id)
                if isinstance(refusal, MethodError):
                    raise refusal
                if refusal is not None or change.email_id not in rows:
                    failed[change.email_id] = refusal or SetError("notFound")
                    continue
                row = rows[change.email_id]
                keywords = (set(row.keywords) | change.add_keywords) - change.remove_keywords
                flags = tuple(FLAGS.get(keyword, keyword) for keyword in sorted(keywords))
                for place in places[change.email_id]:
                    self._change_place(deltas, place, flags, change)
                for mailbox_id in sorted(change.add_mailboxes):
                    message = NewMessage(
                        uid=next(self._uids),
                        flags=flags,
                        modseq=0,
                        received_at_s=row.received_at_s,
                        size_octets=row.size_octets,
                        email_id=row.id,
                        thread_id=None,
                        header=b"",
                    )
                    delta = deltas.setdefault(mailbox_id, MailboxDelta(mailbox_id))
                    deltas[mailbox_id] = replace(delta, arrived=[*delta.arrived, message])
        if deltas:
            await self.account.apply(Batch(deltas=list(deltas.values())))
        return failed

    def _change_place(
        self, deltas: dict[str, MailboxDelta], place: Location, flags: tuple[str, ...], change: EmailChange
    ) -> None:
        delta = deltas.setdefault(place.mailbox_id, MailboxDelta(place.mailbox_id))
        if place.mailbox_id in change.remove_mailboxes:
            delta = replace(delta, vanished=[*delta.vanished, (place.uid, place.uid)])
        else:
            delta = replace(delta, flagged=[*delta.flagged, FlagChange(place.uid, flags, 0)])
        deltas[place.mailbox_id] = delta

    async def append_email(self, email: NewEmail) -> str:
        self.appended.append(email)
        if (refusal := self.refusals.pop(None, None)) is not None:
            raise refusal
        octets = b"".join([chunk async for chunk in email.octets()])
        assert len(octets) == email.size_octets
        assert octets.count(b"\n") == octets.count(b"\r") == octets.count(b"\r\n")
        uid = next(self._uids)
        id = f"M{uid}"
        self.stored(id, octets)
        message = NewMessage(
            uid=uid,
            flags=tuple(FLAGS.get(keyword, keyword) for keyword in sorted(email.keywords)),
            modseq=0,
            received_at_s=NOW_S if email.received_at_s is None else email.received_at_s,
            size_octets=len(octets),
            email_id=id,
            thread_id=None,
            header=octets[: header_end(octets)],
        )
        await self.account.apply(Batch(deltas=[MailboxDelta(id, arrived=[message]) for id in email.mailbox_ids]))
        return id

    async def create_mailbox(self, mailbox: NewMailbox) -> str:
        id = f"B{next(self._uids)}"
        facts = MailboxFacts(
            id=id,
            path=id,
            name=mailbox.name,
            parent_id=mailbox.parent_id,
            role=mailbox.role,
            is_subscribed=mailbox.is_subscribed,
            sort_order=mailbox.sort_order or 0,
            rights=frozenset(RIGHTS),
        )
        mark = Mark(uidvalidity=1, uidnext=1, is_indexed=True)
        await self.account.apply(
            Batch(mailboxes=[*self._mailbox_facts().values(), facts], deltas=[MailboxDelta(id, mark=mark)])
        )
        return id

    async def change_mailbox(self, change: MailboxChange) -> None:
        tree = self._mailbox_facts()
        facts = tree[change.mailbox_id]
        tree[facts.id] = replace(
            facts,
            name=facts.name if change.name is None else change.name,
            parent_id=change.parent_id if change.moves else facts.parent_id,
            is_subscribed=facts.is_subscribed if change.is_subscribed is None else change.is_subscribed,
            sort_order=facts.sort_order if change.sort_order is None else change.sort_order,
            role=change.role if change.sets_role else facts.role,
        )
        await self.account.apply(Batch(mailboxes=list(tree.values())))

    async def destroy_mailbox(self, mailbox_id: str, *, remove_emails: bool = False) -> None:
        tree = self._mailbox_facts()
        del tree[mailbox_id]
        await self.account.apply(Batch(mailboxes=list(tree.values())))

    def _mailbox_facts(self) -> dict[str, MailboxFacts]:
        with self.account.snapshot() as snapshot:
            return {row.facts.id: row.facts for row in snapshot.mailboxes()}
