"""`--workers N`: several processes, one gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.nodes.conftest import StartNode
from tests.nodes.running import COMMAND, ROOT, Node
from tests.server.conftest import JmapClient
from tests.server.sending import Sender, by_sink
from tests.upstreams.redis import RedisServer
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream

WORKERS = 2
REPLACED_S = 30.0  # on a busy machine
CORE = "urn:ietf:params:jmap:core"


@pytest.fixture(scope="module")
def gateway(dovecot: Upstream, smtp_sink: SmtpSink, start_shared: StartNode) -> Node:
    """For tests that leave it running."""
    node = start_shared(dovecot, "--workers", str(WORKERS), more=by_sink(smtp_sink))
    node.wait()
    return node


@pytest.fixture
def own_gateway(dovecot: Upstream, start: StartNode) -> Node:
    node = start(dovecot, "--workers", str(WORKERS))
    node.wait()
    return node


def processes(node: Node) -> dict[int, int]:
    """Return the newest process of each worker."""
    return {int(w): int(p) for w, p in re.findall(r"worker=(\d+) pid=(\d+)", node.log.read_text())}


def of_each(gateway: Node, metric: str) -> list[float]:
    """Return a metric of every worker."""
    return [gateway.metric(metric, port=gateway.admin_port + n) for n in range(WORKERS)]


async def everywhere(gateway: Node, http: aiohttp.ClientSession, login: str, password: str) -> JmapClient:
    """Return a client that makes a connection for each request, so that they come to all workers."""
    client = JmapClient(http, gateway.url, login, password)
    client.headers["Connection"] = "close"
    status, answer = await client.session()
    assert status == 200, answer
    return client


async def test_each_endpoint_is_served_by_the_owner(
    gateway: Node, dovecot: Upstream, http: aiohttp.ClientSession
) -> None:
    """Whichever worker a request reaches, every endpoint answers, and one worker alone has the account open."""
    opened_before, forwarded_before = of_each(gateway, "accounts_open"), of_each(gateway, "forwards_total")
    client = await everywhere(gateway, http, dovecot.fresh_login(), dovecot.password)
    url, account, headers = gateway.url, client.account_id, client.headers
    upgrading = {"Authorization": headers["Authorization"]}
    body = os.urandom(3_000_000)  # too large to be kept for a second try
    for _ in range(6):
        assert (await client.session())[0] == 200
        assert (await client.call("Mailbox/get"))["list"]
        async with http.post(f"{url}/jmap/upload/{account}/", data=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            blob = (await answer.json())["blobId"]
        async with http.get(f"{url}/jmap/download/{account}/{blob}/a%20b?type=image/png", headers=headers) as answer:
            assert answer.status == 200
            assert answer.content_type == "image/png"
            assert await answer.read() == body
        part = {**headers, "Range": "bytes=10-19"}
        async with http.get(f"{url}/jmap/download/{account}/{blob}/x", headers=part) as answer:
            assert answer.status == 206
            assert await answer.read() == body[10:20]
        async with http.head(f"{url}/jmap/download/{account}/{blob}/x", headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Length"] == str(len(body))
        async with http.get(f"{url}/jmap/eventsource?types=*&closeafter=state&ping=0", headers=headers) as stream:
            assert stream.status == 200
            assert (await stream.content.readline()).startswith((b":", b"retry", b"id"))
            await client.call("Mailbox/set", create={"m": {"name": os.urandom(6).hex()}})
            async with asyncio.timeout(10):
                assert b"event: state" in await stream.content.read()
        async with http.ws_connect(f"{url}/jmap/ws", protocols=["jmap"], headers=upgrading) as socket:
            assert socket.protocol == "jmap"
            request = {"@type": "Request", "id": "r", "using": [CORE], "methodCalls": [["Core/echo", {"x": 1}, "0"]]}
            await socket.send_str(json.dumps(request))
            answered = json.loads(await socket.receive_str(timeout=10))
            assert answered["requestId"] == "r"
            assert answered["methodResponses"] == [["Core/echo", {"x": 1}, "0"]]
    opened = [now - before for now, before in zip(of_each(gateway, "accounts_open"), opened_before, strict=True)]
    assert sorted(opened) == [0, 1]
    forwarded = [now - before for now, before in zip(of_each(gateway, "forwards_total"), forwarded_before, strict=True)]
    assert max(forwarded) > 0
    assert min(forwarded) == 0  # what the owner gets, it answers


async def test_wrong_logins_are_refused_as_ever(gateway: Node, dovecot: Upstream, http: aiohttp.ClientSession) -> None:
    """A refusal looks the same from every worker, and carries its challenges; a WebSocket's too."""
    client = JmapClient(http, gateway.url, dovecot.fresh_login(), "wrong")
    client.headers["Connection"] = "close"
    for _ in range(4):
        async with http.post(f"{gateway.url}/jmap/api", json={}, headers=client.headers) as answer:
            assert answer.status == 401
            assert len(answer.headers.getall("WWW-Authenticate")) == 2
            assert (await answer.json(content_type=None))["status"] == 401
        upgrading = {"Authorization": client.headers["Authorization"]}
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await http.ws_connect(f"{gateway.url}/jmap/ws", protocols=["jmap"], headers=upgrading)
        assert raised.value.status == 401


async def test_a_forged_hop_is_refused(gateway: Node, http: aiohttp.ClientSession) -> None:
    """The public listener takes no request that says it comes from a node."""
    async with http.get(f"{gateway.url}/.well-known/jmap", headers={"Gateway-Hop": "1 e30= 00"}) as answer:
        assert answer.status == 403


