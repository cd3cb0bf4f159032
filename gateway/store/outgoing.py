"""Messages that wait to be sent, one file each, below one directory: ACCOUNT/SUBMISSION.eml.

Rule 1: a file is complete and on the disk before it has its name.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from gateway.store.api import Write

READ_OCTETS = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")


class OutgoingFiles:
    """An `OutgoingStore`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @asynccontextmanager
    async def writing(self, account_id: str, id: str) -> AsyncIterator[Write]:
        path = self._path(account_id, id)
        part = path.with_suffix(".part")
        file = await asyncio.to_thread(_create, part)

        async def write(octets: bytes) -> None:
            await asyncio.to_thread(file.write, octets)

        try:
            yield write
            await asyncio.to_thread(_finish, file, part, path)
        except BaseException:
            file.close()
            part.unlink(missing_ok=True)
            raise

    async def octets(self, account_id: str, id: str) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(open, self._path(account_id, id), "rb")
        try:
            while chunk := await asyncio.to_thread(file.read, READ_OCTETS):
                yield chunk
        finally:
            file.close()

    async def has(self, account_id: str, id: str) -> bool:
        return self._path(account_id, id).exists()

    async def drop(self, account_id: str, id: str) -> None:
        path = self._path(account_id, id)

        def work() -> None:
            path.unlink(missing_ok=True)
            path.with_suffix(".part").unlink(missing_ok=True)
            with suppress(OSError):  # another message is there
                path.parent.rmdir()

        await asyncio.to_thread(work)

    async def litter(self) -> dict[str, set[str]]:
        def work() -> dict[str, set[str]]:
            found: dict[str, set[str]] = {}
            for path in self._directory.glob("*/*"):
                found.setdefault(path.parent.name, set()).add(path.stem)
            return found

        return await asyncio.to_thread(work)

    def _path(self, account_id: str, id: str) -> Path:
        if not _NAME.match(account_id) or not _NAME.match(id):
            raise FileNotFoundError("that is no submission")
        return self._directory / account_id / f"{id}.eml"


def _create(path: Path) -> IO[bytes]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _finish(file: IO[bytes], part: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    part.rename(path)
    for directory in (path.parent, path.parent.parent):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
