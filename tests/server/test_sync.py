"""`jmap-gateway sync`, where it cannot do what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load
from gateway.secret import Secret
from gateway.server import sync_account

CONFIG = """
[http]
public_url = "http://gateway.test"
[upstreams.main]
imap = "imap://127.0.0.1:1"
tls = "none"
[store]
redis_url = "redis://127.0.0.1:1/0"
data_dir = "{directory}"
[auth]
vault_keys = "{vault_keys}"
"""


async def test_with_several_nodes_the_owner_indexes(tmp_path: Path) -> None:
    """An index of its own would be of no use to anybody."""
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG.format(directory=tmp_path / "data", vault_keys="1 " + "A" * 43 + "="))
    with pytest.raises(ValueError, match="redis_url"):
        await sync_account(load(path, {}), "ann", Secret("pw"), lambda _mailbox, _done, _total: None)
    assert not (tmp_path / "data").exists()
