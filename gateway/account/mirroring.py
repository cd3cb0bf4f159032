"""An index and its mirror, kept equal: what the owner of an account does beside writing its own file.

Rule 1: a batch is in the mirror before it is committed here, and it is committed before anybody hears of it.
Rule 2: the mirror decides. A file that is behind catches up; one of another history is dropped and loaded anew. Where
there is no mirror that can be trusted, what is here goes on under a new epoch: old states get cannotCalculateChanges.
Rule 3: after a failure nobody knows what the mirror has: it is looked at before the next batch. If that shows more than
entries to catch up with, or that the lease is lost, the account is given up: whoever opens it next begins with rule 2.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

from gateway.account.dump import dump
from gateway.account.entries import Foreign
from gateway.account.index import Index
from gateway.account.records import Applied, Batch
from gateway.store.api import Head, Lease, LeaseLost, Mirror, Mirrored, MirrorLost, MirrorSizes, StoreError

MIN_LOG_OCTETS = 128 * 1024  # before a snapshot is worth its while
LOG_SHARE = 4  # the log may grow to this part of the snapshot: each octet of it costs as many of the next snapshot
MIN_LOG_ENTRIES = 16  # the same by what replaying takes: a new owner needs 1 ms for an entry
OCTETS_PER_ENTRY = 8 * 1024  # of a snapshot: writing so many takes as long as replaying an entry
SNAPSHOT_SPACING_S = 10.0  # between two that the log asks for
SNAPSHOT_AGAIN_S = 1.0  # after an attempt that failed
READY_S = 0.5  # what took something a moment ago is not asked again: a row of writes pays for one question
ENTRIES_AT_ONCE = 100  # replayed in one go of a thread


class Run(Protocol):
    """Runs something in the thread that writes."""

    def __call__(self, work: Callable[..., Any], /, *arguments: object) -> Awaitable[Any]: ...


class Mirroring:
    """For the owner task of one account. `join()` before use."""

    def __init__(
        self,
        index: Index,
        mirror: Mirror,
        lease: Lease,
        *,
        write: Run,
        read: Run,
        moved: Callable[[], None] = lambda: None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`moved` is called when the index has changed without a batch, `lost` when the account is to be given up."""
        self._index, self._mirror, self.lease = index, mirror, lease
        self._write, self._read, self._moved, self._lost = write, read, moved, lost
        self._acked: Head | None = None  # what the mirror has for sure
        self._is_adrift = self._is_given_up = self._is_closed = False
        self._snapshotting: asyncio.Task[None] | None = None
        self._no_snapshot_before = 0.0
        self._heard_at = float("-inf")  # when the mirror last took something
        self._log = logging.LoggerAdapter(logging.getLogger(__name__), {"account": lease.account_id})

    async def join(self) -> None:
        """Make the index what the mirror is, or the mirror what the index is. Nobody may look at the index yet."""
        have = await self._write(self._index.head)
        mirrored = await self._mirror.load(self.lease, have)
        if mirrored is not None:
            try:
                await self._load(mirrored)
            except (Foreign, MirrorLost) as error:
                self._log.warning("a mirror is of no use", extra={"reason": str(error)})
                self._index.drop()
            else:
                self._set_acked(mirrored.head, mirrored.sizes)
                return
        await self._begin_anew()

    async def check(self) -> None:
        """Return if a batch could be applied, as far as that can be told; after a `StoreError` `apply` may mend it."""
        if self._is_given_up:
            raise LeaseLost("the account was given up")
        if self._is_adrift:
            raise MirrorLost("what the mirror has is not known")
        if time.monotonic() - self._heard_at < READY_S:
            return
        try:
            await self._mirror.check(self.lease)
        except StoreError:
            self.break_off()
            raise
        self._heard_at = time.monotonic()

    async def apply(self, batch: Batch | None) -> Applied:
        """Apply a batch; None: close the connection that writes. Raise `StoreError` where it is not mirrored."""
        if self._is_given_up:
            raise LeaseLost("the account was given up")
        if self._is_adrift:
            await self._catch_up()
        if batch is None:
            closed: Applied = await self._write(self._index.apply, None)
            return closed
        assert self._acked is not None
        applied: Applied
        applied, entries, is_due = await self._write(self._index.stage, batch)
        sizes: MirrorSizes | None = None
        if entries:
            try:
                sizes = await self._mirror.append(self.lease, self._acked, entries)
            except StoreError as error:
                await self._write(self._index.rollback)
                self.break_off()
                if isinstance(error, LeaseLost):
                    self._give_up("the lease is lost")
                raise
            self._acked = Head(self._acked.epoch, self._acked.step + len(entries), self.lease.token)
            self._heard_at = time.monotonic()
        if batch.is_bulk and not is_due:
            return applied
        try:
            applied = await self._write(self._index.commit)
        except BaseException:
            self.break_off()
            raise
        if sizes is not None and not batch.is_bulk:
            self._consider_snapshot(sizes)
        return applied

    def break_off(self) -> None:
        """Look at the mirror before the next batch: the index is not what it was taken for."""
        self._is_adrift, self._heard_at = True, float("-inf")

    async def aclose(self) -> None:
        self._is_closed = True
        if self._snapshotting is not None:
            self._snapshotting.cancel()
            await asyncio.gather(self._snapshotting, return_exceptions=True)

    async def _catch_up(self) -> None:
        """Find out what became of the last batch, while others look at the index."""
        have = await self._write(self._index.head)
        mirrored = await self._look(have)
        if mirrored is None:
            if have is None or have != self._acked:  # batches that were acknowledged are neither here nor there
                self._give_up("batches are lost")
                raise MirrorLost("the mirror is lost, and with it batches")
            await self._begin_anew()
        elif mirrored.is_whole:
            self._give_up("the index is of another history")
            raise MirrorLost("the index is of another history than its mirror")
        else:
            try:
                await self._load(mirrored)
            except (Foreign, MirrorLost):
                self._give_up("the log is of no use")
                raise
            self._set_acked(mirrored.head, mirrored.sizes)
        self._is_adrift = False
        self._moved()

    async def _look(self, have: Head | None) -> Mirrored | None:
        try:
            return await self._mirror.load(self.lease, have, acked=self._acked)
        except LeaseLost:
            self._give_up("the lease is lost")
            raise

    async def _load(self, mirrored: Mirrored) -> None:
        """Load what leads to the mirror's head. Raise `Foreign` or `MirrorLost`."""
        if mirrored.is_whole:
            self._index.drop()
        await self._write(self._index.begin_load)
        try:
            async for part in mirrored.parts:
                await self._write(self._index.fill, part)
            if mirrored.is_whole:
                await self._write(self._index.begin_replay, mirrored.base)
            async for entries in _some(mirrored.entries):
                await self._write(self._index.replay, entries)
            if await self._write(self._index.end_load) != mirrored.head:
                raise Foreign("what was loaded does not lead to the head")
        except BaseException:
            await self._write(self._index.rollback)
            raise

    async def _begin_anew(self) -> None:
        head, is_empty = await self._write(self._index.renew)
        await self._mirror.begin(self.lease, head, is_empty=is_empty)
        if not is_empty:
            self._log.info("an index goes on under a new epoch, for its mirror was lost")
        self._set_acked(head, MirrorSizes(0, 0 if is_empty else -1, 0))

    def _set_acked(self, head: Head, sizes: MirrorSizes) -> None:
        self._acked = head
        self._consider_snapshot(sizes)

    def _give_up(self, reason: str) -> None:
        if not self._is_given_up:
            self._is_given_up = True
            self._log.warning("an account is given up", extra={"reason": reason})
            self._lost()

    def _consider_snapshot(self, sizes: MirrorSizes) -> None:
        is_due = (
            sizes.snapshot < 0
            or sizes.log > max(MIN_LOG_OCTETS, sizes.snapshot // LOG_SHARE)
            or sizes.entries > max(MIN_LOG_ENTRIES, sizes.snapshot // OCTETS_PER_ENTRY)
        )
        is_running = self._snapshotting is not None and not self._snapshotting.done()
        if is_due and not is_running and (sizes.snapshot < 0 or time.monotonic() >= self._no_snapshot_before):
            self._no_snapshot_before = time.monotonic() + SNAPSHOT_SPACING_S
            self._snapshotting = asyncio.create_task(self._put_snapshot(), name=f"mirror {self.lease.account_id}")

    async def _put_snapshot(self) -> None:
        """Write a snapshot of the history that the mirror is of."""
        while not (self._is_given_up or self._is_closed):
            with self._index.thread_snapshot() as snapshot:
                meta = dict(snapshot.connection.execute("SELECT key, value FROM meta"))
                of = Head(meta["epoch"], meta["step"], meta["token"])
                try:
                    await self._mirror.put_snapshot(self.lease, of, self._parts(dump(snapshot.connection)))
                except StoreError as error:
                    self._log.warning("a snapshot was not written", extra={"reason": str(error)})
                    if isinstance(error, (LeaseLost, MirrorLost)) and self._is_of(of):
                        self.break_off()  # the next batch finds out what to do
                        return
                else:
                    if self._is_of(of):
                        return
            await asyncio.sleep(SNAPSHOT_AGAIN_S)

    def _is_of(self, head: Head) -> bool:
        """Tell whether the mirror still has the history of this head."""
        return self._acked is not None and self._acked.epoch == head.epoch

    async def _parts(self, parts: Any) -> AsyncIterator[bytes]:
        while (part := await self._read(next, parts, None)) is not None:
            yield part


async def _some(entries: AsyncIterator[tuple[int, bytes]]) -> AsyncIterator[Sequence[tuple[int, bytes]]]:
    """Yield entries a few at a time."""
    some: list[tuple[int, bytes]] = []
    async for entry in entries:
        some.append(entry)
        if len(some) >= ENTRIES_AT_ONCE:
            yield some
            some = []
    if some:
        yield some
