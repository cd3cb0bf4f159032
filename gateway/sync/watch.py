"""Keep the index of one account equal to its upstream for as long as somebody wants to hear of changes.

Best available: NOTIFY (RFC 5465), one connection for all mailboxes; else IDLE (RFC 2177) on INBOX and a look at all
mailboxes every few seconds; else those looks alone.

Rule 1: it runs while there is demand, and a while longer.
Rule 2: it takes one connection of the account's budget. With a budget of one it takes none, and looks instead.
Rule 3: after every gap in the listening comes a look at all mailboxes; it vouches for the index only without a gap.
Rule 4: whatever the upstream does costs this account alone: every wait ends, work is followed by rest, and what fails
is tried again later each time.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from gateway.jmap.errors import MethodError
from gateway.sync.link import Link
from gateway.sync.plan import Tier
from gateway.sync.refresh import Refresher
from gateway.sync.rush import Rush
from gateway.sync.schedule import Schedule
from gateway.sync.told import is_enough
from gateway.sync.watch_news import News
from gateway.upstream.imap import CommandFailed, Connection, ImapError, StatusItems
from gateway.upstream.imap.commands.notify import Notify

log = logging.getLogger(__name__)

LINGER_S = 60.0  # a client that reloads its page comes back sooner
RENEW_S = 300.0  # a look at all mailboxes, which also keeps NATs from dropping a quiet flow
PROVEN_S = 60.0  # for so long after a look a silent connection is believed; a request then begins the next look
SWEEP_S = 5.0  # between looks where nothing tells of changes in all mailboxes
SHARED_SWEEP_S = 20.0  # the same in accounts of others: a login may see dozens, and they share its connections
SWEEP_SHARE = 0.1  # of the time at most goes into those looks, if they take long
AGAIN_S = 5.0  # at least so often while there is news: of a hundred changes one after another Dovecot 2.3 forgets one
QUIET_S = 20.0  # without news: then the index lets go of its connections, which come back in a millisecond
RETRY_FIRST_S = 1.0
RETRY_LIMIT_S = 300.0
LIVED_S = 30.0  # listening for so long makes earlier failures forgotten
REST_SHARE = 1.0  # of the time that work took, before more of it
REST_LIMIT_S = 5.0

# All of these, or nothing is vouched for: NOTIFY that tells of new mail only would leave flags to the looks.
_EVENTS = "MessageNew MessageExpunge FlagChange"
_WANTED = (f"{_EVENTS} MailboxName SubscriptionChange", f"{_EVENTS} MailboxName")


class Watcher:
    """Watches one account. `watch()` begins; the function it returns ends."""

    def __init__(self, link: Link, refresher: Refresher, schedule: Schedule, rush: Rush) -> None:
        self._link, self._refresher, self._schedule, self._rush = link, refresher, schedule, rush
        self._demand = 0
        self._task: asyncio.Task[None] | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._retry = asyncio.Event()
        self._news: News | None = None  # of the connection that listens to all mailboxes
        self._is_working = False
        self._looked_at = self._told_at = float("-inf")
        self._is_closed = False
        refresher.is_vouched_for = self.vouches
        schedule.on_indexed = self._indexed

    def watch(self) -> Callable[[], None]:
        """Keep the index equal to the upstream until the returned function is called."""
        self._demand += 1
        self._retry.set()
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if not self._is_closed and self._task is None:
            self._task = asyncio.create_task(self._run(), name="watch")
        demands = [1]

        def end() -> None:
            if demands:
                demands.clear()
                self._demand -= 1
                if not self._demand and not self._is_closed:
                    self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._stop)

        return end

    def is_wanted(self) -> bool:
        """Tell whether anybody wants to hear of changes."""
        return self._demand > 0

    def vouches(self) -> bool:
        """Tell whether the index holds all that the upstream has told, and the upstream tells of everything."""
        news = self._news
        if news is None or news.is_pending or self._is_working:
            return False
        if time.monotonic() - self._looked_at > PROVEN_S:
            news.want_sweep()
        return True

    async def aclose(self) -> None:
        """Stop watching, whoever wants it."""
        self._is_closed = True
        if self._lingering is not None:
            self._lingering.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _indexed(self, mailbox_id: str) -> None:
        """Look again at a mailbox that was indexed: what changed meanwhile was not read."""
        row = self._link.mailboxes().get(mailbox_id)
        if self._news is not None and row is not None:
            self._news.tell(row.facts.path, {})

    # ------------------------------------------------------------ again and again

    async def _run(self) -> None:
        failures = 0
        while True:
            begun = time.monotonic()
            self._retry.clear()
            try:
                while self._link.may_listen and await self._listen():
                    pass
                await self._look_only()
            except ImapError as error:
                log.info("watching was interrupted", extra={"error": type(error).__name__, "code": error.code})
            except MethodError as error:  # of the index
                log.info("watching was interrupted", extra={"error": error.kind})
            failures = 1 if time.monotonic() - begun > LIVED_S else failures + 1
            wait_s = min(RETRY_LIMIT_S, RETRY_FIRST_S * 2 ** min(failures - 1, 20)) * random.uniform(0.5, 1.0)
            with suppress(TimeoutError):  # somebody new may bring other credentials
                async with asyncio.timeout(wait_s):
                    await self._retry.wait()

    async def _listen(self) -> bool:
        """Listen until something fails; return whether to go on with another connection, else nothing is offered."""
        await self._rush.over()
        async with self._link.listening() as connection:
            facts = await self._link.facts()
            if "NOTIFY" in facts.capabilities and facts.tier is not Tier.NEITHER:
                news = News(clock=time.monotonic)
                self._attach(connection, news)
                if await _set_notify(connection) and await self._follow_notify(connection, news):
                    return True
            if "IDLE" in facts.capabilities or "IMAP4REV2" in facts.capabilities:
                news = News(clock=time.monotonic, selected="INBOX")
                self._attach(connection, news)
                await self._follow_idle(connection, news)
        return False

    def _attach(self, connection: Connection, news: News) -> None:
        def hear(event: object) -> None:
            news.hear(event)  # type: ignore[arg-type] # an Event: the callback's own type
            if news.is_flooded:
                connection.close()

        connection.on_unsolicited, connection.on_closed = hear, news.end

    async def _follow_notify(self, connection: Connection, news: News) -> bool:
        """Listen until something fails, or until another connection would hear more: then return True.

        Dovecot 2.3 does not tell of the RENAME of a mailbox that came after NOTIFY, once its STATUS was asked.
        """
        self._link.share(connection)
        self._news = news
        news.want_sweep()
        try:
            while True:
                if news.has_overflown:
                    news.has_overflown = False
                    if not await _set_notify(connection):
                        return False
                    news.want_sweep()
                await self._work_off(news)
                if self._told_at > self._looked_at:
                    left_s = self._looked_at + AGAIN_S - time.monotonic()
                    if left_s <= 0 or not await _come(news, left_s):
                        news.want_sweep()
                    continue
                if await _come(news, QUIET_S):
                    continue
                if news.has_tree_changed:
                    return True
                self._link.account.release()
                if not await _come(news, RENEW_S * random.uniform(0.8, 1.0)):
                    news.want_sweep()
        finally:
            self._news = None

    async def _follow_idle(self, connection: Connection, news: News) -> None:
        await connection.select("INBOX", condstore="CONDSTORE" not in connection.enabled)
        idling = asyncio.create_task(connection.idle(lambda _: None))
        idling.add_done_callback(lambda _: news.has_come.set())
        try:
            while not idling.done():
                news.want_sweep()
                until = time.monotonic() + max(SWEEP_S, await self._work_off(news) / SWEEP_SHARE)
                while (left_s := until - time.monotonic()) > 0 and not idling.done():
                    if await _come(news, left_s):
                        await self._work_off(news)
        finally:
            idling.cancel()
            await asyncio.gather(idling, return_exceptions=True)
        await idling  # raises what ended it

    async def _look_only(self) -> None:
        while True:
            begun = time.monotonic()
            await self._refresher.catch_up()
            self._schedule.wake()
            at_least_s = SWEEP_S if self._link.scope.is_personal else SHARED_SWEEP_S
            await asyncio.sleep(max(at_least_s, (time.monotonic() - begun) / SWEEP_SHARE) * random.uniform(0.9, 1.1))

    # ------------------------------------------------------------ work

    async def _work_off(self, news: News) -> float:
        """Do what the news asks for until there is none, with rests between. Return how long the first took."""
        first_s = None
        while news.is_pending:
            if news.ended is not None:
                raise news.ended
            if news.has_overflown:
                break
            begun = time.monotonic()
            self._is_working = True
            try:
                await self._catch_up(news.take())
            finally:
                self._is_working = False
            took_s = time.monotonic() - begun
            first_s = took_s if first_s is None else first_s
            if news.is_pending:
                await asyncio.sleep(min(REST_LIMIT_S, took_s * REST_SHARE))
        return first_s or 0.0

    async def _catch_up(self, told: Mapping[str, StatusItems] | None) -> None:
        if told is None:
            begun = time.monotonic()
            await self._refresher.catch_up()
            self._looked_at = begun
        else:
            self._told_at = time.monotonic()
            await self._refresher.catch_up(await self._completed(told))
        self._schedule.wake()

    async def _completed(self, told: Mapping[str, StatusItems]) -> dict[str, StatusItems] | None:
        """Ask for the numbers that were not told; None when one cannot be asked for: look at all."""
        tier = (await self._link.facts()).tier
        completed = dict(told)
        lacking = [path for path, items in told.items() if not is_enough(items, tier)]
        if lacking:
            async with self._link.connection(shares=True) as connection:
                for path in lacking:
                    try:
                        completed[path] = await connection.status(path, STATUS_ITEMS)
                    except CommandFailed:
                        return None
        return completed


STATUS_ITEMS = ("MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ")


async def _set_notify(connection: Connection) -> bool:
    """Ask to be told of everything; return whether the server agreed. Raises ImapError."""
    for events in _WANTED:
        try:
            await connection.run(Notify(f"SET (PERSONAL ({events}))"))
        except CommandFailed:
            continue  # [BADEVENT], or too much for it
        return True
    return False


async def _come(news: News, timeout_s: float) -> bool:
    """Wait for news; return whether any came."""
    if news.is_pending:
        return True
    try:
        async with asyncio.timeout(timeout_s):
            await news.has_come.wait()
    except TimeoutError:
        return False
    return True
