"""The main job, whole: mail on a real server, read over HTTP."""

from __future__ import annotations

import pytest

from tests.server.conftest import MakeGateway
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream

MESSAGE = (
    b"From: Ann <ann@example.com>\r\nTo: me@example.com\r\nSubject: Hello\r\nMessage-ID: <h@example.com>\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
)


async def test_a_client_reads_its_inbox(upstream: Upstream, gateway: MakeGateway) -> None:
    """Session, mailboxes, a query with the emails of its page, a body, a download: on every server."""
    login = upstream.fresh_login()
    upstream.append(login, MESSAGE)
    client = (await gateway(upstream))(login)
    mailboxes = (await client.call("Mailbox/get", ids=None))["list"]
    inbox = next(mailbox for mailbox in mailboxes if mailbox["role"] == "inbox")
    assert (inbox["totalEmails"], inbox["unreadEmails"]) == (1, 1)
    status, answer = await client.request(
        ("Email/query", {"filter": {"inMailbox": inbox["id"]}}),
        (
            "Email/get",
            {
                "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"},
                "properties": ["subject", "from", "preview", "bodyValues", "textBody", "blobId"],
                "fetchTextBodyValues": True,
            },
        ),
    )
    assert status == 200
    (email,) = answer["methodResponses"][1][1]["list"]
    assert email["subject"] == "Hello"
    assert email["from"] == [{"name": "Ann", "email": "ann@example.com"}]
    assert email["preview"].strip() == "Grüße"
    assert email["bodyValues"][email["textBody"][0]["partId"]]["value"] == "Grüße\n"
    url = f"{client.url}/jmap/download/{client.account_id}/{email['blobId']}/mail.eml?type=message/rfc822"
    async with client.http.get(url, headers=client.headers) as download:
        assert download.status == 200
        assert await download.read() == MESSAGE


async def test_a_restart_keeps_ids_and_states(dovecot: Upstream, gateway: MakeGateway) -> None:
    """Another process on the same data directory goes on where the first stopped."""
    login = dovecot.fresh_login()
    dovecot.append(login, MESSAGE)
    first = (await gateway(dovecot))(login)
    before = await first.call("Email/query", filter={})
    state = (await first.call("Email/get", ids=[]))["state"]
    elsewhere = (await gateway(dovecot, data="elsewhere"))(login)
    assert (await elsewhere.call("Email/query", filter={}))["ids"] == before["ids"]  # derived, so the same everywhere
    _, answer = await elsewhere.request(("Email/changes", {"sinceState": state}))
    assert answer["methodResponses"][0][1]["type"] == "cannotCalculateChanges"


async def test_a_master_login_works_for_the_caller(dovecot: Upstream, gateway: MakeGateway) -> None:
    """The caller proves itself with its own password; the gateway's connections log in as the master."""
    assert dovecot.master is not None
    form, password = dovecot.master
    master = form.rpartition("*")[2]
    login = dovecot.fresh_login()
    dovecot.append(login, MESSAGE)
    more = f'auth = "master"\nmaster_login = "{master}"\nmaster_password = "{password}"'
    client = (await gateway(dovecot, more=more))(login)
    assert len((await client.call("Email/query", filter={}))["ids"]) == 1
    status, _problem = await (await gateway(dovecot, data="other", more=more))(login, password).session()
    assert status == 401  # the master's password is no key to an account from outside
