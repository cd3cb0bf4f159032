"""Everything that sends mail, put together: the submission servers, the outbox, and the accounts that may use them.

Rule 1: an account has the submission capability once its server was reached, and keeps it while the server is away:
        what EHLO said is in the store.
Rule 2: a login is kept (`kept`) while its account has mail that waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import orjson

from gateway.account.account import Account
from gateway.account.submitting import JOBS
from gateway.auth.caller import Caller
from gateway.config import Config
from gateway.jmap.capability import MDN, SUBMISSION, submission_account_capability
from gateway.methods.envelope import shown_extensions
from gateway.metrics import Metrics
from gateway.outbox import Desk, Outbox, Receipts, Spool
from gateway.server.directory import Directory
from gateway.server.kept import KeptLogins
from gateway.server.upstreams import smtp_server
from gateway.store.api import OutgoingStore, UserStore
from gateway.upstream.sasl import OAuthCredentials
from gateway.upstream.smtp import Ehlo, SmtpError, SmtpServer

FIRST_LOOK_S = 3.0  # how long the first login waits for a server that was never reached
LOOK_AGAIN_S = (5.0, 15.0, 60.0)  # while it was not reached; then the last one
LOOK_S = 3600.0  # what a server offers changes when it is upgraded

log = logging.getLogger(__name__)


class SentLogins:
    """The logins of the accounts that send (`outbox.Logins`)."""

    def __init__(self, kept: KeptLogins) -> None:
        self._kept = kept
        self.directory: Directory | None = None

    async def of(self, account_id: str) -> Caller | None:
        return self._newest(account_id) or await self._kept.caller(account_id)

    async def keep(self, account_id: str) -> None:
        caller = self._newest(account_id) or await self._kept.caller(account_id)
        if caller is not None:
            await self._kept.keep(caller, "outbox")

    async def release(self, account_id: str) -> None:
        await self._kept.drop(account_id, "outbox")

    def _newest(self, account_id: str) -> Caller | None:
        return self.directory.caller_of(account_id) if self.directory is not None else None


class Sending:
    """One for the gateway. `directory` is set before anything comes in; `start()` goes on where it was left."""

    def __init__(
        self, config: Config, store: UserStore, outgoing: OutgoingStore, kept: KeptLogins, metrics: Metrics
    ) -> None:
        self._store, self._kept = store, kept
        found = {name: smtp_server(upstream) for name, upstream in config.upstreams.items()}
        self.servers: dict[str, SmtpServer] = {name: server for name, server in found.items() if server is not None}
        self._logins = SentLogins(kept)
        self.outbox = Outbox(
            store=store,
            spool=Spool(outgoing),
            servers=self.servers,
            logins=self._logins,
            account_of=self._account_of,
            open_account=self._open_account,
            on_attempt=metrics.submission_done,
        )
        self._looked = {name: asyncio.Event() for name in self.servers}
        self._receipts: dict[str, Receipts] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.gauge("submissions_waiting", "Messages that wait to be sent", self.outbox.waiting)

    @property
    def directory(self) -> Directory:
        assert self._logins.directory is not None
        return self._logins.directory

    @directory.setter
    def directory(self, directory: Directory) -> None:
        self._logins.directory = directory

    async def start(self, is_ours: Callable[[str], bool]) -> None:
        for name, server in self.servers.items():
            known = await self._store.fact(_fact(name))
            if known is not None:
                server.ehlo, server.is_of_login = _read(known)
                self._looked[name].set()
            server.on_ehlo = partial(self._said, name, server)
            self._run(self._learn(name, server))
        await self.outbox.start(is_ours)

    async def owners(self) -> set[str]:
        """Return the accounts that have mail that waits."""
        return set(await self._store.record_accounts(JOBS))

    async def begin(self, account_id: str) -> None:
        """Go on with the mail of one account."""
        if await self.outbox.begin(account_id):
            self._kept.load([account_id], "outbox")

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.outbox.aclose()

    async def attach(self, account: Account, caller: Caller) -> None:
        """Let an account that was opened send, if its server was reached, or is now."""
        server = self.servers.get(caller.upstream)
        if server is None:
            return
        try:
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._looked[caller.upstream].wait()
                if not server.is_of_login:
                    await server.verify(caller.credentials)
        except TimeoutError:
            pass
        except SmtpError as error:  # what it says to anybody will do
            log.info("no login for sending", extra={"upstream": caller.upstream, "reason": str(error)})
        await self._offer(account, server, caller)

    async def detach(self, account: Account) -> None:
        """An account is about to be closed."""
        receipts = self._receipts.pop(account.id, None)
        if receipts is not None:
            await receipts.aclose()

    def brought(self, caller: Caller) -> None:
        """A caller has come whose credentials are new: what waits for them is tried."""
        self._run(self.outbox.logged_in(caller.account_id))

    async def _offer(self, account: Account, server: SmtpServer, caller: Caller) -> None:
        if server.ehlo is None:
            return
        desk = Desk(self.outbox, account, server, has_token=isinstance(caller.credentials, OAuthCredentials))
        account.submitter = desk
        offers = desk.offers
        account.capabilities[MDN] = {}  # its receipts are sent the same way
        account.capabilities[SUBMISSION] = submission_account_capability(offers.max_delay_s, shown_extensions(offers))
        if account.id not in self._receipts:
            receipts = self._receipts[account.id] = Receipts(account)
            await receipts.start()

    async def _learn(self, name: str, server: SmtpServer) -> None:
        """Ask what a server offers: at once, and now and then."""
        failures = 0
        while True:
            try:
                await server.learn()
            except SmtpError as error:
                if failures == 0:
                    log.warning("the server for sending cannot be used", extra={"upstream": name, "reason": str(error)})
                wait_s = LOOK_AGAIN_S[min(failures, len(LOOK_AGAIN_S) - 1)]
                failures += 1
            else:
                failures, wait_s = 0, LOOK_S
            await asyncio.sleep(wait_s)

    def _said(self, name: str, server: SmtpServer) -> None:
        """The server says something new of itself."""
        self._run(self._tell(name, server))

    async def _tell(self, name: str, server: SmtpServer) -> None:
        await self._store.put_fact(_fact(name), _written(server))
        self._looked[name].set()
        for account in self.directory.accounts():
            caller = self.directory.caller_of(account.id)
            if caller is not None and caller.upstream == name:
                await self._offer(account, server, caller)

    def _account_of(self, account_id: str) -> Account | None:
        return self.directory.account_of(account_id)

    async def _open_account(self, account_id: str) -> Account | None:
        caller = await self._logins.of(account_id)
        return (await self.directory.accounts_of(caller)).get(account_id) if caller is not None else None

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("sending", exc_info=error)


def _fact(upstream: str) -> str:
    return f"ehlo {upstream}"


def _written(server: SmtpServer) -> bytes:
    assert server.ehlo is not None
    value = {"extensions": dict(server.ehlo.extensions), "is_of_login": server.is_of_login}
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _read(octets: bytes) -> tuple[Ehlo, bool]:
    value = orjson.loads(octets)
    return Ehlo({name: tuple(words) for name, words in value["extensions"].items()}), value["is_of_login"]
