"""What a first sync does, against every server there is."""

from __future__ import annotations

import pytest

from gateway.secret import Secret
from gateway.upstream.imap import Connection, Endpoint, Message, PasswordCredentials
from gateway.upstream.imap.commands.append import Append
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream


async def test_first_sync(upstream: Upstream) -> None:
    """List with counters, select, read, search: whatever the server lacks."""
    login = upstream.fresh_login()
    endpoint = Endpoint(upstream.host, upstream.ports["imap"], "none")
    connection = await Connection.open(endpoint, PasswordCredentials(login, Secret(upstream.password)))
    message = b"From: a@example.com\r\nSubject: x\r\n\r\nhello\r\n"
    await connection.run(Append("INBOX", message, octets=len(message)))
    entries = await connection.list_mailboxes(
        returns=["SPECIAL-USE", "SUBSCRIBED"],
        status=["MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ", "X-GUID"],
    )  # not MAILBOXID: in a LIST Cyrus 3.6 answers it with memory it has freed
    inbox = next(entry for entry in entries if entry.name == "INBOX")
    assert inbox.status is not None
    assert (inbox.status["MESSAGES"], inbox.status["UNSEEN"]) == (1, 1)
    selected = await connection.select("INBOX", condstore=True)
    assert selected.exists == 1
    assert selected.uidvalidity == inbox.status["UIDVALIDITY"]
    got: list[Message] = []
    items = "UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)] BODYSTRUCTURE"
    await connection.fetch("1:*", items, on_message=got.append)
    assert len(got) == 1
    assert got[0].size == len(message)
    assert (got[0].sections["HEADER.FIELDS"] or b"").strip() == b"From: a@example.com\r\nSubject: x"
    structure = got[0].structure()
    assert structure is not None
    assert (structure.content_type, structure.octets) == ("text/plain", 7)
    chunks: list[bytes] = []
    await connection.fetch_section(got[0].uid, "1", sink=chunks.append)
    assert chunks == [b"hello\r\n"]
    assert await connection.search(["ALL"]) == [(got[0].uid, got[0].uid)]
    await connection.unselect()
    await connection.namespaces()
    await connection.logout()
