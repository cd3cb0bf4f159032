"""Push, whole: mail on a real server, and who hears of it how."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config import load
from gateway.server.serve import running
from tests.push.service import push_service
from tests.server.conftest import JmapClient, MakeGateway
from tests.server.pushing import push_settings, set_subscriptions, subscribe
from tests.server.sending import Sender, by_sink
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream, expect_ok

pytestmark = pytest.mark.upstream

SOON_S = 20.0
MESSAGE = b"From: a@example.com\r\nSubject: Hello\r\n\r\nx\r\n"


@asynccontextmanager
async def serving(tmp_path: Path, upstream: Upstream, login: str, *, push: str = "") -> AsyncIterator[JmapClient]:
    """Run a gateway on one data directory, until the end of the block; the login's INBOX is indexed."""
    config = tmp_path / "gateway.toml"
    config.write_text(
        f"""
[http]
listen = "127.0.0.1:0"
public_url = "http://gateway.test"
[admin]
listen = "127.0.0.1:0"
[store]
data_dir = "{tmp_path / "data"}"
[push]
{push}
[upstreams.test]
imap = "{upstream.imap_url}"
tls = "none"
"""
    )
    async with running(load(config, {})) as (host, port), aiohttp.ClientSession() as http:
        yield JmapClient(http, f"http://{host}:{port}", login, upstream.password)


async def indexed(client: JmapClient) -> None:
    await client.call("Email/query", filter={})


class Stream:
    """The events of an event source, gathered."""

    def __init__(self, client: JmapClient, query: str = "types=*&closeafter=no&ping=0") -> None:
        self._client, self._query = client, query
        self._states: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.is_open = asyncio.Event()

    async def __aenter__(self) -> Stream:
        self._task = asyncio.create_task(self._read())
        async with asyncio.timeout(SOON_S):
            await self.is_open.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        url = f"{self._client.url}/jmap/eventsource?{self._query}"
        headers = {} if "ticket=" in self._query else self._client.headers
        async with self._client.http.get(url, headers=headers, timeout=aiohttp.ClientTimeout()) as response:
            assert response.status == 200
            self.is_open.set()
            async for line in response.content:
                if line.startswith(b"data: "):
                    self._states.put_nowait(json.loads(line[6:])["changed"])

    async def hears(self, type: str) -> str:
        """Wait for an event that tells of this type; return the state."""
        async with asyncio.timeout(SOON_S):
            while True:
                for states in (await self._states.get()).values():
                    if type in states:
                        return str(states[type])


async def socket_hears(socket: aiohttp.ClientWebSocketResponse, type: str) -> None:
    async with asyncio.timeout(SOON_S):
        while True:
            change = await socket.receive_json()
            if any(type in states for states in change["changed"].values()):
                return


async def test_what_others_do_reaches_streams_and_sockets(dovecot: Upstream, tmp_path: Path) -> None:
    """A delivery by LMTP, a flag and an expunge by another client, in INBOX and elsewhere."""
    login = dovecot.fresh_login()
    dovecot.append(login, MESSAGE)
    dovecot.append(login, MESSAGE, mailbox="Elsewhere")
    async with serving(tmp_path, dovecot, login) as client:
        await indexed(client)
        _, session = await client.session()
        assert session["capabilities"]["urn:ietf:params:jmap:websocket"]["supportsPush"] is True
        async with (
            client.http.ws_connect(f"{client.url}/jmap/ws", headers=client.headers, protocols=("jmap",)) as socket,
            Stream(client) as stream,
        ):
            await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": None})
            await asyncio.sleep(1)  # the watch begins

            async def both_hear(type: str = "Email") -> None:
                await asyncio.gather(stream.hears(type), socket_hears(socket, type))
                await asyncio.sleep(0.3)  # what belongs to the same change comes together

            await asyncio.to_thread(dovecot.deliver, login, MESSAGE)
            await both_hear()
            for mailbox in ("INBOX", "Elsewhere"):
                for item in ("\\Seen", "\\Deleted"):
                    with dovecot.selected(login, mailbox) as imap:
                        expect_ok(imap.store("1", "+FLAGS", f"({item})"))
                        if item == "\\Deleted":
                            expect_ok(imap.expunge())
                    await both_hear()
            await asyncio.to_thread(dovecot.deliver, login, MESSAGE, "Elsewhere")
            await both_hear()
            assert len((await client.call("Email/query", filter={}))["ids"]) == 2


