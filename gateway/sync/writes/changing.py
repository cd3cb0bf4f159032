"""change_emails: plan from the index, carry out, and after a break look up what is there and go on.

Rule 1: a change is a difference (keywords and mailboxes to add and to take away), so planning it anew from what is
there leaves what is still to be done: going on after a break needs no memory of how far it came.
Rule 2: what may still be going on upstream after a break is waited for, until two looks agree: a COPY that is repeated
while the first one runs would double a message.
Rule 3: what was refused half-way is undone; what could not be undone is said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gateway.account.backend import EmailChange
from gateway.account.flags import union
from gateway.jmap.errors import SetError
from gateway.sync.link import Link
from gateway.sync.writes.expunging import Debts
from gateway.sync.writes.flags import all_names_of, flags_of, keywords_at
from gateway.sync.writes.lookup import look
from gateway.sync.writes.outcome import Outcome
from gateway.sync.writes.refusals import UNDONE, UNKNOWN
from gateway.sync.writes.round import Round
from gateway.sync.writes.standing import Standing, standing_of
from gateway.sync.writes.steps import Steps, check, steps_of
from gateway.upstream.imap import AuthenticationFailed, ConnectError, ImapError, Timeout

log = logging.getLogger(__name__)

ATTEMPTS = 3  # at what a broken connection left undone
LOOK_TRIES = 3  # connections tried before giving up on finding out
LOOK_PAUSE_S = 1.0  # the pool refuses to connect for so long after a failure
SETTLE_S = 0.3  # after a break, before a look: the server may not have noticed it yet
SETTLE_EACH_S = 0.002  # and for each message under way
MAX_SETTLES = 5
_HOPELESS = (AuthenticationFailed, ConnectError, Timeout)  # another attempt at once would fare no better


class Change:
    """One call of change_emails, or a part of one append_email. Whoever makes it has the turn."""

    def __init__(self, link: Link, debts: Debts) -> None:
        self._link, self._debts = link, debts
        self._has_sent = False
        self._targets: set[str] = set()

    async def run(self, changes: Sequence[EmailChange]) -> dict[str, SetError]:
        """Return what failed. Raises ImapError when nothing was attempted."""
        await self._debts.pay(self._link)
        pending = {change.email_id: change for change in changes}
        origin = standing_of(self._link, pending)
        errors = _forbidden(pending, origin)
        wanted = dict(pending)
        broken: set[str] = set()  # the connection broke over these, and what is there is not known
        for attempt in range(ATTEMPTS + 1):
            standing = origin if not attempt else standing_of(self._link, pending)
            steps = await self._plan(pending, standing, errors, is_again=attempt > 0)
            if not steps or attempt == ATTEMPTS:
                break
            outcome = await self._carry_out(steps, standing, is_again=attempt > 0)
            if outcome.error is not None and not self._has_sent:
                if attempt or isinstance(outcome.error, _HOPELESS):
                    raise outcome.error
                continue  # a connection that had died unnoticed
            errors |= outcome.refused
            for one in steps:
                if one.email_id not in outcome.unsure or one.email_id in outcome.refused:
                    del pending[one.email_id]
            if outcome.unsure and not await self._look_up(origin, outcome.unsure, outcome):
                broken = set(pending)
                break
        for email_id in pending:
            errors[email_id] = SetError("serverFail", UNKNOWN if email_id in broken else UNDONE)
        if self._has_sent:
            await self._undo({id: wanted[id] for id in errors if id in wanted and id not in broken}, origin, errors)
        return errors

    async def _plan(
        self, pending: dict[str, EmailChange], standing: Standing, errors: dict[str, SetError], *, is_again: bool
    ) -> list[Steps]:
        """Return what is left to do, and drop what is done or cannot be."""
        can_move = "MOVE" in (await self._link.facts()).capabilities
        todo: list[Steps] = []
        for email_id, change in list(pending.items()):
            try:
                steps = steps_of(change, standing.places[email_id], can_move=can_move, is_again=is_again)
            except SetError as error:
                errors[email_id] = error
                del pending[email_id]
                continue
            if steps.are_done:
                del pending[email_id]
            else:
                todo.append(steps)
        return todo

    async def _carry_out(
        self,
        steps: Sequence[Steps],
        standing: Standing,
        *,
        guard: Mapping[str, int] | None = None,
        is_again: bool = False,
    ) -> Outcome:
        for one in steps:
            self._targets |= one.targets
        outcome = await Round(self._link, standing, self._debts, guard=guard, is_again=is_again).carry_out(steps)
        await self._apply(outcome)
        self._has_sent |= outcome.has_sent
        return outcome

    async def _apply(self, outcome: Outcome) -> None:
        batch = outcome.batch()
        if batch is not None:
            await self._link.account.apply(batch)

    # ------------------------------------------------------------ after a break

    async def _look_up(self, origin: Standing, email_ids: Iterable[str], after: Outcome) -> bool:
        """Bring the index in line with what is there of these; return whether that could be done."""
        ids = set(email_ids)
        settle_s = SETTLE_S + SETTLE_EACH_S * after.in_flight if after.error is not None and after.in_flight else 0.0
        before: object = None
        for _ in range(MAX_SETTLES):
            await asyncio.sleep(settle_s)
            found = await self._look(origin, ids)
            if found is None:
                return False
            await self._apply(found)
            now = {id: (set(found.arrived[id]), set(found.vanished[id])) for id in (*found.arrived, *found.vanished)}
            if not settle_s or now == before:
                break
            before = now
        await self._debts.pay(self._link)
        return True

    async def _look(self, origin: Standing, email_ids: set[str]) -> Outcome | None:
        for tries_left in reversed(range(LOOK_TRIES)):
            standing = replace(standing_of(self._link, email_ids), rows=origin.rows)
            places = {id: {**origin.places.get(id, {}), **standing.places[id]} for id in email_ids}
            try:
                return await look(self._link, replace(standing, places=places), email_ids, sorted(self._targets))
            except AuthenticationFailed:
                return None
            except ImapError as error:
                log.info("look after a break failed", extra={"error": type(error).__name__})
                if tries_left:
                    await asyncio.sleep(LOOK_PAUSE_S)
        return None

    # ------------------------------------------------------------ taking back

    async def _undo(self, failed: Mapping[str, EmailChange], origin: Standing, errors: dict[str, SetError]) -> None:
        """Put back what was done of changes that failed; where that fails too, say so."""
        failed = {id: change for id, change in failed.items() if errors[id].kind != "notFound"}
        if not failed:
            return
        for _attempt in range(ATTEMPTS):
            found = await self._look(origin, set(failed))
            if found is None:
                break
            await self._apply(found)
            guard = {id: max((one.modseq for one in some.values()), default=0) for id, some in found.flagged.items()}
            standing = standing_of(self._link, failed)
            steps = await self._steps_back(failed, origin, standing)
            if not steps:
                break
            condstore = "CONDSTORE" in (await self._link.facts()).capabilities
            outcome = await self._carry_out(steps, standing, guard={i: n for i, n in guard.items() if n and condstore})
            if not outcome.unsure:
                break
        now = standing_of(self._link, failed)
        for email_id in failed:
            if _picture(now, email_id) != _picture(origin, email_id):
                errors[email_id].description = f"{errors[email_id].description or errors[email_id].kind}; part is done"

    async def _steps_back(self, failed: Mapping[str, EmailChange], origin: Standing, now: Standing) -> list[Steps]:
        reverse: dict[str, EmailChange] = {}
        for email_id, change in failed.items():
            before = {at.mailbox_id for at in origin.live(email_id)}
            here = {at.mailbox_id for at in now.live(email_id)}
            reverse[email_id] = EmailChange(
                email_id=email_id,
                add_mailboxes=frozenset(before - here),
                remove_mailboxes=frozenset((here - before) & change.add_mailboxes),
            )
        steps = {one.email_id: one for one in await self._plan(reverse, now, {}, is_again=True)}
        for email_id in failed:
            one = steps.get(email_id, Steps(email_id))
            for at, flags in now.live(email_id).items():
                kept = origin.places[email_id].get(at)
                if kept is None:
                    continue
                had, has = keywords_at(kept), keywords_at(flags)
                touched = failed[email_id].add_keywords | failed[email_id].remove_keywords
                if add := (had - has) & touched:
                    one.adds[at] = flags_of(add)
                if remove := (has - had) & touched:
                    one.removes[at] = all_names_of(remove, flags)
            if not one.are_done:
                steps[email_id] = one
        return list(steps.values())


def _forbidden(pending: dict[str, EmailChange], origin: Standing) -> dict[str, SetError]:
    """Take out what the tree and its rights do not allow."""
    errors: dict[str, SetError] = {}
    for email_id, change in list(pending.items()):
        try:
            check(change, origin.places[email_id], origin.rows)
        except SetError as error:
            errors[email_id] = error
            del pending[email_id]
    return errors


def _picture(standing: Standing, email_id: str) -> tuple[set[str], tuple[str, ...]]:
    live = standing.live(email_id)
    return {at.mailbox_id for at in live}, union(keywords_at(flags) for flags in live.values())
