"""Where one account hands in its messages (`account.submitting.Submitter`).

Rule 1: what the account may send is checked before; here a message is put aside, taken over and taken back.
Rule 2: a delay is ours, so that a message can be taken back until its time. Only where the login will not be good for
        so long (an access token), and the server offers to hold messages (FUTURERELEASE, RFC 4865), it is the server's.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from gateway.account.account import Account
from gateway.account.backend import WHOLE, SectionVanished
from gateway.account.ids import DIGEST_OCTETS, id_of
from gateway.account.submitting import JOBS, SUBMISSIONS, Offers, Prepared
from gateway.account.user_records import Record
from gateway.jmap.errors import MethodError, SetError
from gateway.message.outgoing import HeaderTooLong
from gateway.outbox.job import Job
from gateway.outbox.outbox import Attempt, Outbox
from gateway.outbox.refusal import refusal
from gateway.outbox.schedule import Key
from gateway.outbox.spool import TooLarge
from gateway.outbox.verdict import CANCELED, status, waiting
from gateway.unavailable import Unavailable
from gateway.upstream.smtp import SmtpServer

MAX_DELAY_S = 30 * 86_400
TOKEN_DELAY_S = 600  # an access token is good for an hour, and may be old already
MAX_RECIPIENTS = 1000  # of one message; RFC 5321 section 4.5.3.1.8 asks for 100
MAX_WAITING = 500  # messages of one account; a person schedules some dozens
MAX_WAITING_OCTETS = 1_000_000_000  # on the gateway's disk
FIRST_WAIT_S = 25.0  # clients give up after 30 s and more: until then they hear what the server says

log = logging.getLogger(__name__)


class Desk:
    """The desk of one account. The server must have been reached once."""

    def __init__(self, outbox: Outbox, account: Account, server: SmtpServer, *, has_token: bool) -> None:
        self._outbox, self._account, self._server, self._has_token = outbox, account, server, has_token

    @property
    def offers(self) -> Offers:
        ehlo = self._server.ehlo
        assert ehlo is not None
        max_delay_s = MAX_DELAY_S
        if self._has_token:
            max_delay_s = min(max(ehlo.max_hold_s or 0, TOKEN_DELAY_S), MAX_DELAY_S)
        recipients = min(ehlo.max_recipients or MAX_RECIPIENTS, MAX_RECIPIENTS)
        return Offers(ehlo.extensions, ehlo.max_size_octets, recipients, max_delay_s)

    async def prepare(self, email_id: str) -> Prepared:
        try:
            return await self._put_aside(self._account.backend.stream_section(email_id, WHOLE))
        except SectionVanished:
            raise SetError("invalidProperties", "emailId is of no Email", properties=["emailId"]) from None

    async def _put_aside(self, chunks: AsyncIterator[bytes]) -> Prepared:
        id = id_of("E", secrets.token_bytes(DIGEST_OCTETS))
        limit = self.offers.max_size_octets
        try:
            return await self._outbox.spool.put(self._account.id, id, chunks, max_octets=limit)
        except TooLarge:
            raise SetError("tooLarge", f"the message is larger than {limit} octets", maxSize=limit) from None
        except HeaderTooLong:
            raise SetError("invalidEmail", "the header is too long", properties=["headers"]) from None
        except OSError as error:
            raise _unwritable(error) from error

    async def discard(self, prepared: Prepared) -> None:
        await self._outbox.spool.drop(self._account.id, prepared.id)

    async def submit(
        self, prepared: Prepared, submission: Record, envelope: Mapping[str, Any], *, release_s: float
    ) -> Record:
        key = self._account.id, prepared.id
        now_s = time.time()
        sender = envelope["mailFrom"]
        if "DSN" in self.offers.extensions and "ENVID" not in (sender["parameters"] or {}):
            # Section 7 allows it: a report that comes back names the submission (RFC 3461 section 5.2.1).
            sender = {**sender, "parameters": {**(sender["parameters"] or {}), "ENVID": prepared.id}}
            envelope = {**envelope, "mailFrom": sender}
        job = Job.of(prepared, submission["emailId"], envelope, release_s=release_s, next_s=max(release_s, now_s))
        if self._has_token and release_s > now_s + TOKEN_DELAY_S:
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(release_s))
            job = replace(job, next_s=now_s, hold_until=until)
        envid = (sender["parameters"] or {}).get("ENVID")
        record: Record = {
            **submission,
            "envid": envid,
            "undoStatus": "pending",
            "deliveryStatus": waiting(job.addresses),
        }
        is_due = job.next_s <= now_s
        try:
            if not is_due:
                await self._outbox.logins.keep(self._account.id)
            await self._take(prepared.id, job, {SUBMISSIONS: {prepared.id: record}})
        except BaseException:
            await self.discard(prepared)
            raise
        if not is_due:
            self._outbox.schedule.put(key, job.next_s)
            return record
        await self._try_now(prepared)
        now = await self._account.user_records.look(SUBMISSIONS, [prepared.id])
        return now.by_id.get(prepared.id, record)

    async def send(self, octets: AsyncIterator[bytes], envelope: Mapping[str, Any]) -> None:
        prepared = await self._put_aside(octets)
        now_s = time.time()
        # It is of no Email: should the file be lost, there is nothing to be fetched and sent in its place.
        job = Job.of(prepared, "", envelope, release_s=now_s, next_s=now_s)
        try:
            await self._take(prepared.id, job, {})
        except BaseException:
            await self.discard(prepared)
            raise
        await self._try_now(prepared)

    async def _take(self, id: str, job: Job, writes: Mapping[str, Mapping[str, Record | None]]) -> None:
        """Write a job down, with what belongs to it. Raise `overQuota` where too much waits already."""
        records = self._account.user_records
        try:
            async with records.lock:
                waiting = (await records.look(JOBS, None)).by_id.values()
                octets = sum(one["size_octets"] for one in waiting)
                if len(waiting) >= MAX_WAITING or octets + job.size_octets > MAX_WAITING_OCTETS:
                    raise SetError("overQuota", "too much mail waits to be sent already")
                await records.write_all({**writes, JOBS: {id: job.record()}})
        except OSError as error:
            raise _unwritable(error) from error

    async def _try_now(self, prepared: Prepared) -> None:
        """Wait for the first attempt, for a while. Raise the SetError of a refusal for good."""
        attempt = self._outbox.attempt((self._account.id, prepared.id), is_awaited=True)
        try:
            await asyncio.wait([attempt.task], timeout=FIRST_WAIT_S)
        finally:
            attempt.is_awaited = False
        if attempt.refusal is not None:
            raise refusal(attempt.refusal, prepared, self.offers)

    async def cancel(self, submission_id: str) -> Record:
        key = self._account.id, submission_id
        if (attempt := self._outbox.attempts.get(key)) is not None:
            await _stop(attempt)
        records = self._account.user_records
        async with records.lock:
            submission = (await records.look(SUBMISSIONS, [submission_id])).by_id.get(submission_id)
            job = (await records.look(JOBS, [submission_id])).by_id.get(submission_id)
            if submission is None or job is None or submission["undoStatus"] != "pending" or job["intent"] is not None:
                self._resume(key, job)
                raise SetError("cannotUnsend", "the message has left already")
            if key in self._outbox.attempts:  # another has begun meanwhile
                raise SetError("cannotUnsend", "the message is leaving just now")
            statuses = {one: status(CANCELED, "no") for one in submission["deliveryStatus"] or {}}
            submission = {**submission, "undoStatus": "canceled", "deliveryStatus": statuses}
            await records.write_all({SUBMISSIONS: {submission_id: submission}, JOBS: {submission_id: None}})
        await self._outbox.ended(key)
        return submission

    def _resume(self, key: Key, job: Record | None) -> None:
        if job is not None and key not in self._outbox.schedule and key not in self._outbox.attempts:
            self._outbox.schedule.put(key, job["next_s"])


def _unwritable(error: OSError) -> MethodError:
    log.error("the outbox cannot be written", extra={"reason": str(error)})
    kind = "serverUnavailable" if isinstance(error, Unavailable) else "serverFail"
    return MethodError(kind, "the message could not be put aside; nothing was sent")


async def _stop(attempt: Attempt) -> None:
    """End an attempt before its message is out. Raise `cannotUnsend` when that is too late."""
    attempt.is_canceled = True
    if not attempt.may_be_out:
        attempt.task.cancel()
        await asyncio.wait([attempt.task])
    if attempt.may_be_out:
        raise SetError("cannotUnsend", "the message is leaving just now")
