"""Which worker serves which account, without Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.account.ids import id_of
from gateway.server.partition import Partition

IDS = [id_of("a", n.to_bytes(16, "big")) for n in range(3000)]


async def test_each_account_has_one_worker(tmp_path: Path) -> None:
    """All workers say the same of it; each has about as many as the others."""
    workers = [Partition(index, 3, tmp_path) for index in range(3)]
    owned = [sum(worker.is_ours(id) for id in IDS) for worker in workers]
    assert sum(owned) == len(IDS)
    assert min(owned) > 900
    for id in IDS[:50]:
        (mine,) = [worker for worker in workers if worker.is_ours(id)]
        assert await mine.owner(id) is None
        assert await mine.take(id) is None
        told = [await worker.owner(id) for worker in workers if worker is not mine]
        assert {node.url for node in told if node is not None} == {f"unix:{Partition.socket(tmp_path, mine.index)}"}
        assert None not in told


def test_a_directory_that_is_too_deep_for_a_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data_dir"):
        Partition(0, 2, tmp_path / ("x" * 100))
