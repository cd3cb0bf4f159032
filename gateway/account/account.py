"""One JMAP account: its index, the owner task that makes every write, the records beside it, and its backend.

Rule 1: nothing changes the index but a batch, and batches are applied one after another.
Rule 2: where it has a mirror, a batch is there before it is applied (`mirroring`); an account that can keep none is
given up by whoever has opened it.
Rule 3: a read on the event loop costs a few milliseconds at most; what can take longer runs in a thread (`read`).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TypeVar

from gateway.account.backend import Backend
from gateway.account.digest import Undigested, check_digested
from gateway.account.filter_sql import Found, Scope, View, compile_filter, searches, weakened
from gateway.account.heap import trim_soon
from gateway.account.index import Index, is_corrupt
from gateway.account.mirroring import Mirroring
from gateway.account.own_addresses import OwnAddresses
from gateway.account.query import EmailQuery, QueryChanges, QueryResult, check_query, conditions_of
from gateway.account.query_changes import evaluate_changes
from gateway.account.records import Applied, Batch, Need, TextCriterion
from gateway.account.results import MAX_ROWS_ON_LOOP, Listings, WalkTooLong, evaluate, is_quick, key_of, normalized
from gateway.account.scripts import Scripts
from gateway.account.snapshot import Snapshot
from gateway.account.sql import load_json
from gateway.account.submitting import Submitter
from gateway.account.uploads import Uploads
from gateway.account.user_records import UserRecords
from gateway.jmap.errors import MethodError
from gateway.store.api import Lease, Mirror, RecordStore, StoreError

T = TypeVar("T")

WRITE_THREADS = 2  # of all accounts: SQLite's work is beside the GIL, so two keep two cores busy
READ_THREADS = 4  # of all accounts: long reads, which must not wait behind one another
MAX_WAITING_BATCHES = 8  # of one account: whoever produces faster than the disk writes has to wait
DIGESTED_AT_ONCE = 100  # emails: about 5 ms of the writer's thread
DETAILS_AT_ONCE = 500  # emails whose structure is asked for in one go by a filter on hasAttachment

_log = logging.getLogger(__name__)
_writers = ThreadPoolExecutor(WRITE_THREADS, thread_name_prefix="index-write")
_readers = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="index-read")


class Account:
    """An account as methods, sync and push see it. `open()` before use, `aclose()` after."""

    def __init__(
        self,
        *,
        id: str,
        name: str,
        login: str,
        path: Path,
        make_backend: Callable[[Account], Backend],
        uploads: Uploads,
        is_personal: bool = True,
        is_read_only: bool = False,
        capabilities: dict[str, dict[str, Any]] | None = None,
        records: RecordStore | None = None,
        own_addresses: OwnAddresses | None = None,
        make_scripts: Callable[[Account], Scripts] | None = None,
        mirror: Mirror | None = None,
        lease: Lease | None = None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`mirror` and `lease` go together; `lost` is called when the account has to be closed, and opened anew."""
        self.id, self.name, self.login = id, name, login
        self.is_personal, self.is_read_only = is_personal, is_read_only
        self.capabilities: dict[str, dict[str, Any]] = capabilities or {}
        self.session_capabilities: dict[str, dict[str, Any]] = {}  # of its server: shown at the top of the Session
        self.uploads = uploads
        self.own_addresses = own_addresses or OwnAddresses((login,))
        self.submitter: Submitter | None = None  # None: nothing can be sent
        self.path = path
        self._index = Index(path, lease.token if lease is not None else None)
        self._mirroring: Mirroring | None = None
        if mirror is not None and lease is not None:
            self._mirroring = Mirroring(
                self._index,
                mirror,
                lease,
                write=_write_through,
                read=_read_through,
                moved=self._announce_all,
                lost=lost,
            )
        self._listings = Listings()
        self._batches: asyncio.Queue[tuple[Batch | None, asyncio.Future[Applied]]] = asyncio.Queue(MAX_WAITING_BATCHES)
        self._owner: asyncio.Task[None] | None = None
        self._subscribers: dict[int, Callable[[Applied], None]] = {}
        self._next_subscriber = 0
        self.user_records = UserRecords(records, id, lambda states: self._announce(Applied(0, states)))
        self.backend: Backend = make_backend(self)
        self.scripts: Scripts | None = make_scripts(self) if make_scripts is not None else None

    async def open(self) -> None:
        """Open the index; a corrupt one or one of another schema is dropped and a new one begun."""
        if self._owner is None:
            try:
                if self._mirroring is not None:
                    await self._mirroring.join()
                else:
                    await _write(self._index.open)
                await self.user_records.open()
            except BaseException as error:
                self._index.close()
                if isinstance(error, StoreError):
                    raise _told(error) from error
                raise
            self._owner = asyncio.create_task(self._write(), name=f"account {self.id}")

    async def aclose(self) -> None:
        """Close the backend, finish the batch under way and let go of the index."""
        await self.backend.close()
        if self.scripts is not None:
            await self.scripts.aclose()
        if self._owner is not None:
            self._owner.cancel()
            with suppress(asyncio.CancelledError):
                await self._owner
            self._owner = None
        while not self._batches.empty():
            self._batches.get_nowait()[1].cancel()
        if self._mirroring is not None:
            await self._mirroring.aclose()
        self._index.close()

    async def forget(self) -> None:
        """Close, and remove the index: nobody here may see any more what was read into it."""
        await self.aclose()
        self._index.drop()

    def release(self) -> None:
        """Let go of the idle connections to the index; they come back when needed."""
        self._index.release()
        self._listings = Listings()
        if self._owner is not None and self._batches.empty():  # the writer's connection goes by the owner's hand
            self._batches.put_nowait((None, asyncio.get_running_loop().create_future()))
            trim_soon()

    async def fresh(self, need: Need) -> None:
        """Bring the index up to date as far as `need` says."""
        await self.backend.refresh(need)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open a consistent read view, on the event loop's thread; never await inside."""
        return self._index.snapshot()

    async def read(self, work: Callable[[Snapshot], T]) -> T:
        """Run `work` on a snapshot in a thread, for reads of more than a few milliseconds."""

        def run() -> T:
            with self._index.thread_snapshot() as snapshot:
                return work(snapshot)

        return await asyncio.get_running_loop().run_in_executor(_readers, run)

    async def apply(self, batch: Batch) -> Applied:
        """Apply a batch whole, after those asked for before it. Return what it changed."""
        if self._owner is None:
            raise MethodError("serverUnavailable", "the account is closed")
        done: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        await self._batches.put((batch, done))
        return await done

    async def ready(self) -> None:
        """Return if batches can be applied, as far as that can be told; before something is changed upstream.

        Raise `serverUnavailable`.
        """
        if self._mirroring is None:
            return
        try:
            await self._mirroring.check()
        except StoreError:
            await self.apply(Batch())  # finds out what became of the mirror, and mends it where it can
            try:
                await self._mirroring.check()
            except StoreError as error:
                raise _told(error) from error

    def subscribe(self, callback: Callable[[Applied], None]) -> Callable[[], None]:
        """Call `callback` after each batch or write that a client can see; return the function that ends this."""
        key = self._next_subscriber
        self._next_subscriber += 1
        self._subscribers[key] = callback
        return lambda: self._subscribers.pop(key, None) and None

    async def query_emails(self, query: EmailQuery) -> QueryResult:
        """Answer Email/query (RFC 8621 section 4.4). The mailboxes asked for must be fresh (`fresh`)."""
        check_query(query)
        query = normalized(query)
        with self.snapshot() as snapshot:
            if is_quick(snapshot, query, self._listings):
                with suppress(WalkTooLong):  # one Thread of thousands of emails
                    return evaluate(snapshot, query, self._listings, max_rows=MAX_ROWS_ON_LOOP)
            journal = snapshot.journal
            kept = self._listings.peek(journal.epoch, key_of(query), journal.seqs["Email"])
        found: Found = {} if kept is not None and kept.is_complete else await self._search(query)
        await self._load_attachments(query)
        return await self._read_digested(query, lambda view: evaluate(view, query, self._listings, found))

    async def email_query_changes(
        self,
        query: EmailQuery,
        since_query_state: str,
        *,
        max_changes: int | None = None,
        up_to_id: str | None = None,
    ) -> QueryChanges:
        """Answer Email/queryChanges (RFC 8621 section 4.5); `query.calculate_total` counts, its page does not."""
        check_query(query)
        query = normalized(query)
        await self._load_attachments(query)
        return await self._read_digested(
            query,
            lambda view: evaluate_changes(
                view, query, self._listings, since_query_state, max_changes=max_changes, up_to_id=up_to_id
            ),
        )

    async def _read_digested(self, query: EmailQuery, work: Callable[[Snapshot], T]) -> T:
        """Run `work` on a snapshot in which every candidate of a query is digested as far as it looks."""

        def run(view: Snapshot) -> T:
            check_digested(view, query)
            return work(view)

        while True:
            try:
                return await self.read(run)
            except Undigested as lacking:  # again after that: more may have arrived
                for at in range(0, len(lacking.nums), DIGESTED_AT_ONCE):
                    await self.apply(Batch(digests=lacking.nums[at : at + DIGESTED_AT_ONCE]))

    async def _search(self, query: EmailQuery) -> Found:
        """Ask the upstream what only it can decide, all at once."""
        asked: dict[tuple[TextCriterion, Scope], asyncio.Task[set[str]]] = {}
        async with asyncio.TaskGroup() as group:
            for criterion, scope in searches(query.filter):
                if (criterion, scope) not in asked:
                    asked[criterion, scope] = group.create_task(self.backend.search(criterion, scope))
        return {question: task.result() for question, task in asked.items()}

    async def _load_attachments(self, query: EmailQuery) -> None:
        """Make hasAttachment known of every email that a filter on it can match."""
        if all(one.has_attachment is None for one in conditions_of(query.filter)):
            return

        def bare(snapshot: Snapshot) -> list[str]:
            view = View({id: num for num, id in snapshot.mailbox_ids.items()}, snapshot.keywordsets)
            statement = compile_filter(weakened(query.filter), view)
            statement.needs_email = True
            statement.where.append("e.has_attachment IS NULL")
            text = statement.text(f"{statement.received} DESC", columns="e.id AS id")
            ids: list[str] = load_json(
                snapshot.connection, f"SELECT json_group_array(id) FROM ({text})", statement.parameters
            )
            return ids

        ids = await self._read_digested(query, bare)
        for at in range(0, len(ids), DETAILS_AT_ONCE):
            await self.backend.load_details(ids[at : at + DETAILS_AT_ONCE])

    async def _write(self) -> None:
        """Be the owner: apply batches in order, until cancelled."""
        while True:
            batch, done = await self._batches.get()
            work: asyncio.Future[Applied]
            if self._mirroring is not None:
                work = asyncio.ensure_future(self._mirroring.apply(batch))
            else:
                work = _write(self._index.apply, batch)
            try:
                applied = await asyncio.shield(work)
            except asyncio.CancelledError:
                done.cancel()
                await asyncio.wait([work])  # the thread is in the file: the index cannot be closed before
                raise
            except Exception as error:  # a batch that fails fails its caller, never the owner
                _log.error("batch_failed", extra={"account": self.id, "error": type(error).__name__})
                if isinstance(error, sqlite3.Error) and is_corrupt(error):
                    self._index.drop()
                    if self._mirroring is not None:
                        self._mirroring.break_off()
                if not done.cancelled():
                    done.set_exception(_told(error))
                continue
            if not done.cancelled():
                done.set_result(applied)
            if applied.states:
                self._announce(applied)

    def _announce_all(self) -> None:
        """Tell everybody how things are: some of it is new."""
        with self.snapshot() as snapshot:
            journal = snapshot.journal
        self._announce(Applied(max(journal.seqs.values()), {type: journal.state(type) for type in journal.seqs}))

    def _announce(self, applied: Applied) -> None:
        for callback in list(self._subscribers.values()):
            try:
                callback(applied)
            except Exception:  # one listener's fault must not end the owner
                _log.exception("subscriber_failed", extra={"account": self.id})


def _write(work: Callable[..., Any], /, *arguments: object) -> asyncio.Future[Any]:
    """Run something in a thread that writes."""
    return asyncio.get_running_loop().run_in_executor(_writers, work, *arguments)


async def _write_through(work: Callable[..., Any], /, *arguments: object) -> Any:
    return await _through(_write(work, *arguments))


async def _read_through(work: Callable[..., Any], /, *arguments: object) -> Any:
    return await _through(asyncio.get_running_loop().run_in_executor(_readers, work, *arguments))


async def _through(thread: asyncio.Future[Any]) -> Any:
    """Wait for a thread; who is cancelled waits too: it uses a connection that will be closed."""
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        if not thread.cancelled():
            thread.exception()  # looked at: nobody else will
        raise


def _told(error: Exception) -> MethodError:
    """Return what to tell of a batch that could not be applied."""
    if isinstance(error, StoreError):
        return MethodError("serverUnavailable", "the account cannot be written for now")
    return MethodError("serverFail", "the index of the account could not be written")