async def test_a_browser_follows_the_url_of_the_session(dovecot: Upstream, tmp_path: Path) -> None:
    """With the ticket that stands in it, and no header."""
    login = dovecot.fresh_login()
    async with serving(tmp_path, dovecot, login) as client:
        await indexed(client)
        _, session = await client.session()
        query = session["eventSourceUrl"].partition("?")[2].format(types="*", closeafter="state", ping=0)
        async with Stream(client, query) as stream:
            await asyncio.sleep(1)
            await asyncio.to_thread(dovecot.deliver, login, MESSAGE)
            await stream.hears("Email")


async def test_what_no_index_holds_is_told_too(dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway) -> None:
    """Identities and submissions: with the state that /get answers, from which /changes goes on."""
    client = (await gateway(dovecot, more=by_sink(smtp_sink)))(dovecot.fresh_login())
    sender = await Sender(client).begin()
    before = {type: (await client.call(f"{type}/get", ids=[]))["state"] for type in ("Identity", "EmailSubmission")}
    id = sender.identity["id"]
    async with Stream(client, "types=Identity,EmailSubmission&closeafter=no&ping=0") as stream:
        await client.call("Identity/set", update={id: {"name": "Ann"}})
        assert await stream.hears("Identity") == (await client.call("Identity/get", ids=[]))["state"]
        made = await sender.sent(f"there@{dovecot.fresh_login()}.example")
        await stream.hears("EmailSubmission")
    changes = await client.call("Identity/changes", sinceState=before["Identity"])
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], [id], [])
    changes = await client.call("EmailSubmission/changes", sinceState=before["EmailSubmission"])
    assert changes["created"] == [made["id"]]


async def test_streams_do_not_hold_up_the_end(dovecot: Upstream, tmp_path: Path) -> None:
    """A gateway that is told to stop stops, whoever listens."""
    login = dovecot.fresh_login()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as listening:
        async with serving(tmp_path, dovecot, login) as client:
            await indexed(client)
            http = await listening.enter_async_context(aiohttp.ClientSession())
            mine = JmapClient(http, client.url, login, dovecot.password)
            await listening.enter_async_context(Stream(mine))
            socket = await http.ws_connect(f"{mine.url}/jmap/ws", headers=mine.headers, protocols=("jmap",))
            reading = asyncio.create_task(socket.receive())
            began = loop.time()
        assert loop.time() - began < 5
        assert (await reading).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == aiohttp.WSCloseCode.GOING_AWAY


# ---------------------------------------------------------------- push subscriptions


async def test_a_device_hears_of_mail(dovecot: Upstream, tmp_path: Path) -> None:
    """Subscribed, verified, then told, encrypted for its keys."""
    login = dovecot.fresh_login()
    async with (
        push_service(tmp_path) as service,
        serving(tmp_path, dovecot, login, push=push_settings(service)) as client,
    ):
        await indexed(client)
        await subscribe(client, service, types=["Email"])
        await asyncio.sleep(1)
        await asyncio.to_thread(dovecot.deliver, login, MESSAGE)
        pushed = await service.next()
        state = (await client.call("Email/get", ids=[]))["state"]
        assert pushed.value == {"@type": "StateChange", "changed": {client.account_id: {"Email": state}}}


