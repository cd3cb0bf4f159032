"""What the upstream offers one login: the capabilities of its account, and the accounts of others that it may see.

Rule 1: nobody waits for news of it but the first request, and that one not for ever: what cannot be learned now is
learned later, and the login's own account works meanwhile.
Rule 2: an account of others comes when the first of its mailboxes can be selected, and goes with the last one. It
lives on the connections of the login that sees it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from gateway.account.account import Account
from gateway.account.ids import digest_id
from gateway.account.records import Applied, Need
from gateway.jmap.capability import MAIL, QUOTA
from gateway.jmap.errors import MethodError
from gateway.server.sharing import Sharing, rights_in
from gateway.sync.identity import Identity
from gateway.sync.imap_backend import ImapBackend
from gateway.sync.link import Facts
from gateway.sync.scope import Scope

log = logging.getLogger(__name__)

LOOK_S = 30.0  # between looks: a share that was granted is seen so soon
# A connection to Dovecot 2.3 looks for new owners in its shared namespace once an hour (SHARED_NS_RETRY_SECS): every
# now and then the look takes a new one.
FRESH_S = 300.0
WAIT_S = 10.0  # of the first request, for the first look; most servers answer within a second
MAX_SHARED = 50  # accounts of others that one login gets: each has an index of its own

# Any of them makes an account one that can be written to.
_WRITING = frozenset(
    (
        "mayAddItems", "mayRemoveItems", "maySetSeen", "maySetKeywords", "mayCreateChild", "mayRename", "mayDelete",
    )
)  # fmt: skip


def offered(facts: Facts) -> dict[str, dict[str, Any]]:
    """Return the capabilities that an account has by what its upstream can do."""
    return {QUOTA: {}} if "QUOTA" in facts.capabilities else {}


class Offers:
    """Of one login. `shared` are the accounts of others by id: a mapping that is replaced whole, never changed."""

    def __init__(
        self,
        own: Account,
        open_shared: Callable[[str, Scope], Awaitable[Account]],
        *,
        interval_s: float = LOOK_S,
        sees_others: bool = True,
        changed: Callable[[], None] = lambda: None,
        drop: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`open_shared` opens an account of others by its id. `changed` is called when some have come or gone.

        `drop` removes the index of one that went while nobody looked.
        """
        self._own, self._open_shared, self._changed, self._drop = own, open_shared, changed, drop
        self._interval_s, self._sees_others = interval_s, sees_others
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")
        self._fresh_at = time.monotonic()  # nothing was connected before: the first look needs no other connection
        self._has_waited = False
        self._sharing: Sharing | None = None  # where there are rights that can change
        self._telling: set[asyncio.Task[None]] = set()
        self.shared: Mapping[str, Account] = MappingProxyType({})

    @property
    def has_looked(self) -> bool:
        return self._looked_at != float("-inf")

    async def learn(self) -> None:
        """Look if it is time: wait for it where nothing is known yet, or where nothing may be old."""
        if time.monotonic() - self._looked_at < self._interval_s:
            return
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="offers")
        if not self._has_waited or not self._interval_s:
            self._has_waited = True
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    await asyncio.shield(self._looking)

    async def aclose(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
        await asyncio.gather(*(account.aclose() for account in self.shared.values()))

    async def _look(self) -> None:
        begun = time.monotonic()
        try:
            backend = _backend_of(self._own)
            facts = await backend.facts()
            self._own.capabilities.update(offered(facts))
            if self._sees_others and {"NAMESPACE", "IMAP4REV2"} & facts.capabilities:
                is_fresh = (
                    facts.identity is Identity.GUID and begun - self._fresh_at >= min(self._interval_s, 1) * FRESH_S
                )
                if self._sharing is None and "ACL" in facts.capabilities:
                    self._sharing = Sharing(self._own)
                    self._sharing.offer()
                    self._own.subscribe(self._own_applied)
                await self._follow(await backend.shared_scopes(fresh=is_fresh), facts)
                self._fresh_at = begun if is_fresh else self._fresh_at
        except MethodError as error:
            log.info("what a login is offered is not known", extra={"account": self._own.id, "error": error.kind})
        except Exception:  # of a look that nobody may wait for
            log.exception("what a login is offered is not known", extra={"account": self._own.id})
        finally:
            self._looking = None
            self._looked_at = begun

    async def _follow(self, scopes: list[Scope], facts: Facts) -> None:
        """Open the accounts that have come, and close those that have gone."""
        wanted = {self._id(scope): scope for scope in scopes[:MAX_SHARED]}
        come = [id for id in wanted if id not in self.shared]
        gone = [account for id, account in self.shared.items() if id not in wanted]
        sharing = self._sharing
        if sharing is not None:
            for id in await sharing.known() - wanted.keys() - self.shared.keys():
                if self._drop is not None:
                    await self._drop(id)
        opened = {id: await self._open(id, wanted[id], facts) for id in come}
        kept = {id: account for id, account in self.shared.items() if id in wanted}
        if come or gone:
            self.shared = MappingProxyType(kept | opened)
            self._changed()
        for account in gone:
            if sharing is not None:
                await sharing.gone(account.id)
            await account.forget()
        if sharing is not None:
            await sharing.keep(self.shared.values())

    async def _open(self, id: str, scope: Scope, facts: Facts) -> Account:
        account = await self._open_shared(id, scope)
        account.capabilities.update(offered(facts))
        if self._sharing is not None:
            self._sharing.opened(account, scope.owner, rights_in(account))
        with suppress(MethodError):  # then its mailboxes are not known yet, and neither are the rights
            await account.fresh(Need())
        _describe(account)
        if self._sharing is not None:
            await self._sharing.follow(account)
        account.subscribe(lambda applied: self._applied(account, applied))
        return account

    def _applied(self, account: Account, applied: Applied) -> None:
        if "Mailbox" not in applied.states:
            return
        _describe(account)
        if self._sharing is not None:
            self._tell(self._sharing.follow(account))
            self._tell(self._sharing.keep(self.shared.values()))

    def _own_applied(self, applied: Applied) -> None:
        if "Mailbox" in applied.states and self._sharing is not None:
            self._tell(self._sharing.keep(self.shared.values()))

    def _tell(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("changed rights were not told", exc_info=error)

    def _id(self, scope: Scope) -> str:
        return digest_id("S", self._own.id, scope.prefix, scope.owner or "")


def _describe(account: Account) -> None:
    """Say of an account of others what its mailboxes' rights say."""
    with account.snapshot() as snapshot:
        rows = snapshot.mailboxes()
    if not rows:
        return
    account.is_read_only = not any(row.facts.rights & _WRITING for row in rows)
    account.capabilities[MAIL] = {
        **account.capabilities[MAIL],
        "mayCreateTopLevelMailbox": _backend_of(account).may_create_top_level,
    }


def _backend_of(account: Account) -> ImapBackend:
    backend = account.backend
    assert isinstance(backend, ImapBackend)
    return backend
