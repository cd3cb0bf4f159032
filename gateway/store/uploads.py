"""Uploaded blobs (RFC 8620 section 6): the octets on disk under their SHA-256, the claims on them in the store.

Rule 1: an account reads what it has uploaded itself; that another has uploaded the same octets does not show.
Rule 2: a blob is acknowledged when its octets, their name and the record are on disk.
Rule 3: a blob lives `lifetime_s` after its last upload. Only when its account is over quota the oldest go earlier, and
        the one just uploaded never does.
Rule 4: giving a file its name and taking it away happen one after another (`_naming`), in all processes that share the
        directory: a blob uploaded anew while its old claim expires is not lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gateway.store.api import UploadRecord, UploadStore

WRITE_OCTETS = 1 << 20  # collected before a thread hashes and writes them: fewer hops between threads
READ_OCTETS = 1 << 18
SWEEP_RECORDS = 1000  # expired records taken away in one step
LOCK = "lock"
DEFAULT_TYPE = "application/octet-stream"
MIN_LIFETIME_S = 3600  # RFC 8620 section 6


class Upload(NamedTuple):
    """What has been stored."""

    digest: str
    size_octets: int
    type: str


class OpenUpload:
    """One upload, for reading."""

    def __init__(self, path: Path, size_octets: int, type: str) -> None:
        self._path, self.size_octets, self.type = path, size_octets, type

    async def chunks(self, offset_octets: int = 0) -> AsyncIterator[bytes]:
        """Yield the octets in order, from an offset on. Raise `FileNotFoundError` when the blob has expired."""
        file = await asyncio.to_thread(open, self._path, "rb")
        try:
            file.seek(offset_octets)
            while chunk := await asyncio.to_thread(file.read, READ_OCTETS):
                yield chunk
        finally:
            file.close()


class Uploads:
    """All uploads. `sweep()` wants to be called every few minutes. `clock` is seconds since 1970."""

    def __init__(
        self,
        store: UploadStore,
        directory: Path,
        *,
        quota_octets: int = 1_000_000_000,
        lifetime_s: int = 24 * 3600,
        incoming: str = "incoming",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`incoming` names the directory for what is being received: each process that shares the rest has its own."""
        if lifetime_s < MIN_LIFETIME_S:
            raise ValueError("an upload must be kept for an hour at least (RFC 8620 section 6)")
        self._store, self._directory = store, directory
        self._quota_octets, self._lifetime_s, self._clock = quota_octets, lifetime_s, clock
        self._names = asyncio.Lock()
        self._incoming = directory / incoming
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._incoming.iterdir():  # of a process that was killed
            leftover.unlink(missing_ok=True)

    async def put(self, account_id: str, chunks: AsyncIterable[bytes], type: str = DEFAULT_TYPE) -> Upload:
        """Store the octets durably. An exception of `chunks` ends it and leaves nothing behind."""
        descriptor, name = await asyncio.to_thread(tempfile.mkstemp, dir=self._incoming)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                digest, size_octets = await _receive(file, chunks)
            await self._claim(temporary, UploadRecord(account_id, digest, size_octets, type, *self._times()))
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()  # noqa: ASYNC240  # one call, and it must happen on cancellation too
        return Upload(digest, size_octets, type)

    async def open(self, account_id: str, digest: str) -> OpenUpload | None:
        """Return this account's upload; None when it has none or it has expired."""
        record = await self._store.upload(account_id, digest)
        if record is None or record.expires_at_s <= self._clock():
            return None
        return OpenUpload(self._path(digest), record.size_octets, record.type)

    async def sweep(self) -> int:
        """Take away what has expired; return how many claims that were."""
        count = 0
        while expired := await self._store.expired_uploads(int(self._clock()), SWEEP_RECORDS):
            async with self._naming():
                for record in expired:
                    # Looked at again: it may have been uploaded anew since.
                    now = await self._store.upload(record.account_id, record.digest)
                    if now is not None and now.expires_at_s <= self._clock():
                        await self._drop(record.account_id, [record.digest])
                        count += 1
        return count

    async def _claim(self, temporary: Path, record: UploadRecord) -> None:
        path = self._path(record.digest)
        async with self._naming():
            await asyncio.to_thread(_name, temporary, path)
            await self._store.put_upload(record)
            records = await self._store.uploads(record.account_id)
            over = sum(r.size_octets for r in records) - self._quota_octets
            oldest: list[str] = []
            for other in records:
                if over <= 0:
                    break
                if other.digest != record.digest:
                    oldest.append(other.digest)
                    over -= other.size_octets
            if oldest:
                await self._drop(record.account_id, oldest)

    @contextlib.asynccontextmanager
    async def _naming(self) -> AsyncIterator[None]:
        async with self._names:
            lock = await asyncio.to_thread(_lock, self._directory / LOCK)
            try:
                yield
            finally:
                os.close(lock)

    async def _drop(self, account_id: str, digests: list[str]) -> None:
        unclaimed = await self._store.drop_uploads(account_id, digests)
        for digest in unclaimed:
            await asyncio.to_thread(self._path(digest).unlink, missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._directory / digest[:2] / digest

    def _times(self) -> tuple[int, int]:
        now_s = int(self._clock())
        return now_s, now_s + self._lifetime_s


async def _receive(file: BinaryIO, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
    """Write the chunks and bring them to disk; return SHA-256 in hex and size."""
    digest, size_octets = hashlib.sha256(), 0
    pending: list[bytes] = []
    held = 0

    def write(pieces: list[bytes]) -> None:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)

    def finish(pieces: list[bytes]) -> None:
        write(pieces)
        file.flush()
        os.fsync(file.fileno())

    async for chunk in chunks:
        pending.append(chunk)
        held += len(chunk)
        size_octets += len(chunk)
        if held >= WRITE_OCTETS:
            await asyncio.to_thread(write, pending)
            pending, held = [], 0
    await asyncio.to_thread(finish, pending)
    return digest.hexdigest(), size_octets


def _name(temporary: Path, path: Path) -> None:
    """Move a finished file to its name, durably. One that is there already is the same octets."""
    if path.exists():
        return
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _sync(path.parent.parent)
    os.rename(temporary, path)
    _sync(path.parent)


def _lock(path: Path) -> int:
    """Wait for the lock; closing the descriptor lets go of it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
