"""An upstream that is away, comes back, or changes its mind: the client is told the truth, and no restart is needed."""

from __future__ import annotations

import asyncio

import pytest

from tests.server.conftest import MakeGateway, Switch
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream


async def test_an_upstream_that_is_away_is_no_refusal(dovecot: Upstream, gateway: MakeGateway) -> None:
    """503 with Retry-After for a login that cannot be checked; the next try works when the upstream is back."""
    switch = Switch(dovecot.host, dovecot.ports["imap"])
    await switch.on()
    await switch.off()
    client = (await gateway(dovecot, port=switch.port))(dovecot.fresh_login())
    async with client.http.get(f"{client.url}/.well-known/jmap", headers=client.headers) as answer:
        assert answer.status == 503
        assert "Retry-After" in answer.headers
        assert answer.content_type == "application/problem+json"
    await switch.on()
    status, _session = await client.session()
    assert status == 200
    await switch.off()


async def test_an_upstream_that_goes_away_costs_the_method_not_the_gateway(
    dovecot: Upstream, gateway: MakeGateway
) -> None:
    """`serverUnavailable` while it is away, the answer when it is back, on the same session."""
    switch = Switch(dovecot.host, dovecot.ports["imap"])
    await switch.on()
    login = dovecot.fresh_login()
    dovecot.append(login, b"Subject: still here\r\n\r\nx\r\n")
    client = (await gateway(dovecot, port=switch.port))(login)
    assert len((await client.call("Email/query", filter={}))["ids"]) == 1
    await switch.off()
    status, answer = await client.request(("Email/query", {"filter": {}}))
    assert (status, answer["methodResponses"][0][0]) == (200, "error")
    assert answer["methodResponses"][0][1]["type"] == "serverUnavailable"
    await switch.on()
    async with asyncio.timeout(30):
        while True:
            _, answer = await client.request(("Email/query", {"filter": {}}))
            if answer["methodResponses"][0][0] != "error":
                break
            await asyncio.sleep(0.2)
    assert len(answer["methodResponses"][0][1]["ids"]) == 1
    await switch.off()


async def test_a_wrong_password_is_401(dovecot: Upstream, gateway: MakeGateway) -> None:
    """With both challenges, Basic first."""
    client = (await gateway(dovecot))(dovecot.fresh_login(), "wrong")
    async with client.http.get(f"{client.url}/.well-known/jmap", headers=client.headers) as answer:
        assert answer.status == 401
        challenges = answer.headers.getall("WWW-Authenticate")
    assert [challenge.split()[0] for challenge in challenges] == ["Basic", "Bearer"]


async def test_a_mailbox_that_cannot_be_selected_costs_itself(dovecot: Upstream, gateway: MakeGateway) -> None:
    """A listed name that is no mailbox is shown, and everything else works."""
    login = dovecot.fresh_login()
    dovecot.append(login, b"Subject: here\r\n\r\nx\r\n")
    with dovecot.imap(login) as imap:
        imap.create("Parent/Child")
        imap.delete("Parent")
    client = (await gateway(dovecot))(login)
    names = {mailbox["name"] for mailbox in (await client.call("Mailbox/get", ids=None))["list"]}
    assert {"Parent", "Child", "Inbox"} <= names
    assert len((await client.call("Email/query", filter={}))["ids"]) == 1
