"""What `probe` says of the server for sending."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load
from gateway.secret import Secret
from gateway.server.probe import probe
from tests.server.sending import by_dovecot
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import DOMAIN, Upstream

pytestmark = pytest.mark.upstream


async def told(upstream: Upstream, path: Path, login: str, more: str = "") -> list[str]:
    config = path / "gateway.toml"
    config.write_text(
        f'[upstreams.test]\nimap = "imap://{upstream.host}:{upstream.ports["imap"]}"\ntls = "none"\n{more}'
    )
    lines: list[str] = []
    assert await probe(load(config, {}), login, Secret(upstream.password), lines.append) == 0
    assert upstream.password not in "\n".join(lines)
    return lines


async def test_sending_is_tried_as_far_as_a_login(dovecot: Upstream, smtp_sink: SmtpSink, tmp_path: Path) -> None:
    """It says what the server offers and whom the login may send as; nothing is sent."""
    login, before = dovecot.fresh_login(), len(smtp_sink.kept())
    lines = await told(dovecot, tmp_path, login, by_dovecot(dovecot) + f'aliases = ["*@{DOMAIN}"]\n')
    assert any(line.startswith("Sending: logged in. The server offers: 8BITMIME") for line in lines)
    assert f"{login} may send as {login}@{DOMAIN}, *@{DOMAIN}." in lines
    assert len(smtp_sink.kept()) == before


async def test_what_keeps_from_sending_is_told(dovecot: Upstream, tmp_path: Path) -> None:
    """No server, or none that answers: reading is probed all the same."""
    login = dovecot.fresh_login()
    assert "Nothing can be sent: no smtp is configured." in await told(dovecot, tmp_path, login)
    lines = await told(dovecot, tmp_path, login, 'smtp = "submission://127.0.0.1:1"\naddress = "{user}@a.example"\n')
    assert any(line.startswith("Nothing can be sent (connect): ") for line in lines)
