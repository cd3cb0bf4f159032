"""Sieve scripts and the vacation reply over HTTP, before Cyrus's timsieved."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.server.conftest import MakeGateway
from tests.server.sieve import create, deliver, is_enabled, replies, sieve_of, upload, vacation
from tests.upstreams import sink as sink_server
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream

FILING = 'require ["fileinto"];\r\nif header :contains "subject" "work" { fileinto "Archive"; stop; }\r\n'


@pytest.fixture(scope="module")
def cyrus_sink(cyrus: Upstream) -> SmtpSink:
    return sink_server.start(cyrus.place)


async def test_scripts_and_vacation(gateway: MakeGateway, cyrus: Upstream, cyrus_sink: SmtpSink) -> None:
    """A script files mail while a reply goes out once; switched off, the script is active again and as it was."""
    cyrus.place.wait_for_ports("sieve")
    login = cyrus.fresh_login()
    with cyrus.imap(login):
        pass
    client = (await gateway(cyrus, more=sieve_of(cyrus)))(login)
    own = await create(client, "mine", FILING, onSuccessActivateScript="#a")
    await vacation(
        client, isEnabled=True, subject="Auf See", textBody='a "quoted"\n.\ntext', fromDate="2020-01-01T00:00:00Z"
    )
    assert await is_enabled(client)
    sender = f"cyrus{time.time_ns()}@sender.test"
    for subject in ("hello", "work", "work again"):
        deliver(cyrus, login, sender=sender, subject=subject)
    cyrus_sink.kept(1)
    await asyncio.sleep(0.3)
    (reply,) = replies(cyrus_sink, sender)
    assert b"Auf See" in reply
    assert b'a "quoted"\r\n.\r\ntext' in reply
    with cyrus.selected(login, "Archive") as imap:
        assert imap.search(None, "ALL")[1] == [b"1 2"]
    renamed = await client.call("SieveScript/set", update={own: {"name": "renamed"}})
    assert renamed["updated"] == {own: None}
    deliver(cyrus, login, sender=sender, subject="work")
    with cyrus.selected(login, "Archive") as imap:
        assert imap.search(None, "ALL")[1] == [b"1 2 3"]
    await vacation(client, isEnabled=False)
    (script,) = (await client.call("SieveScript/get", ids=[own]))["list"]
    assert script["isActive"]
    assert script["blobId"] == await upload(client, FILING)


async def test_cyrus_has_its_limits(gateway: MakeGateway, cyrus: Upstream) -> None:
    """Names that it refuses, names that it lists otherwise, too large a script and one too many: each has its error."""
    cyrus.place.wait_for_ports("sieve")
    login = cyrus.fresh_login()
    with cyrus.imap(login):
        pass
    client = (await gateway(cyrus, more=sieve_of(cyrus)))(login)
    keep, large = await upload(client, "keep;"), await upload(client, "#" * 40_000 + "\r\nkeep;")

    async def outcome(name: str, blob_id: str = keep) -> str:
        answer = await client.call("SieveScript/set", create={"a": {"name": name, "blobId": blob_id}})
        return str(answer["notCreated"]["a"]["type"]) if answer["notCreated"] else "created"

    assert await outcome("a/b") == "invalidProperties"
    assert await outcome("x" * 300) == "invalidProperties"
    assert await outcome("large", large) == "tooLarge"
    assert await outcome("bad", await upload(client, "kep;")) == "invalidSieve"
    assert (await client.call("SieveScript/get", ids=None))["list"] == []
    for name in ("née", 'a "b" c', "plain", "four", "five"):
        assert await outcome(name) == "created", name
    assert await outcome("six") == "overQuota"
    assert len((await client.call("SieveScript/get", ids=None))["list"]) == 5
    answer = await client.call("VacationResponse/set", update={"singleton": {"isEnabled": True}})
    assert answer["notUpdated"]["singleton"]["type"] == "overQuota"
