"""Messages that wait to be sent, one file each: what goes out, without Bcc (`message.outgoing`).

Rule 1: a file is complete and on the disk before it has its name.
Rule 2: it belongs to a submission whose job is in the store; one without is litter of a crash, and is swept.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from pathlib import Path
from typing import IO

from gateway.account.submitting import Prepared
from gateway.message.outgoing import Outgoing

READ_OCTETS = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")


class TooLarge(Exception):
    """The message is larger than allowed."""


class Gone(Exception):
    """The file is not there (any more)."""


class Spool:
    """Files below one directory: ACCOUNT/SUBMISSION.eml."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def put(
        self, account_id: str, id: str, chunks: AsyncIterator[bytes], *, max_octets: int | None = None
    ) -> Prepared:
        """Write a message; raise `TooLarge`, `HeaderTooLong` or what reading it raises, and leave nothing then."""
        path = self._path(account_id, id)
        part = path.with_suffix(".part")
        outgoing = Outgoing()
        file = await asyncio.to_thread(_create, part)
        try:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, outgoing.feed(chunk))
                if max_octets is not None and outgoing.size_octets > max_octets:
                    raise TooLarge
            await asyncio.to_thread(_finish, file, outgoing.finish(), path)
        except BaseException:
            file.close()
            part.unlink(missing_ok=True)
            raise
        return Prepared(
            id=id,
            fields=outgoing.fields,
            size_octets=outgoing.size_octets,
            is_8bit=outgoing.is_8bit,
            has_utf8_headers=outgoing.has_utf8_headers,
        )

    async def octets(self, account_id: str, id: str) -> AsyncIterator[bytes]:
        """Yield a message. Raise `Gone`."""
        try:
            file = await asyncio.to_thread(open, self._path(account_id, id), "rb")
        except OSError:
            raise Gone from None
        try:
            while chunk := await asyncio.to_thread(file.read, READ_OCTETS):
                yield chunk
        finally:
            file.close()

    def has(self, account_id: str, id: str) -> bool:
        return self._path(account_id, id).exists()

    async def drop(self, account_id: str, id: str) -> None:
        def work() -> None:
            path = self._path(account_id, id)
            path.unlink(missing_ok=True)
            with suppress(OSError):  # another message is there
                path.parent.rmdir()

        await asyncio.to_thread(work)

    async def sweep(self, wanted: Collection[tuple[str, str]]) -> None:
        """Remove every file but those of these (account id, submission id)."""

        def work() -> None:
            for path in self._directory.glob("*/*"):
                if path.suffix == ".part" or (path.parent.name, path.stem) not in wanted:
                    path.unlink(missing_ok=True)

        await asyncio.to_thread(work)

    def _path(self, account_id: str, id: str) -> Path:
        if not _NAME.match(account_id) or not _NAME.match(id):
            raise Gone
        return self._directory / account_id / f"{id}.eml"


def _create(path: Path) -> IO[bytes]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _finish(file: IO[bytes], rest: bytes, path: Path) -> None:
    file.write(rest)
    file.flush()
    os.fsync(file.fileno())
    file.close()
    os.rename(file.name if isinstance(file.name, str) else path.with_suffix(".part"), path)
    for directory in (path.parent, path.parent.parent):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
