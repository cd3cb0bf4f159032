"""Several nodes on one Redis, as processes in front of a real mail server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from typing import Any

import aiohttp
import pytest

from tests.nodes.conftest import StartNode
from tests.nodes.running import Node
from tests.server.conftest import JmapClient
from tests.upstreams.redis import RedisServer
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream

CORE = "urn:ietf:params:jmap:core"
UNAVAILABLE_S = 30.0  # for an account whose node has vanished: 12 s by `make soak`, more on a machine that is busy


@pytest.fixture
def nodes(dovecot: Upstream, own_redis: RedisServer, start: StartNode) -> list[Node]:
    started = []
    for name in ("a", "b"):
        started.append(start(dovecot, name=name, redis_url=own_redis.url))
        started[-1].wait()
    return started


def at(node: Node, http: aiohttp.ClientSession, login: str, upstream: Upstream) -> JmapClient:
    return JmapClient(http, node.url, login, upstream.password)


async def until_answered(client: JmapClient, within_s: float = UNAVAILABLE_S) -> tuple[float, dict[str, Any]]:
    """Ask until there is an answer; return how long that took, and the mailboxes."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while True:
            try:
                status, answer = await client.request(("Mailbox/get", {}))
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
                continue
            if status == 200 and answer["methodResponses"][0][0] == "Mailbox/get":
                return time.monotonic() - began, answer["methodResponses"][0][1]
            await asyncio.sleep(0.1)