async def test_the_second_device_hears_too(dovecot: Upstream, tmp_path: Path) -> None:
    """Each of a login's devices is verified by its own code and then told; one that has gone is not, the other is."""
    login = dovecot.fresh_login()
    async with (
        push_service(tmp_path) as service,
        serving(tmp_path, dovecot, login, push=push_settings(service)) as client,
    ):
        await indexed(client)
        devices = {
            f"/{name}": await subscribe(
                client, service, deviceClientId=name, url=f"{service.url}/{name}", types=["Email"]
            )
            for name in ("d1", "d2")
        }
        await asyncio.sleep(1)
        for told in (["/d1", "/d2"], ["/d2"]):
            await asyncio.to_thread(dovecot.deliver, login, MESSAGE)
            pushed = [await service.next() for _ in told]
            state = (await client.call("Email/get", ids=[]))["state"]
            assert sorted(message.path for message in pushed) == told
            assert all(message.value["changed"] == {client.account_id: {"Email": state}} for message in pushed)
            with pytest.raises(TimeoutError):
                await service.next(2)
            answer = await set_subscriptions(client, destroy=[devices["/d1"]])
            assert answer["destroyed"] == ([devices["/d1"]] if len(told) == 2 else None)


async def test_after_a_restart_a_device_hears_once_of_what_it_missed(dovecot: Upstream, tmp_path: Path) -> None:
    """Nobody logs in: the gateway opens the account with what it has kept sealed; later mail is told as before."""
    login = dovecot.fresh_login()
    async with push_service(tmp_path) as service:
        settings = push_settings(service)
        async with serving(tmp_path, dovecot, login, push=settings) as client:
            await indexed(client)
            await subscribe(client, service)
            await asyncio.sleep(1)
        dovecot.deliver(login, MESSAGE)
        dovecot.deliver(login, MESSAGE)
        async with serving(tmp_path, dovecot, login, push=settings) as client:
            pushed = await service.next()
            assert "Email" in next(iter(pushed.value["changed"].values()))
            with pytest.raises(TimeoutError):
                await service.next(3)
            await asyncio.to_thread(dovecot.deliver, login, MESSAGE)
            assert "Email" in next(iter((await service.next()).value["changed"].values()))
            with suppress(TimeoutError):
                while True:  # what else the message moved may follow it
                    await service.next(2)
        async with serving(tmp_path, dovecot, login, push=settings):
            with pytest.raises(TimeoutError):  # nothing was missed
                await service.next(3)


async def test_the_password_is_sealed_and_goes_with_the_last_subscription(dovecot: Upstream, tmp_path: Path) -> None:
    """Nothing in the data directory shows it; without a subscription nothing is kept."""
    login = dovecot.fresh_login()
    secret = dovecot.password.encode()
    async with (
        push_service(tmp_path) as service,
        serving(tmp_path, dovecot, login, push=push_settings(service)) as client,
    ):
        await indexed(client)
        id = await subscribe(client, service)
        data = tmp_path / "data"
        database = [path for path in sorted(data.glob("gateway.db*")) if path.exists()]
        assert database
        assert not any(secret in path.read_bytes() for path in database)
        assert stat.S_IMODE((data / "vault.key").stat().st_mode) == 0o600
        assert any(b"push login" in path.read_bytes() for path in database)
        await set_subscriptions(client, destroy=[id])
        assert not any(b"push login" in path.read_bytes() for path in database if path.exists())


async def test_a_url_inside_is_refused(dovecot: Upstream, tmp_path: Path) -> None:
    """Without an allow-list no address of this machine or network may be named."""
    login = dovecot.fresh_login()
    async with serving(tmp_path, dovecot, login) as client:
        create = {"new": {"deviceClientId": "d", "url": "https://127.0.0.1:8443/x"}}
        answer = await set_subscriptions(client, create=create)
        assert answer["notCreated"]["new"]["type"] == "invalidProperties"
        assert answer["notCreated"]["new"]["properties"] == ["url"]
