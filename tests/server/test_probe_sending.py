"""What `probe` says of real servers."""

from __future__ import annotations

import pytest

from gateway.config import load
from gateway.secret import Secret
from gateway.server.probe import probe
from tests.upstreams.cyrus import set_quota
from tests.upstreams.upstream import Upstream, expect_ok

pytestmark = pytest.mark.upstream


async def said(upstream: Upstream, login: str) -> str:
    lines: list[str] = []
    environ = {
        "JMAP_GATEWAY_UPSTREAMS__MAIN__IMAP": f"imap://{upstream.host}:{upstream.ports['imap']}",
        "JMAP_GATEWAY_UPSTREAMS__MAIN__TLS": "none",
    }
    assert await probe(load(None, environ), login, Secret(upstream.password), lines.append) == 0
    return "\n".join(lines)


async def test_quota_and_capabilities(cyrus: Upstream) -> None:
    """Each limit with its use, in octets and counts, and what JMAP clients get of it."""
    login = cyrus.fresh_login()
    set_quota(cyrus, login, "STORAGE 64 MESSAGE 50")
    text = await said(cyrus, login)
    assert "Of 65536 octets (STORAGE) it uses 0." in text
    assert "Of 50 count (MESSAGE) it uses 0." in text
    assert "urn:ietf:params:jmap:quota" in text


async def test_no_quota(dovecot_uidplus: Upstream) -> None:
    """Without QUOTA it says what that costs, and promises no capability."""
    text = await said(dovecot_uidplus, dovecot_uidplus.fresh_login())
    assert "QUOTA: clients are not told how full the account is" in text
    assert "jmap:quota" not in text


async def test_who_shares(dovecot_shared: Upstream) -> None:
    """Others' mailboxes are not counted as one's own, and who shares is named."""
    owner, guest = dovecot_shared.fresh_login(), dovecot_shared.fresh_login()
    with dovecot_shared.imap(owner) as connection:
        expect_ok(connection.create("Team"))
        expect_ok(connection.setacl("Team", guest, "lr"))
    text = await said(dovecot_shared, guest)
    assert "It has 6 mailboxes." in text
    assert f"{owner}" in text.partition("Others share with it: ")[2].partition("\n")[0]
