"""What `probe` says of the ManageSieve server."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load
from gateway.secret import Secret
from gateway.server.probe import probe
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream


@pytest.mark.parametrize(
    ("sieve", "told"),
    [
        ("", ["No ManageSieve server is configured"]),
        ('sieve = "sieve://127.0.0.1:1"', ["cannot be used", "neither filters nor"]),
        ('sieve = "sieve://127.0.0.1:{port}"', ["Pigeonhole", "0 scripts", "none is active", "jmap:vacationresponse"]),
    ],
)
async def test_probe(sieve: str, told: list[str], dovecot: Upstream, tmp_path: Path) -> None:
    """It says whether there is one, what it can do, and what that means for clients."""
    dovecot.place.wait_for_ports("sieve")
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'[upstreams.a]\nimap = "{dovecot.imap_url}"\ntls = "none"\n{sieve.format(port=dovecot.ports["sieve"])}\n'
    )
    lines: list[str] = []
    assert await probe(load(config, {}), dovecot.fresh_login(), Secret(dovecot.password), lines.append) == 0
    text = "\n".join(lines)
    assert all(one in text for one in told), text
    assert dovecot.password not in text
