"""What a new owner knows of an account, and what a Redis in trouble does to its clients."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import aiohttp
import pytest

from tests.nodes.conftest import StartNode
from tests.nodes.running import Node
from tests.nodes.test_cluster import at, until_answered
from tests.server.conftest import USING, JmapClient
from tests.server.sending import by_sink
from tests.server.test_shares import Sharing
from tests.upstreams.redis import RedisServer
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream


@pytest.fixture
def nodes(dovecot: Upstream, smtp_sink: SmtpSink, own_redis: RedisServer, start: StartNode) -> list[Node]:
    started = [start(dovecot, name=name, redis_url=own_redis.url, more=by_sink(smtp_sink)) for name in ("a", "b")]
    for node in started:
        node.wait()
    return started


async def call(client: JmapClient, name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """Make one call; return the name and the arguments of its answer, whichever it is."""
    status, answer = await client.request((name, arguments))
    assert status == 200, answer
    answered, result, _id = answer["methodResponses"][0]
    return answered, result


async def upload(client: JmapClient, octets: bytes) -> tuple[int, dict[str, Any]]:
    url = f"{client.url}/jmap/upload/{client.account_id}/"
    async with client.http.post(url, data=octets, headers=client.headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_a_new_owner_goes_on(nodes: list[Node], dovecot: Upstream, http: aiohttp.ClientSession) -> None:
    """With query states, identities and their states, and uploads, though the old owner was killed."""
    first, second = nodes
    login, octets = dovecot.fresh_login(), os.urandom(900_000)
    for number in range(3):
        dovecot.append(login, f"Subject: {number}\r\n\r\nx\r\n".encode())
    client = at(first, http, login, dovecot)
    await until_answered(client)
    query = {"filter": {"hasKeyword": "$flagged"}, "sort": [{"property": "receivedAt"}]}
    listed = await client.call("Email/query", **query)
    ids = (await client.call("Email/query"))["ids"]
    await client.call("Email/set", update={ids[0]: {"keywords/$flagged": True}})
    identities = await client.call("Identity/get")
    own = identities["list"][0]
    made = await client.call("Identity/set", create={"i": {"name": "Ann", "email": own["email"]}})
    blob = (await upload(client, octets))[1]["blobId"]
    first.signal(signal.SIGKILL)

    there = at(second, http, login, dovecot)
    await until_answered(there)
    told = await there.call("Email/queryChanges", **query, sinceQueryState=listed["queryState"])
    assert [(one["id"], one["index"]) for one in told["added"]] == [(ids[0], 0)]
    changed = await there.call("Identity/changes", sinceState=identities["state"])
    assert changed["created"] == [made["created"]["i"]["id"]]
    assert changed["newState"] == made["newState"]
    url = f"{second.url}/jmap/download/{there.account_id}/{blob}/x"
    async with http.get(url, headers=there.headers) as answer:
        assert await answer.read() == octets


async def test_what_cannot_be_kept_is_refused(
    nodes: list[Node], dovecot: Upstream, own_redis: RedisServer, http: aiohttp.ClientSession
) -> None:
    """While Redis takes no writes, nothing is acknowledged, and nothing is done behind it; then all goes on."""
    client = at(nodes[0], http, dovecot.fresh_login(), dovecot)
    await until_answered(client)
    inbox = (await client.call("Mailbox/query", filter={"role": "inbox"}))["ids"][0]
    address = (await client.call("Identity/get"))["list"][0]["email"]
    state = (await client.call("Identity/get"))["state"]
    await asyncio.sleep(1)  # after a write a mirror is believed for a moment
    own_redis.cli("CONFIG", "SET", "maxmemory", "1")
    email = {"mailboxIds": {inbox: True}, "subject": "never"}
    for name, create in (
        ("Identity/set", {"name": "Ann", "email": address}),
        ("Email/set", email),
        ("Mailbox/set", {"name": "never"}),
    ):
        answered, error = await call(client, name, create={"x": create})
        assert (answered, error["type"]) == ("error", "serverUnavailable"), (name, error)
    subscription = {"deviceClientId": "d", "url": "https://push.example.com/x"}
    body = {"using": USING, "methodCalls": [["PushSubscription/set", {"create": {"x": subscription}}, "0"]]}
    async with http.post(f"{client.url}/jmap/api", json=body, headers=client.headers) as answer:
        assert (await answer.json())["methodResponses"][0][1]["type"] == "serverUnavailable"
    assert (await upload(client, b"never"))[0] == 503
    own_redis.cli("CONFIG", "SET", "maxmemory", "0")
    assert (await client.call("Identity/get"))["state"] == state
    assert (await client.call("Email/query"))["ids"] == []
    assert "never" not in {one["name"] for one in (await client.call("Mailbox/get"))["list"]}
    assert (await client.call("Email/set", create={"x": email}))["created"]
    assert (await upload(client, b"now"))[0] == 201


async def test_a_redis_that_has_lost_everything(
    nodes: list[Node], dovecot: Upstream, own_redis: RedisServer, http: aiohttp.ClientSession
) -> None:
    """The account keeps its id; old states are told to be of no use, and no delta is made up."""
    login = dovecot.fresh_login()
    dovecot.append(login, b"Subject: x\r\n\r\nx\r\n")
    client = at(nodes[0], http, login, dovecot)
    await until_answered(client)
    ids, account_id = (await client.call("Email/query"))["ids"], client.account_id
    state = (await client.call("Email/get", ids=[]))["state"]
    own_redis.cli("FLUSHALL")
    await asyncio.sleep(4)  # until each node has noticed
    for node in nodes:
        again = at(node, http, login, dovecot)
        await until_answered(again)
        assert again.account_id == account_id
        assert (await again.call("Email/query"))["ids"] == ids
        answered, error = await call(again, "Email/changes", sinceState=state)
        assert (answered, error["type"]) == ("error", "cannotCalculateChanges")


async def test_what_others_share_goes_along(
    dovecot_shared: Upstream, own_redis: RedisServer, start: StartNode, http: aiohttp.ClientSession
) -> None:
    """An account of others has no owner of its own: with its login's it is written, lost, and gone on with."""
    sharing = Sharing(dovecot_shared)
    sharing.create("Projects", "lrswite")
    nodes = [start(dovecot_shared, name=name, redis_url=own_redis.url) for name in ("a", "b")]
    states = []
    for node in nodes:
        await asyncio.to_thread(node.wait)
        client = at(node, http, sharing.guest, dovecot_shared)
        await until_answered(client)
        session = (await client.session())[1]
        (client.account_id,) = [id for id, one in session["accounts"].items() if not one["isPersonal"]]
        assert (await upload(client, b"for all"))[0] == 201
        (inside,) = [one["id"] for one in (await client.call("Mailbox/get"))["list"] if one["name"] == "Projects"]
        listed = await client.call("Email/query", filter={"inMailbox": inside})
        assert len(listed["ids"]) == 1
        states.append(listed["queryState"])
        if node is nodes[0]:
            node.signal(signal.SIGKILL)
            await asyncio.to_thread(node.process.wait)
    assert states[0] == states[1]
