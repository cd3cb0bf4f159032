"""Requests that another node answers: what goes through, and what is told when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from gateway.jmap.capability import CORE, MAIL
from gateway.metrics import Metrics
from gateway.web import forward
from gateway.web.forward import Forwarder
from gateway.web.hop import HEADER, MOVED_HEADER, Hop, HopSeal
from gateway.web.owners import Peer
from tests.web.conftest import BASIC, WRONG, Client, MakeClient, Parts

SEAL = HopSeal(b"s" * 32)
WHOLE, BROKEN = "m_Mabc", "m_Mabd"  # blobs


@dataclass(frozen=True)
class Node:
    id: str
    url: str


class Owners:
    """What one node believes. `nodes` are what it is told in turn; then the last one again."""

    def __init__(self, *nodes: Node | OSError | None) -> None:
        self.nodes = list(nodes)
        self.is_mine = False
        self.forgotten = 0

    def is_ours(self, _account_id: str) -> bool:
        return self.is_mine

    async def owner(self, _account_id: str) -> Peer | None:
        found = self.nodes.pop(0) if len(self.nodes) > 1 else self.nodes[0]
        if isinstance(found, OSError):
            raise found
        return found

    async def take(self, _account_id: str) -> Peer | None:
        self.is_mine = True
        return None

    def forget(self, _account_id: str) -> None:
        self.forgotten += 1

    def another(self) -> Peer | None:
        return None

    @contextmanager
    def working(self, _account_id: str) -> Iterator[None]:
        yield


def node_of(client: Client, id: str = "owner") -> Node:
    return Node(id, f"http://{client.host}:{client.port}")


def call(name: str = "Core/echo") -> dict[str, object]:
    return {"using": [CORE, MAIL], "methodCalls": [[name, {"x": 1}, "0"]]}


@pytest.fixture
async def owner(make_client: MakeClient, parts: Parts) -> Client:
    """The listener for nodes of the node that owns the account."""
    client = await make_client(seal=SEAL)
    mine = Owners(None)
    mine.is_mine = True
    parts.site.to_owner = Forwarder(mine, SEAL, Metrics()).serve
    return client


MakeFront = Callable[..., Awaitable[tuple[Client, Forwarder]]]


@pytest.fixture
async def make_front(make_client: MakeClient, parts: Parts) -> AsyncIterator[MakeFront]:
    """Start the public listener of a node that owns nothing."""
    made: list[Forwarder] = []

    async def make(owners: Owners) -> tuple[Client, Forwarder]:
        client = await make_client()
        forwarder = Forwarder(owners, SEAL, Metrics())
        parts.site.to_owner = forwarder.serve
        made.append(forwarder)
        return client, forwarder

    yield make
    for forwarder in made:
        await forwarder.aclose()


@pytest.fixture
async def breaking(aiohttp_client: Callable[[web.Application], Awaitable[Client]]) -> tuple[Client, list[str]]:
    """A node that reads a request and then goes away; the methods of what it has read."""
    seen: list[str] = []

    async def read(request: web.Request) -> web.Response:
        await request.read()
        seen.append(request.method)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", read)
    return await aiohttp_client(app), seen


async def test_the_owner_answers(owner: Client, make_front: MakeFront) -> None:
    client, _ = await make_front(Owners(node_of(owner)))
    async with client.post("/jmap/api", json=call(), headers=BASIC) as answer:
        assert answer.status == 200
        assert (await answer.json())["methodResponses"] == [["Core/echo", {"x": 1}, "0"]]
    async with client.get("/.well-known/jmap", headers=WRONG) as answer:
        assert answer.status == 401
        assert len(answer.headers.getall("WWW-Authenticate")) == 2
        assert MOVED_HEADER not in answer.headers


async def test_a_request_line_with_scheme_and_host_is_passed_on(owner: Client, make_front: MakeFront) -> None:
    """RFC 9112 section 3.2.2; whatever host it names, the owner gets it."""
    client, _ = await make_front(Owners(node_of(owner)))
    for target in (f"http://{client.host}:{client.port}", "http://evil.example", "http://u:p@evil.example:1"):
        reader, writer = await asyncio.open_connection(client.host, client.port)
        lines = [f"GET {target}/.well-known/jmap HTTP/1.1", "Host: x", f"Authorization: {BASIC['Authorization']}"]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
        assert b'"primaryAccounts"' in answer
        writer.close()


async def test_only_nodes_are_heard_where_nodes_listen(owner: Client, make_front: MakeFront) -> None:
    async with owner.get("/.well-known/jmap", headers=BASIC) as answer:
        assert answer.status == 403
    async with owner.get("/.well-known/jmap", headers={**BASIC, HEADER: "1 W10= 00"}) as answer:
        assert answer.status == 403
    client, _ = await make_front(Owners(node_of(owner)))
    async with client.get("/.well-known/jmap", headers={**BASIC, HEADER: "1 W10= 00"}) as answer:
        assert answer.status == 403


async def test_what_was_passed_on_is_not_passed_on_again(make_client: MakeClient, parts: Parts) -> None:
    """Two nodes that each take the other for the owner: no loop, but an answer once it is found out."""
    first, second = await make_client(seal=SEAL), None
    first_site = parts.site
    second = await make_client(seal=SEAL)
    forwarders = [Forwarder(Owners(node_of(one)), SEAL, Metrics()) for one in (second, first)]
    first_site.to_owner, parts.site.to_owner = (forwarder.serve for forwarder in forwarders)
    said = SEAL.seal(Hop("192.0.2.1", None), method="POST", path="/jmap/api", authorization=BASIC["Authorization"])
    for client in (first, second):
        async with client.post("/jmap/api", json=call(), headers={**BASIC, HEADER: said}) as answer:
            assert answer.status == 421
            assert answer.headers[MOVED_HEADER] == "1"
    for forwarder in forwarders:
        await forwarder.aclose()


async def test_a_node_that_has_moved_the_account_is_asked_no_more(
    owner: Client, make_client: MakeClient, make_front: MakeFront, parts: Parts
) -> None:
    """What it has not done is done by the new owner, uploads too where they were not begun."""
    old = await make_client(seal=SEAL)
    parts.site.to_owner = Forwarder(Owners(Node("x", "http://127.0.0.1:1")), SEAL, Metrics()).serve
    client, _ = await make_front(Owners(node_of(old, "old"), node_of(owner)))
    async with client.post("/jmap/api", json=call(), headers=BASIC) as answer:
        assert answer.status == 200


async def test_what_may_have_been_done_is_not_done_twice(
    breaking: tuple[Client, list[str]], owner: Client, make_front: MakeFront
) -> None:
    """The owner goes with a request: its client hears that nobody knows. Only what could but read is sent again."""
    broken, seen = breaking
    client, _ = await make_front(Owners(node_of(broken), node_of(owner)))
    async with client.post("/jmap/api", json=call("Email/set"), headers=BASIC) as answer:
        assert answer.status == 503
        assert "not known" in (await answer.json())["detail"]
    assert seen == ["POST"]
    client, _ = await make_front(Owners(node_of(broken), node_of(owner)))
    async with client.post("/jmap/api", json=call(), headers=BASIC) as answer:
        assert answer.status == 200
    assert seen == ["POST", "POST"]
    client, _ = await make_front(Owners(node_of(broken), node_of(owner)))
    async with client.get("/.well-known/jmap", headers=BASIC) as answer:
        assert answer.status == 200
    assert set(seen[2:]) == {"GET"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"methodCalls": [["Email/get", {}, "0"], ["Core/echo", {}, "1"], ["Email/queryChanges", {}, "2"]]}', True),
        (b'{"methodCalls": []}', True),
        (b'{"methodCalls": [["Email/get", {}, "0"], ["Email/set", {}, "1"]]}', False),
        (b'{"methodCalls": [["Blob/upload", {}, "0"]]}', False),
        (b'{"methodCalls": [["get", {}, "0"], ["reset", {}, "0"]]}', False),
        (b'{"methodCalls": [[], []]}', False),
        (b'{"methodCalls": 1}', False),
        (b"[1]", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_what_only_reads(body: bytes, expected: bool) -> None:
    assert forward.reads(body) is expected


async def test_an_owner_that_is_not_there_is_waited_for(make_front: MakeFront) -> None:
    """It refuses connections until it is given up; then the account is taken."""
    gone = Node("gone", "http://127.0.0.1:1")
    owners = Owners(gone, gone, gone, None)
    client, _ = await make_front(owners)
    async with client.post("/jmap/api", json=call(), headers=BASIC) as answer:
        assert answer.status == 200
    assert owners.is_mine
    assert owners.forgotten == 3


async def test_it_is_not_waited_for_without_end(make_front: MakeFront, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "WAIT_S", 0.3)
    client, _ = await make_front(Owners(Node("gone", "http://127.0.0.1:1")))
    async with client.post("/jmap/api", json=call(), headers=BASIC) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0


async def test_a_wrong_login_makes_no_node_take_an_account(make_front: MakeFront) -> None:
    owners = Owners(None)
    client, _ = await make_front(owners)
    async with client.post("/jmap/api", json=call(), headers=WRONG) as answer:
        assert answer.status == 401
    assert not owners.is_mine


async def test_while_nobody_can_say_whose_an_account_is(make_front: MakeFront) -> None:
    client, _ = await make_front(Owners(OSError("Redis does not answer")))
    async with client.post("/jmap/api", json=call(), headers=BASIC) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0


async def test_a_request_at_a_node_that_is_given_up_ends(owner: Client, make_front: MakeFront, parts: Parts) -> None:
    """It does not answer, and nothing more will come of it."""
    begun, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        await never.wait()

    parts.slow_until = hang
    client, forwarder = await make_front(Owners(node_of(owner)))
    asked = asyncio.create_task(client.post("/jmap/api", json=call("Test/slow"), headers=BASIC))  # whatever it does
    await begun.wait()
    forwarder.cut("another")
    forwarder.cut("owner")
    async with asyncio.timeout(5):
        answer = await asked
    assert answer.status == 503
    assert "not known" in (await answer.json())["detail"]
    never.set()


async def test_octets_go_through_as_they_come(owner: Client, make_front: MakeFront, parts: Parts) -> None:
    """The first of a download are there before the last are; one that breaks off is not taken for whole."""
    client, _ = await make_front(Owners(node_of(owner)))
    parts.blobs[WHOLE] = [b"x" * 300_000, b"y" * 300_000]
    async with client.get(f"/jmap/download/{await account_id(client)}/{WHOLE}/x", headers=BASIC) as answer:
        assert answer.status == 200
        assert await answer.read() == b"x" * 300_000 + b"y" * 300_000
    parts.blobs[BROKEN] = ConnectionError()
    async with client.get(f"/jmap/download/{await account_id(client)}/{BROKEN}/x", headers=BASIC) as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def account_id(client: Client) -> str:
    async with client.get("/.well-known/jmap", headers=BASIC) as answer:
        (found,) = (await answer.json())["accounts"]
    return str(found)


@pytest.mark.parametrize("size_octets", [0, 1, forward.REPLAY_OCTETS + 1, 5_000_000])
async def test_an_upload_arrives_whole(owner: Client, make_front: MakeFront, size_octets: int) -> None:
    """With its length told, and in chunks."""
    client, _ = await make_front(Owners(node_of(owner)))
    url = f"/jmap/upload/{await account_id(client)}/"

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, size_octets, 100_000):
            yield b"x" * min(100_000, size_octets - at)

    for body in (b"x" * size_octets, chunks()):
        async with client.post(url, data=body, headers=BASIC) as answer:
            assert answer.status == 201, await answer.text()
            assert (await answer.json())["size"] == size_octets