async def test_each_endpoint_is_served_by_the_owner(
    nodes: list[Node], dovecot: Upstream, http: aiohttp.ClientSession
) -> None:
    """What is asked at one node is answered by the other, which owns the account: every endpoint."""
    owner, other = nodes
    login = dovecot.fresh_login()
    first = at(owner, http, login, dovecot)
    assert (await first.session())[0] == 200
    client = at(other, http, login, dovecot)
    status, session = await client.session()
    assert status == 200
    assert client.account_id == first.account_id
    url, account, headers = other.url, client.account_id, client.headers
    assert (await client.call("Mailbox/get")) == (await first.call("Mailbox/get"))
    body = os.urandom(3_000_000)
    async with http.post(f"{url}/jmap/upload/{account}/", data=body, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        blob = (await answer.json())["blobId"]
    async with http.get(f"{url}/jmap/download/{account}/{blob}/x", headers=headers) as answer:
        assert await answer.read() == body
    ticket = session["eventSourceUrl"].replace("http://gateway.test", url)
    for name, value in (("types", "*"), ("closeafter", "state"), ("ping", "0")):
        ticket = ticket.replace(f"{{{name}}}", value)
    async with http.get(ticket) as stream:  # by its ticket alone, as a browser asks
        assert stream.status == 200
        await stream.content.readline()
        await first.call("Mailbox/set", create={"m": {"name": "made here"}})
        async with asyncio.timeout(10):
            assert b"event: state" in await stream.content.read()
    async with http.ws_connect(f"{url}/jmap/ws", protocols=["jmap"], headers=headers) as socket:
        request = {"@type": "Request", "id": "r", "using": [CORE], "methodCalls": [["Core/echo", {"x": 1}, "0"]]}
        await socket.send_str(json.dumps(request))
        assert json.loads(await socket.receive_str(timeout=10))["requestId"] == "r"
        await socket.send_str(json.dumps({"@type": "WebSocketPushEnable", "dataTypes": None}))
        await asyncio.sleep(0.3)
        await first.call("Mailbox/set", create={"m": {"name": "made there"}})
        assert json.loads(await socket.receive_str(timeout=10))["@type"] == "StateChange"
    assert owner.metric("accounts_open") == 1
    assert other.metric("accounts_open") == 0
    assert other.metric("forwards_total") >= 6
    assert other.metric("logins_total") == 0  # the owner alone proves a login


async def test_a_node_that_is_killed_is_replaced(
    nodes: list[Node], dovecot: Upstream, http: aiohttp.ClientSession
) -> None:
    """Soon another node serves the account, with the ids and the states that were told before."""
    owner, other = nodes
    login = dovecot.fresh_login()
    before = (await until_answered(at(owner, http, login, dovecot)))[1]
    owner.signal(signal.SIGKILL)
    took_s, after = await until_answered(at(other, http, login, dovecot))
    assert took_s < UNAVAILABLE_S
    assert after["state"] == before["state"]
    assert [m["id"] for m in after["list"]] == [m["id"] for m in before["list"]]


async def test_a_node_that_stands_still_is_replaced(
    nodes: list[Node], dovecot: Upstream, http: aiohttp.ClientSession
) -> None:
    """A stopped process loses its accounts; when it goes on it passes requests to the new owner."""
    owner, other = nodes
    login = dovecot.fresh_login()
    client, there = at(owner, http, login, dovecot), at(other, http, login, dovecot)
    await until_answered(client)
    stream = await http.get(f"{other.url}/jmap/eventsource?ping=0", headers=there.headers)
    await stream.content.readline()
    owner.signal(signal.SIGSTOP)
    await until_answered(there)
    async with asyncio.timeout(5):  # the stream that came from the stopped node has ended
        with contextlib.suppress(aiohttp.ClientError):
            await stream.content.read()
    made = (await there.call("Mailbox/set", create={"m": {"name": "meanwhile"}}))["created"]["m"]["id"]
    owner.signal(signal.SIGCONT)
    assert made in [m["id"] for m in (await client.call("Mailbox/get"))["list"]]
    assert owner.metric("accounts_open") == 0
    assert owner.metric("leases_lost_total") == 1


def until_it_owns(node: Node, count: int) -> None:
    end = time.monotonic() + UNAVAILABLE_S
    while node.metric("accounts_owned") < count:
        assert time.monotonic() < end
        time.sleep(0.1)


class AtWork:
    """Clients that make mailboxes at a node, one after another, and know which they were told of."""

    def __init__(self, node: Node, http: aiohttp.ClientSession, upstream: Upstream, logins: list[str]) -> None:
        self.clients = [at(node, http, login, upstream) for login in logins]
        self.made: dict[str, list[str]] = {login: [] for login in logins}
        self.faults: list[object] = []
        self.slowest_s = 0.0
        self._is_over = False

    async def __aenter__(self) -> AtWork:
        self._tasks = [asyncio.create_task(self._work(client)) for client in self.clients]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _work(self, client: JmapClient) -> None:
        while not self._is_over:
            began = time.monotonic()
            create = {"m": {"name": os.urandom(8).hex()}}
            status, answer = await client.request(("Mailbox/set", {"create": create}))
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            created = answer["methodResponses"][0][1].get("created") if status == 200 else None
            if created:
                self.made[client.login].append(created["m"]["id"])
            else:
                self.faults.append((status, answer))
            await asyncio.sleep(0.1)

    async def check(self) -> None:
        """Nothing failed, and all that was made is there, once."""
        assert self.faults == []
        for client in self.clients:
            found = [m["id"] for m in (await client.call("Mailbox/get"))["list"]]
            assert set(self.made[client.login]) <= set(found)
            assert len(found) == len(set(found))


async def test_sigterm_hands_over(nodes: list[Node], dovecot: Upstream, http: aiohttp.ClientSession) -> None:
    """While a node drains, no request at another one fails, and streams come back elsewhere with nothing missed."""
    owner, other = nodes
    logins = [dovecot.fresh_login() for _ in range(6)]
    for login in logins:
        await until_answered(at(owner, http, login, dovecot))
    async with AtWork(other, http, dovecot, logins) as clients:
        await asyncio.sleep(1)
        assert await asyncio.to_thread(owner.stop) == 0
        await asyncio.sleep(1)
    await clients.check()
    assert other.metric("accounts_open") == len(logins)
    assert clients.slowest_s < UNAVAILABLE_S


async def test_a_node_that_comes_gets_its_share(
    dovecot: Upstream, own_redis: RedisServer, start: StartNode, http: aiohttp.ClientSession
) -> None:
    """Accounts are moved to it while their clients work: no request fails, nothing that was made is lost."""
    old = start(dovecot, name="old", redis_url=own_redis.url)
    old.wait()
    logins = [dovecot.fresh_login() for _ in range(14)]
    for login in logins:
        await until_answered(at(old, http, login, dovecot))
    async with AtWork(old, http, dovecot, logins[:5]) as clients:
        new = start(dovecot, name="new", redis_url=own_redis.url)
        await asyncio.to_thread(new.wait)
        await asyncio.to_thread(until_it_owns, new, 4)
        await asyncio.sleep(1)
    await clients.check()
    moved = old.metric("accounts_moved_total")
    assert moved == new.metric("accounts_owned") == len(logins) - old.metric("accounts_owned")


async def test_two_nodes_never_own_one_account(
    nodes: list[Node], dovecot: Upstream, http: aiohttp.ClientSession
) -> None:
    """Many clients that come to both at once: one of the two opens the account."""
    login = dovecot.fresh_login()
    clients = [at(nodes[n % 2], http, login, dovecot) for n in range(12)]
    states = await asyncio.gather(*(client.call("Mailbox/get") for client in clients))
    assert len({state["state"] for state in states}) == 1
    assert sorted(node.metric("accounts_open") for node in nodes) == [0, 1]
