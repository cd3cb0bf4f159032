"""What nodes do without a client: mail that waits is sent, and devices are told, on one node; then on the next."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.nodes.conftest import StartNode
from tests.nodes.running import Node
from tests.push.service import PushService, push_service
from tests.server.conftest import JmapClient
from tests.server.pushing import push_settings, subscribe
from tests.server.sending import Sender, by_sink
from tests.upstreams.redis import RedisServer
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream

HELD_S = 20  # longer than it takes to stop a node, and until another has what it had to do
TAKEN_OVER_S = 30.0  # for a node that vanished, and for what its accounts have to do; on a busy machine
QUIET_S = 3.0  # if something was to come twice, it came by then
MESSAGE = b"From: a@example.com\r\nSubject: Hello\r\n\r\nx\r\n"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[PushService]:
    async with push_service(tmp_path) as running:
        yield running


@pytest.fixture
def nodes(
    dovecot: Upstream, smtp_sink: SmtpSink, service: PushService, own_redis: RedisServer, start: StartNode
) -> list[Node]:
    more = f"{by_sink(smtp_sink)}\n[push]\n{push_settings(service)}"
    return [start(dovecot, name=name, redis_url=own_redis.url, more=more) for name in ("a", "b")]


async def ready(nodes: list[Node]) -> None:
    for node in nodes:
        await asyncio.to_thread(node.wait)


async def until_sent(sender: Sender, node: Node, id: str) -> None:
    """Wait until this node tells that a submission has left, and was taken."""
    sender.client.url = node.url
    end = time.monotonic() + TAKEN_OVER_S
    while True:
        status, answer = await sender.client.request(("EmailSubmission/get", {"ids": [id]}))
        record = answer["methodResponses"][0][1]["list"][0] if status == 200 else None
        if record is not None and record["undoStatus"] == "final":
            assert {one["delivered"] for one in record["deliveryStatus"].values()} == {"unknown"}
            return
        assert time.monotonic() < end, answer
        await asyncio.sleep(0.2)


async def waits_at(node: Node) -> None:
    """Wait until this node has what there is to be done."""
    end = time.monotonic() + TAKEN_OVER_S
    while (node.metric("submissions_waiting"), node.metric("push_subscriptions")) != (1, 1):
        assert time.monotonic() < end, node.tail()
        await asyncio.sleep(0.1)


async def test_the_duties_of_a_node_that_ends(
    nodes: list[Node], dovecot: Upstream, smtp_sink: SmtpSink, service: PushService, http: aiohttp.ClientSession
) -> None:
    """They go to another node when theirs is stopped, and when it is killed: mail that waits is sent once, though its
    draft is gone; a device hears once of what came meanwhile. Nobody logs in."""
    first, second = nodes
    await ready(nodes)
    login = dovecot.fresh_login()
    client = JmapClient(http, first.url, login, dovecot.password)
    sender = await Sender(client).begin()
    await client.call("Email/query", filter={})
    await subscribe(client, service, types=["EmailDelivery"])
    to = f"held@{dovecot.fresh_login()}.example"
    due = time.time() + HELD_S
    made = await sender.sent(
        to, submission=sender.held(to, HELD_S), more={"onSuccessUpdateEmail": None, "onSuccessDestroyEmail": ["#sub"]}
    )
    assert made["undoStatus"] == "pending"
    told = [(await service.next()).value["changed"]]  # of the draft
    assert [node.metric("submissions_waiting") for node in nodes] == [1, 0]
    assert [node.metric("push_subscriptions") for node in nodes] == [1, 0]

    assert await asyncio.to_thread(first.stop, TAKEN_OVER_S) == 0
    await waits_at(second)
    first.start()
    await asyncio.to_thread(first.wait)
    second.signal(signal.SIGKILL)
    await asyncio.to_thread(second.process.wait)
    await asyncio.to_thread(dovecot.deliver, login, MESSAGE)
    told.append((await service.next(TAKEN_OVER_S)).value["changed"])
    assert [list(changed[client.account_id]) for changed in told] == [["EmailDelivery"]] * 2
    assert told[0] != told[1]
    await until_sent(sender, first, made["id"])
    assert time.time() >= due
    await asyncio.sleep(QUIET_S)
    assert len(smtp_sink.to(to)) == 1
    assert service.pushed.empty()
    assert first.metric("submissions_waiting") == 0
    assert first.metric("push_subscriptions") == 1
