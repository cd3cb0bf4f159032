"""The outbox of the gateway: tries to send what is due, and writes down what became of it.

Rule 1: one attempt at a time for one submission. An attempt is a task of its own: nobody's request ends it.
Rule 2: a result is written until it is written; until then the intent stands, and the message is not sent again.
Rule 3: an attempt that somebody waits for and that is refused for good leaves nothing behind but the refusal.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from gateway.account.account import Account
from gateway.account.backend import WHOLE, SectionVanished
from gateway.account.submitting import JOBS, SUBMISSIONS, Prepared
from gateway.account.user_records import Record, UserRecords
from gateway.jmap.errors import MethodError
from gateway.message.outgoing import HeaderTooLong
from gateway.outbox import verdict as judge
from gateway.outbox.job import JAMMED_S, Job
from gateway.outbox.schedule import Key, Schedule
from gateway.outbox.spool import Gone, Spool
from gateway.outbox.verdict import Verdict
from gateway.store.api import RecordStore, StoreError
from gateway.upstream.sasl import Credentials
from gateway.upstream.smtp import BadAddress, LoginRefused, Message, Reply, SmtpError, SmtpServer

NO_LOGIN = "waiting until the sender logs in again"
WRITE_AGAIN_S = 5.0  # a disk that is full may not be in a while
ENDING_S = 0.1
CLOSING_S = 10.0  # how long a stop waits for the replies to messages that are out

log = logging.getLogger(__name__)


class Login(Protocol):
    """Who sends."""

    @property
    def upstream(self) -> str: ...
    @property
    def credentials(self) -> Credentials: ...


class Logins(Protocol):
    """The logins that messages are sent with, kept over a restart while there is something to send."""

    async def of(self, account_id: str) -> Login | None: ...

    async def keep(self, account_id: str) -> None: ...

    async def release(self, account_id: str) -> None: ...


class Canceled(Exception):
    """The sender wants the message back, in time."""


@dataclass(eq=False, slots=True)
class Attempt:
    """An attempt under way. `refusal`, in the end: it was awaited and refused for good."""

    is_awaited: bool = False
    is_canceled: bool = False
    may_be_out: bool = False
    has_new_login: bool = False  # one came while it was under way
    refusal: SmtpError | None = None
    task: asyncio.Task[None] = field(init=False)


class Outbox:
    """One for the gateway. `account_of` gives an account that is open, `open_account` opens it."""

    def __init__(
        self,
        *,
        store: RecordStore,
        spool: Spool,
        servers: Mapping[str, SmtpServer],
        logins: Logins,
        account_of: Callable[[str], Account | None],
        open_account: Callable[[str], Awaitable[Account | None]],
        on_attempt: Callable[[str], None] = lambda _outcome: None,
    ) -> None:
        self._store, self.spool, self._servers, self.logins = store, spool, servers, logins
        self._account_of, self._open_account, self._on_attempt = account_of, open_account, on_attempt
        self.schedule = Schedule(self._due)
        self.attempts: dict[Key, Attempt] = {}
        self._runner: asyncio.Task[None] | None = None

    async def start(self, is_ours: Callable[[str], bool] = lambda _account_id: True) -> None:
        """Sweep what a crash has left of the accounts that are ours; then wait for what `begin` brings."""
        for account_id, ids in (await self.spool.litter()).items():
            if is_ours(account_id):
                view = await self.records(account_id).look(JOBS, None)
                for id in set(ids) - view.by_id.keys():
                    await self.spool.drop(account_id, id)
        self._runner = asyncio.create_task(self.schedule.run(), name="outbox")

    async def begin(self, account_id: str) -> int:
        """Go on with what the store holds of one account; return how many messages wait."""
        view = await self.records(account_id).look(JOBS, None)
        for id, record in view.by_id.items():
            if (account_id, id) not in self.attempts:
                self.schedule.put((account_id, id), Job.read(record).next_s)
        return len(view.by_id)

    async def end(self, account_id: str, *, is_lost: bool = False) -> None:
        """Leave what waits to somebody else. What is out is given a while to be answered, unless it is lost."""
        for key in self.schedule.keys(account_id):
            self.schedule.drop(key)
        mine = [attempt for key, attempt in self.attempts.items() if key[0] == account_id]
        out = [attempt.task for attempt in mine if attempt.may_be_out]
        for attempt in mine:
            if is_lost or not attempt.may_be_out:
                attempt.task.cancel()
        if out and not is_lost:
            await asyncio.wait(out, timeout=CLOSING_S)
        for attempt in mine:
            attempt.task.cancel()
        await asyncio.gather(*(attempt.task for attempt in mine), return_exceptions=True)
        for key in self.schedule.keys(account_id):  # what an attempt has put there when it was over
            self.schedule.drop(key)

    async def aclose(self) -> None:
        """Stop. What is out is given a while to be answered."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        out = [attempt.task for attempt in self.attempts.values() if attempt.may_be_out]
        if out:
            await asyncio.wait(out, timeout=CLOSING_S)
        tasks = [attempt.task for attempt in self.attempts.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def waiting(self) -> int:
        """Return how many submissions are yet to be sent."""
        return len(self.schedule) + len(self.attempts)

    def has_work(self, account_id: str) -> bool:
        """Tell whether a message of this account waits or is on its way."""
        return bool(self.schedule.keys(account_id)) or self.is_working(account_id)

    def is_working(self, account_id: str) -> bool:
        """Tell whether a message of this account is on its way just now."""
        return any(key[0] == account_id for key in self.attempts)

    async def logged_in(self, account_id: str) -> None:
        """Try what waits for a login: there are new credentials."""
        for key, attempt in self.attempts.items():
            attempt.has_new_login = attempt.has_new_login or key[0] == account_id
        if keys := self.schedule.keys(account_id):
            view = await self.records(account_id).look(JOBS, None)
            for key in keys:
                if key[1] in view.by_id and view.by_id[key[1]]["waits_for_login"] and key in self.schedule:
                    self.schedule.put(key, time.time())

    def records(self, account_id: str) -> UserRecords:
        account = self._account_of(account_id)
        if account is not None:
            return account.user_records
        return UserRecords(self._store, account_id, lambda _states: None)  # nobody can be listening

    def attempt(self, key: Key, *, is_awaited: bool = False) -> Attempt:
        """Begin an attempt."""
        attempt = self.attempts[key] = Attempt(is_awaited)
        attempt.task = asyncio.create_task(self._attempt(key, attempt), name=f"send {key[1]}")
        attempt.task.add_done_callback(lambda _task: self.attempts.pop(key, None))
        return attempt

    def _due(self, key: Key) -> None:
        if key in self.attempts:  # the last one is just ending
            self.schedule.put(key, time.time() + ENDING_S)
        else:
            self.attempt(key)

    # ------------------------------------------------------------ one attempt

    async def _attempt(self, key: Key, attempt: Attempt) -> None:
        try:
            record = (await self.records(key[0]).look(JOBS, [key[1]])).by_id.get(key[1])
            if record is None:
                return
            job = Job.read(record)
            verdict = await self._send(key, job, attempt)
            if verdict is not None:
                await self._settle(key, job, verdict, attempt)
        except Exception:
            log.exception("an attempt to send failed", extra={"account": key[0]})
            self.schedule.put(key, time.time() + JAMMED_S)

    async def _send(self, key: Key, job: Job, attempt: Attempt) -> Verdict | None:
        """Send, and judge. None: there is nothing to be written down."""
        is_late = job.is_late(time.time())
        if job.intent is not None:  # the gateway was killed with the message out
            self._on_attempt("unknown")
            return judge.doubtful(job.intent, job.addresses, is_late=is_late)
        login = await self.logins.of(key[0])
        server = self._servers.get(login.upstream) if login is not None else None
        if login is None or server is None:
            self._on_attempt("no login")
            return judge.failed(LoginRefused("login", NO_LOGIN), job.addresses, is_late=is_late)
        try:
            message = await self._message(key, job)
            submitted = await server.submit(
                login.credentials, job.envelope(), message, partial(self._before_end, key, job, attempt)
            )
        except Canceled:
            return None
        except (Gone, SectionVanished, HeaderTooLong):
            return judge.lost(judge.GONE, job.addresses)
        except BadAddress as error:
            return judge.lost(f"553 5.1.3 {error}", job.addresses)
        except MethodError as error:  # the message has to be fetched again, and the upstream cannot be asked
            return judge.failed(SmtpError("connect", str(error.description)), job.addresses, is_late=is_late)
        except SmtpError as error:
            verdict = judge.failed(error, job.addresses, is_late=is_late)
            self._on_attempt("unknown" if verdict.has_left else "deferred" if verdict.left else "refused")
            if attempt.is_awaited and judge.is_refusal(error, verdict):
                attempt.refusal = error
                await self._undo(key)
                return None
            return verdict
        self._on_attempt("sent")
        return judge.taken(submitted, job.addresses, is_late=is_late)

    async def _before_end(self, key: Key, job: Job, attempt: Attempt, replies: dict[str, Reply]) -> None:
        """Write down that the message may be out from now on."""
        if attempt.is_canceled:
            raise Canceled
        attempt.may_be_out = True
        intent = {address: reply.line for address, reply in replies.items()}
        try:
            await self.records(key[0]).write(JOBS, {key[1]: replace(job, intent=intent).record()})
        except StoreError as error:
            attempt.may_be_out = False
            raise SmtpError("data", f"the outbox cannot be written ({error})") from error

    async def _message(self, key: Key, job: Job) -> Message:
        """Return the message: as it was put aside, or else as the upstream has it."""
        if not await self.spool.has(*key):
            account = await self._open_account(key[0])
            if account is None:
                raise Gone
            prepared: Prepared = await self.spool.put(*key, account.backend.stream_section(job.email_id, WHOLE))
            job = replace(job, size_octets=prepared.size_octets, is_8bit=prepared.is_8bit)

        def octets() -> AsyncIterator[bytes]:
            return self.spool.octets(*key)

        return Message(octets, job.size_octets, is_8bit=job.is_8bit, has_utf8_headers=job.has_utf8_headers)

    # ------------------------------------------------------------ what is written down

    async def _settle(self, key: Key, job: Job, verdict: Verdict, attempt: Attempt) -> None:
        """Write the result, however long that takes; then go on, or let go of what is done."""
        account_id, id = key
        left = job.after(verdict, time.time())
        if left is not None:
            await self.logins.keep(account_id)
        while True:
            try:
                records = self.records(account_id)
                async with records.lock:
                    writes: dict[str, dict[str, Record | None]] = {JOBS: {id: left.record() if left else None}}
                    submission = (await records.look(SUBMISSIONS, [id])).by_id.get(id)
                    if submission is not None:  # its record may be destroyed meanwhile: that changes no delivery
                        writes[SUBMISSIONS] = {id: _with(submission, verdict)}
                    await records.write_all(writes)
                break
            except (StoreError, OSError) as error:
                log.error("what became of a message cannot be written", extra={"reason": str(error)})
                await asyncio.sleep(WRITE_AGAIN_S)
        if left is not None:
            is_now = left.waits_for_login and attempt.has_new_login
            self.schedule.put(key, time.time() if is_now else left.next_s)
        else:
            await self.ended(key)

    async def _undo(self, key: Key) -> None:
        await self.records(key[0]).write_all({JOBS: {key[1]: None}, SUBMISSIONS: {key[1]: None}})
        await self.ended(key)

    async def ended(self, key: Key) -> None:
        """Let go of what was kept for a submission that is done."""
        self.schedule.drop(key)
        await self.spool.drop(*key)
        others = [*self.schedule.keys(key[0]), *(one for one in self.attempts if one[0] == key[0] and one != key)]
        if not others:
            await self.logins.release(key[0])


def _with(submission: Record, verdict: Verdict) -> Record:
    has_settled = verdict.has_left or not verdict.left
    return {
        **submission,
        "undoStatus": "final" if has_settled else submission["undoStatus"],
        "deliveryStatus": {**(submission["deliveryStatus"] or {}), **verdict.statuses},
    }
