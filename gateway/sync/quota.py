"""What an account may hold, by QUOTA (RFC 9208, RFC 2087), kept equal to the records that clients see.

Rule 1: the quota roots are those of the INBOX, or of what stands for it in a shared account.
Rule 2: one look at a time, whoever asks; it belongs to the account, not to the request.
Rule 3: where somebody watches and a client has ever asked for quotas, mail that comes or goes is followed by a look: a
burst of it by one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from gateway.account.quotas import TYPE, Quota, keep
from gateway.account.records import Applied
from gateway.jmap.errors import MethodError
from gateway.jmap.types import MAX_INT
from gateway.sync.link import Link
from gateway.upstream.imap import CommandFailed, ImapError
from gateway.upstream.imap.commands.getquota import GetQuotaRoot, QuotaRoot

log = logging.getLogger(__name__)

AFTER_MAIL_S = 3.0  # between a change of mail and the look that follows it
MAX_ASKED = 3  # mailboxes of a shared account, until one tells: they count towards one root
MAX_QUOTAS = 100  # a server has two or three roots of as many resources
MAX_NAME_CHARACTERS = 255

_EMAIL, _MAILBOX = ("Email",), ("Mailbox",)
_STORAGE_OCTETS = 1024  # the unit of STORAGE (RFC 9208 section 5.1)
# X-NUM-FOLDERS is Cyrus's word for what RFC 9208 calls MAILBOX.
_RESOURCES = {
    "STORAGE": ("octets", _EMAIL),
    "MESSAGE": ("count", _EMAIL),
    "MAILBOX": ("count", _MAILBOX),
    "X-NUM-FOLDERS": ("count", _MAILBOX),
}


class Quotas:
    """The quotas of one account."""

    def __init__(self, link: Link, *, max_staleness_s: float, is_watched: Callable[[], bool]) -> None:
        self._link, self._max_staleness_s, self._is_watched = link, max_staleness_s, is_watched
        self._running: asyncio.Task[None] | None = None
        self._fresh_at = float("-inf")  # when the last look that succeeded began
        self._soon: asyncio.TimerHandle | None = None
        self._unsubscribe = link.account.subscribe(self._changed)

    async def refresh(self) -> None:
        """Return once the records are as the upstream was `max_staleness_s` ago, or later. Raises ImapError."""
        oldest = time.monotonic() - self._max_staleness_s
        while self._fresh_at < oldest:
            await asyncio.shield(self._start())

    async def aclose(self) -> None:
        self._unsubscribe()
        if self._soon is not None:
            self._soon.cancel()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _changed(self, applied: Applied) -> None:
        is_asked = TYPE in self._link.account.user_records.states
        if "Email" in applied.states and self._soon is None and is_asked and self._is_watched():
            self._soon = asyncio.get_running_loop().call_later(AFTER_MAIL_S, self._follow)

    def _follow(self) -> None:
        self._soon = None
        self._start()

    def _start(self) -> asyncio.Task[None]:
        if self._running is None:
            self._running = asyncio.create_task(self._look())
            self._running.add_done_callback(_told)
        return self._running

    async def _look(self) -> None:
        begun = time.monotonic()
        try:
            facts = await self._link.facts()
            roots = await self._roots() if "QUOTA" in facts.capabilities else []
            await keep(self._link.account.user_records, quotas_of(roots))
        finally:
            self._running = None
        self._fresh_at = begun

    async def _roots(self) -> Sequence[QuotaRoot]:
        async with self._link.connection(shares=True) as connection:
            for path in self._paths()[:MAX_ASKED]:
                try:
                    return await connection.run(GetQuotaRoot(path))
                except CommandFailed:
                    continue  # no right to know of that mailbox; Dovecot tells nobody of others' quotas
        return ()

    def _paths(self) -> list[str]:
        """Return the mailboxes to ask about, the most telling one first."""
        scope = self._link.scope
        if scope.is_personal:
            return ["INBOX"]
        return sorted(row.facts.path for row in self._link.mailboxes().values() if row.facts.is_selectable)


def quotas_of(roots: Sequence[QuotaRoot]) -> list[Quota]:
    """Return the limits that have a meaning in JMAP."""
    found = {
        quota.id: quota
        for root in roots
        for resource, (used, limit) in root.resources.items()
        if resource in _RESOURCES
        for quota in [_quota(root.name[:MAX_NAME_CHARACTERS], resource, used, limit)]
    }
    return list(found.values())[:MAX_QUOTAS]


def _quota(root: str, resource: str, used: int, limit: int) -> Quota:
    resource_type, types = _RESOURCES[resource]
    unit = _STORAGE_OCTETS if resource == "STORAGE" else 1
    return Quota(root, resource, resource_type, types, min(used * unit, MAX_INT), min(limit * unit, MAX_INT))


def _told(look: asyncio.Task[None]) -> None:
    """Say why a look that nobody waits for failed; the next one may not."""
    error = None if look.cancelled() else look.exception()
    if isinstance(error, ImapError | MethodError):
        log.info("quotas were not looked at", extra={"error": type(error).__name__})
    elif error is not None:
        log.error("quotas were not looked at", exc_info=error)
