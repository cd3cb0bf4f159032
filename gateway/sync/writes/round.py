"""Carry out the steps of many Emails in few commands: each mailbox on one connection, the mailboxes side by side.

Rule 1: what a mailbox cannot keep is found out before anything is sent for that Email.
Rule 2: keywords and copies of all mailboxes come before the first removal; an Email with which anything went wrong is
left out of what follows.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.account.records import Location, MailboxRow
from gateway.jmap.errors import SetError
from gateway.sync.link import Link
from gateway.sync.writes.expunging import Debts, remove
from gateway.sync.writes.flags import not_kept
from gateway.sync.writes.moving import Transfer, arrivals, is_other, transfer
from gateway.sync.writes.outcome import Outcome
from gateway.sync.writes.refusals import not_kept as not_kept_error
from gateway.sync.writes.refusals import refusal
from gateway.sync.writes.standing import Standing
from gateway.sync.writes.steps import Steps
from gateway.sync.writes.storing import Group, renew, store
from gateway.upstream.imap import CommandFailed, Connection, ImapError


@dataclass(slots=True)
class _Job:
    """What is to be done in one mailbox, before anything is removed."""

    stores: dict[Group, set[int]] = field(default_factory=lambda: defaultdict(set))
    copies: dict[tuple[str, bool], set[int]] = field(default_factory=lambda: defaultdict(set))  # (to, is a move)
    email_of: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Due:
    """A target whose new uids are to be read: the upstream did not say them, or they are not to be guessed at."""

    first: int
    expected: dict[str, Location | None] = field(default_factory=dict)  # Emails; where they were moved from


class Round:
    """One attempt; `is_again`: the last one may have failed for want of a look at the mailbox.

    `guard`: by mailbox, the mod-sequence since which a STORE wants nothing changed (RFC 7162).
    """

    def __init__(
        self,
        link: Link,
        standing: Standing,
        debts: Debts,
        *,
        guard: Mapping[str, int] | None = None,
        is_again: bool = False,
    ) -> None:
        self._link, self._standing, self._debts = link, standing, debts
        self._guard, self._is_again = guard or {}, is_again
        self._due: dict[str, _Due] = {}
        self._outcome = Outcome()

    async def carry_out(self, steps: Sequence[Steps]) -> Outcome:
        """Do as much as can be done; what could not is in the outcome. Raises nothing of the upstream's."""
        outcome = self._outcome
        await self._check_keywords(steps)
        stopped = outcome.stopped()
        jobs = _jobs([one for one in steps if one.email_id not in stopped])
        await asyncio.gather(
            *(self._answered(job.email_of.values(), self._change(id, job)) for id, job in jobs.items())
        )
        await asyncio.gather(
            *(self._answered(due.expected, self._read_arrivals(id, due)) for id, due in self._due.items())
        )
        stopped = outcome.stopped()
        removals: dict[str, dict[int, str]] = defaultdict(dict)
        for one in steps:
            if one.email_id not in stopped:
                for at in one.removals:
                    removals[at.mailbox_id][at.uid] = one.email_id
        await asyncio.gather(*(self._answered(gone.values(), self._remove(id, gone)) for id, gone in removals.items()))
        return outcome

    async def _answered(self, email_ids: Iterable[str], work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except SetError as error:
            self._outcome.refuse(email_ids, error)
        except CommandFailed as error:
            self._outcome.refuse(email_ids, refusal(error, verb="SELECT"))
        except ImapError as error:
            self._outcome.broke(email_ids, error)

    @asynccontextmanager
    async def _opened(self, mailbox_id: str) -> AsyncIterator[Connection]:
        """Borrow a connection with a mailbox open for writing, whose uids mean what the index takes them for."""
        row = self._standing.rows[mailbox_id]
        async with self._link.connection(row.facts.path, read_only=False) as connection:
            if self._is_again or (connection.selected is not None and is_other(connection.selected.uidvalidity, row)):
                await renew(connection)
            selected = connection.selected
            assert selected is not None  # the pool selects the mailbox it was asked for
            if is_other(selected.uidvalidity, row):
                raise SetError("serverFail", "the mailbox was replaced by another of its name a moment ago")
            if selected.read_only:
                raise SetError("forbidden", "the mailbox is read-only")
            yield connection

    # ------------------------------------------------------------ keywords

    async def _check_keywords(self, steps: Sequence[Steps]) -> None:
        wanted: dict[str, dict[frozenset[str], list[str]]] = defaultdict(lambda: defaultdict(list))
        for one in steps:
            for at, flags in one.adds.items():
                wanted[at.mailbox_id][flags].append(one.email_id)
            for mailbox_id in one.targets if one.adds else ():
                wanted[mailbox_id][frozenset().union(*one.adds.values())].append(one.email_id)
        await asyncio.gather(
            *(
                self._answered([id for ids in groups.values() for id in ids], self._check(mailbox_id, groups))
                for mailbox_id, groups in wanted.items()
            )
        )

    async def _check(self, mailbox_id: str, groups: Mapping[frozenset[str], Sequence[str]]) -> None:
        async with self._opened(mailbox_id) as connection:
            assert connection.selected is not None  # it was opened
            for flags, email_ids in groups.items():
                if refused := not_kept(flags, connection.selected):
                    self._outcome.refuse(email_ids, not_kept_error(refused))

    # ------------------------------------------------------------ what changes and what is copied

    async def _change(self, mailbox_id: str, job: _Job) -> None:
        async with self._opened(mailbox_id) as connection:
            if job.stores:
                await self._store(connection, mailbox_id, job)
            for (target_id, is_move), uids in job.copies.items():
                stopped = self._outcome.stopped()
                going = {uid for uid in uids if job.email_of[uid] not in stopped}
                if going:
                    await self._transfer(connection, mailbox_id, job, target_id, going, is_move=is_move)

    async def _store(self, connection: Connection, mailbox_id: str, job: _Job) -> None:
        outcome = self._outcome
        outcome.has_sent = True
        told = await store(connection, job.stores, unchanged_since=self._guard.get(mailbox_id))
        for change in told.changed.values():
            outcome.changed(mailbox_id, change)
        outcome.went(mailbox_id, told.gone)
        outcome.unsure.update(job.email_of[uid] for uid in told.gone | told.left)
        for uids, error in told.refused:
            outcome.refuse({job.email_of[uid] for uid in uids}, refusal(error, verb="STORE"))

    async def _transfer(
        self, connection: Connection, mailbox_id: str, job: _Job, target_id: str, uids: set[int], *, is_move: bool
    ) -> None:
        outcome, target = self._outcome, self._standing.rows[target_id]
        outcome.has_sent = True
        outcome.in_flight += len(uids)
        for answer in await transfer(connection, uids, target, is_move=is_move):
            if not isinstance(answer, Transfer):
                named, error = answer
                emails = {job.email_of[uid] for uid in named}
                if error.code == "EXPUNGEISSUED":  # one of them went meanwhile; the others are tried again
                    outcome.unsure |= emails
                else:
                    outcome.refuse(emails, refusal(error, verb="MOVE" if is_move else "COPY"))
                continue
            self._note_copies(mailbox_id, job, target, answer, is_move=is_move)
        outcome.in_flight -= len(uids)

    def _note_copies(self, mailbox_id: str, job: _Job, target: MailboxRow, answer: Transfer, *, is_move: bool) -> None:
        outcome, copied = self._outcome, answer.copied
        if copied.uids or not answer.first_new:  # of the others nothing was copied: gone, or come a moment ago
            outcome.unsure.update(job.email_of[uid] for uid in answer.uids.difference(copied.uids))
            if is_move:
                outcome.went(mailbox_id, copied.uids)
            if not copied.uids:
                return
        is_known = target.mark is not None and target.mark.is_indexed and not is_other(copied.uidvalidity, target)
        if copied.uids and is_known:
            for uid, new_uid in zip(copied.uids, copied.new_uids, strict=True):
                email_id = job.email_of.get(uid)
                if email_id is not None:
                    flags = self._flags(Location(mailbox_id, uid), email_id)
                    outcome.came_again(Location(target.facts.id, new_uid), flags, email_id)
            return
        # Of a mailbox that is being indexed nothing is assumed: the indexing does not read again what is known.
        due = self._due.setdefault(target.facts.id, _Due(answer.first_new))
        due.first = min(due.first, answer.first_new)
        for uid in copied.uids or answer.uids:
            due.expected[job.email_of[uid]] = Location(mailbox_id, uid) if is_move and not copied.uids else None

    def _flags(self, at: Location, email_id: str) -> tuple[str, ...]:
        changed = self._outcome.flagged[at.mailbox_id].get(at.uid)
        return changed.flags if changed is not None else self._standing.places[email_id][at]

    async def _read_arrivals(self, mailbox_id: str, due: _Due) -> None:
        outcome, found = self._outcome, set[str]()
        for message in await arrivals(self._link, self._standing.rows[mailbox_id], due.first):
            outcome.came(mailbox_id, message)
            found.add(message.email_id)
        for email_id, moved_from in due.expected.items():
            if email_id not in found:
                outcome.unsure.add(email_id)
            elif moved_from is not None:
                outcome.went(moved_from.mailbox_id, [moved_from.uid])

    # ------------------------------------------------------------ what goes

    async def _remove(self, mailbox_id: str, email_of: Mapping[int, str]) -> None:
        outcome = self._outcome
        async with self._opened(mailbox_id) as connection:
            outcome.has_sent = True
            outcome.in_flight += len(email_of)
            removal = await remove(connection, email_of, self._debts)
            outcome.in_flight -= len(email_of)
        if removal.refused is not None:
            outcome.refuse(email_of.values(), refusal(removal.refused, verb="EXPUNGE"))
        outcome.went(mailbox_id, removal.gone)
        outcome.unsure.update(email_of[uid] for uid in removal.left)
        for uid, change in removal.flagged.items():
            if uid not in removal.gone:  # flagged, and so absent for clients
                outcome.changed(mailbox_id, change)


def _jobs(steps: Iterable[Steps]) -> dict[str, _Job]:
    """Group what is to be done by mailbox, and there by command."""
    jobs: dict[str, _Job] = defaultdict(_Job)
    for one in steps:
        for at in {*one.adds, *one.removes, *(at for at, _ in one.copies), *([one.move[0]] if one.move else [])}:
            jobs[at.mailbox_id].email_of[at.uid] = one.email_id
        for at, flags in one.adds.items():
            jobs[at.mailbox_id].stores["+", flags].add(at.uid)
        for at, flags in one.removes.items():
            jobs[at.mailbox_id].stores["-", flags].add(at.uid)
        for at, mailbox_id in one.copies:
            jobs[at.mailbox_id].copies[mailbox_id, False].add(at.uid)
    for one in steps:  # after all copies from there
        if one.move is not None:
            at, mailbox_id = one.move
            jobs[at.mailbox_id].copies[mailbox_id, True].add(at.uid)
    return jobs
