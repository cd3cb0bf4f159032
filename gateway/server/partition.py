"""The processes of `--workers` without Redis: each serves a fixed part of the accounts, by a hash of their ids.

Rule 1: which worker serves an account never changes, so nothing has to be agreed on. A worker that ended is replaced by
        one with the same part; until then requests for its accounts wait.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.store.api import Node

MAX_PATH_OCTETS = 100  # of a Unix socket's address: the system takes 107


class Partition:
    """The `web.owners.Owners` of worker `index` of `count`, whose sockets are in a directory."""

    def __init__(self, index: int, count: int, directory: Path) -> None:
        self.index = index
        self._nodes = [Node(f"worker {n}", f"unix:{self.socket(directory, n)}") for n in range(count)]

    @staticmethod
    def socket(directory: Path, index: int) -> Path:
        """Return where a worker listens to the others. Raise `ValueError` where that cannot be."""
        path = directory.resolve() / f"{index}.sock"
        if len(str(path).encode()) > MAX_PATH_OCTETS:
            raise ValueError(f"{path} is too long for the address of a socket; choose another store.data_dir")
        return path

    def is_ours(self, account_id: str) -> bool:
        return self._of(account_id) == self.index

    async def owner(self, account_id: str) -> Node | None:
        return None if self.is_ours(account_id) else self._nodes[self._of(account_id)]

    async def take(self, account_id: str) -> Node | None:
        return await self.owner(account_id)

    def forget(self, account_id: str) -> None:
        """It is as it is."""

    def another(self) -> Node | None:
        return None

    @contextmanager
    def working(self, account_id: str) -> Iterator[None]:
        yield

    def _of(self, account_id: str) -> int:
        return zlib.crc32(account_id.encode()) % len(self._nodes)