async def test_a_dead_worker_is_replaced(
    gateway: Node, dovecot: Upstream, smtp_sink: SmtpSink, http: aiohttp.ClientSession
) -> None:
    """What a killed worker served is served again within seconds; ids and states stay; mail that waits is sent once."""
    clients = [await everywhere(gateway, http, dovecot.fresh_login(), dovecot.password) for _ in range(4)]
    recipients = [f"held@{client.login}.example" for client in clients]
    for client, to in zip(clients, recipients, strict=True):
        sender = await Sender(client).begin()
        made = await sender.sent(to, submission=sender.held(to, 3))
        assert made["undoStatus"] == "pending"
    before = [await client.call("Mailbox/get") for client in clients]
    first = processes(gateway)
    os.kill(first[0], signal.SIGKILL)
    for client, known in zip(clients, before, strict=True):
        async with asyncio.timeout(REPLACED_S):
            while True:
                try:
                    status, answer = await client.request(("Mailbox/get", {}))
                except aiohttp.ClientError:  # it was in the queue of the one that was killed
                    continue
                if status == 200:
                    break
        found = answer["methodResponses"][0][1]
        assert found["state"] == known["state"]
        assert [m["id"] for m in found["list"]] == [m["id"] for m in known["list"]]
    assert processes(gateway)[0] != first[0]
    assert processes(gateway)[1] == first[1]
    for to in recipients:
        await asyncio.to_thread(smtp_sink.to, to, 1)
    await asyncio.sleep(1)
    assert [len(smtp_sink.to(to)) for to in recipients] == [1] * len(clients)


async def test_sigterm_finishes_requests(own_gateway: Node, dovecot: Upstream, http: aiohttp.ClientSession) -> None:
    """Requests that were begun are answered, whichever worker has to; streams end; nothing is left running."""
    clients = [await everywhere(own_gateway, http, dovecot.fresh_login(), dovecot.password) for _ in range(4)]
    stream = await http.get(f"{own_gateway.url}/jmap/eventsource?ping=0", headers=clients[0].headers)
    started = asyncio.Event()

    async def slow_upload(client: JmapClient) -> int:
        async def octets() -> AsyncIterator[bytes]:
            for _ in range(15):
                yield os.urandom(100_000)
                started.set()
                await asyncio.sleep(0.1)

        url = f"{own_gateway.url}/jmap/upload/{client.account_id}/"
        async with http.post(url, data=octets(), headers=client.headers) as answer:
            await answer.read()
            return answer.status

    uploads = [asyncio.create_task(slow_upload(client)) for client in clients for _ in range(2)]
    await started.wait()
    await asyncio.sleep(0.3)
    stopping = asyncio.create_task(asyncio.to_thread(own_gateway.stop))
    assert await asyncio.gather(*uploads) == [201] * len(uploads)
    async with asyncio.timeout(10):
        with contextlib.suppress(aiohttp.ClientError):  # at its end, or cut
            assert await stream.content.read()
    assert await stopping == 0, own_gateway.tail()
    for process in processes(own_gateway).values():
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_a_gateway_that_cannot_start_ends(dovecot: Upstream, start: StartNode, gateway: Node) -> None:
    """A data directory in use ends it with a text, and so does a port in use by somebody else."""
    config = gateway.directory / "gateway.toml"
    again = [*COMMAND, "serve", "--config", str(config), "--workers", "2"]
    done = subprocess.run(again, capture_output=True, text=True, timeout=20, cwd=ROOT)
    assert done.returncode == 1
    assert "in use by another gateway" in done.stderr
    alone = subprocess.run(again[:-2], capture_output=True, text=True, timeout=20, cwd=ROOT)
    assert alone.returncode == 1
    assert "in use by another gateway" in alone.stderr


def test_a_dead_parent_takes_its_workers_along(own_gateway: Node) -> None:
    own_gateway.process.kill()
    own_gateway.process.wait()
    left = [Path(f"/proc/{process}") for process in processes(own_gateway).values()]
    assert len(left) == WORKERS
    end = time.monotonic() + 15
    while any(path.exists() for path in left):
        assert time.monotonic() < end
        time.sleep(0.1)


async def test_workers_on_redis_are_nodes(
    dovecot: Upstream, own_redis: RedisServer, start: StartNode, http: aiohttp.ClientSession
) -> None:
    """Each account is served by one of them; when that one dies the other has it, with its ids and states, and there
    are two again."""
    gateway = start(dovecot, "--workers", str(WORKERS), redis_url=own_redis.url)
    await asyncio.to_thread(gateway.wait)
    client = await everywhere(gateway, http, dovecot.fresh_login(), dovecot.password)
    known = await client.call("Mailbox/get")
    assert sorted(of_each(gateway, "accounts_open")) == [0, 1]
    owner = of_each(gateway, "accounts_open").index(1)
    first = processes(gateway)
    os.kill(first[owner], signal.SIGKILL)
    async with asyncio.timeout(REPLACED_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):  # it was in the queue of the one that was killed
                status, answer = await client.request(("Mailbox/get", {}))
                if status == 200 and answer["methodResponses"][0][0] == "Mailbox/get":
                    break
            await asyncio.sleep(0.1)
    found = answer["methodResponses"][0][1]
    assert found["state"] == known["state"]
    assert [m["id"] for m in found["list"]] == [m["id"] for m in known["list"]]
    await asyncio.to_thread(gateway.wait)
    assert processes(gateway)[owner] != first[owner]
    assert processes(gateway)[1 - owner] == first[1 - owner]
    assert await asyncio.to_thread(gateway.stop) == 0
