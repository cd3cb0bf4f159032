"""`account.Backend` over IMAP: the border where an upstream fault becomes a method error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing

from gateway.account.account import Account
from gateway.account.backend import EmailChange, MailboxChange, NewEmail, NewMailbox, SectionRequest
from gateway.account.records import Need, TextCriterion
from gateway.account.sort_orders import SortOrders
from gateway.jmap.errors import SetError
from gateway.sync import details, sections, sizes
from gateway.sync.acl_writes import AclWriter
from gateway.sync.link import Facts, Link, Meter, translated
from gateway.sync.listing import Lister
from gateway.sync.mailbox_writes import MailboxWrites
from gateway.sync.quota import Quotas
from gateway.sync.refresh import Refresher
from gateway.sync.rush import Rush
from gateway.sync.schedule import Schedule
from gateway.sync.scope import PERSONAL, Scope
from gateway.sync.search import search
from gateway.sync.watch import Watcher
from gateway.sync.writes.running import Writes
from gateway.upstream.imap import Pool


class ImapBackend:
    """The upstream behind one account. Owns the background work, and the pool of a login; `close()` ends both."""

    def __init__(
        self,
        account: Account,
        pool: Pool,
        *,
        max_staleness_s: float,
        meter: Meter | None = None,
        on_refused: Callable[[], None] = lambda: None,
        sort_orders: SortOrders | None = None,
        scope: Scope = PERSONAL,
        rush: Rush | None = None,
    ) -> None:
        """`on_refused` is called when the upstream refuses a login that it accepted before.

        `sort_orders` is where mailboxes' sort orders are kept for want of METADATA; None: nowhere, until the end.
        `scope` says which of the login's mailboxes these are. The pool is closed with the backend of the login's own.
        `rush` is of the node.
        """
        self._link = Link(account, pool, meter, on_refused, scope=scope)
        self._lister = lister = Lister(self._link, sort_orders)
        self._refresher = Refresher(self._link, lister, max_staleness_s=max_staleness_s)
        self._acls = AclWriter(self._link, self._refresher, lister.acls)
        rush = rush or Rush()
        self._schedule = Schedule(self._link, rush)
        self._mailboxes = MailboxWrites(self._link, self._refresher, lister, self._schedule)
        self._watcher = Watcher(self._link, self._refresher, self._schedule, rush)
        self._writes = Writes(self._link)
        self._quotas = Quotas(self._link, max_staleness_s=max_staleness_s, is_watched=self._watcher.is_wanted)

    async def facts(self) -> Facts:
        """Return what the upstream offers this account."""
        with translated():
            return await self._link.facts()

    @property
    def may_create_top_level(self) -> bool:
        """Whether a mailbox without a parent can be created, as far as the last look told."""
        return self._lister.may_create_top_level

    async def shared_scopes(self, *, fresh: bool) -> list[Scope]:
        """Return what others let this login see; with `fresh` as one sees it who has just logged in."""
        with translated():
            return await self._link.shared_scopes(fresh=fresh)

    def is_filling(self) -> bool:
        return self._schedule.is_working()

    async def refresh(self, need: Need) -> None:
        with translated():
            await self._refresher.refresh()
            await self._schedule.ensure(need)

    async def load_details(self, email_ids: Sequence[str]) -> None:
        with translated():
            await details.load_details(self._link, email_ids)

    async def load_sizes(self, email_ids: Sequence[str]) -> None:
        with translated():
            await sizes.load_sizes(self._link, email_ids)

    async def load_sections(self, requests: Sequence[SectionRequest]) -> Mapping[tuple[str, str], bytes]:
        with translated():
            return await sections.load_sections(self._link, requests)

    async def stream_section(self, email_id: str, section: str) -> AsyncIterator[bytes]:
        with translated():
            async with aclosing(sections.stream_section(self._link, email_id, section)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def search(self, criterion: TextCriterion, mailbox_ids: frozenset[str] | None) -> set[str]:
        with translated():
            return await search(self._link, criterion, mailbox_ids)

    async def change_emails(self, changes: Sequence[EmailChange]) -> Mapping[str, SetError]:
        with translated():
            return await self._writes.change_emails(changes)

    async def append_email(self, email: NewEmail) -> str:
        with translated():
            return await self._writes.append_email(email)

    async def create_mailbox(self, mailbox: NewMailbox) -> str:
        with translated():
            return await self._writes.to_its_end(self._mailboxes.create(mailbox))

    async def change_mailbox(self, change: MailboxChange) -> None:
        with translated():
            await self._writes.to_its_end(self._mailboxes.change(change))

    async def destroy_mailbox(self, mailbox_id: str, *, remove_emails: bool = False) -> None:
        with translated():
            await self._writes.to_its_end(self._mailboxes.destroy(mailbox_id, remove_emails=remove_emails))

    async def load_shares(self) -> None:
        with translated():
            if not self._lister.acls.is_wanted:
                self._lister.acls.is_wanted = True
                await self._refresher.catch_up()

    async def change_shares(self, mailbox_id: str, changes: Mapping[str, frozenset[str] | None]) -> None:
        with translated():
            await self._writes.to_its_end(self._acls.change(mailbox_id, changes))

    async def refresh_quotas(self) -> None:
        with translated():
            await self._quotas.refresh()

    def audit_soon(self, mailbox_id: str) -> None:
        """Compare a mailbox with its upstream whole in the next sweep."""
        self._refresher.audit_soon(mailbox_id)

    def watch(self) -> Callable[[], None]:
        return self._watcher.watch()

    async def close(self) -> None:
        await self._watcher.aclose()
        await self._quotas.aclose()
        await self._writes.aclose()
        await self._schedule.aclose()
        await self._refresher.aclose()
        await self._link.aclose()
