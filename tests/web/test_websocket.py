"""JMAP over WebSocket, with a real client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from gateway.account.account import Account
from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.limits import Limits
from gateway.web import websocket
from tests.push.accounts import deliver, opened, rename, state, watchers
from tests.web.conftest import BASIC, PUBLIC_URL, WRONG, Client, MakeClient, Parts

URL = "/jmap/ws"
SOON_S = 5.0


@pytest.fixture
async def account(parts: Parts, tmp_path: Path) -> AsyncIterator[Account]:
    async with opened(tmp_path / "a.db") as account:
        parts.accounts = {"A1": account}
        yield account


Socket = aiohttp.ClientWebSocketResponse


@asynccontextmanager
async def connected(client: Client, **options: Any) -> AsyncIterator[Socket]:
    given: dict[str, Any] = {"protocols": ("jmap",), "headers": BASIC, "max_msg_size": 0} | options
    async with client.ws_connect(URL, **given) as socket:
        yield socket


async def receive(socket: Socket, timeout_s: float = SOON_S) -> Any:
    async with asyncio.timeout(timeout_s):
        message = await socket.receive()
    assert message.type is WSMsgType.TEXT, message
    return json.loads(message.data)


def request(name: str, arguments: dict[str, Any], id: str | None = "R1", using: str = MAIL) -> dict[str, Any]:
    named = {} if id is None else {"id": id}
    return {"@type": "Request", **named, "using": [CORE, using], "methodCalls": [[name, arguments, "c"]]}


async def quiet(socket: Socket, seconds: float = 0.2) -> None:
    with pytest.raises(TimeoutError):
        await receive(socket, seconds)


# ---------------------------------------------------------------- the handshake


async def test_the_session_names_the_url(client: Client, account: Account) -> None:
    """Absolute, wss: where the gateway is https:, and push is supported."""
    async with client.get("/.well-known/jmap", headers=BASIC) as response:
        capability = (await response.json())["capabilities"]["urn:ietf:params:jmap:websocket"]
    assert capability == {"url": PUBLIC_URL.replace("https", "wss") + URL, "supportsPush": True}


async def test_the_subprotocol_is_required(client: Client, account: Account) -> None:
    """A client that does not offer `jmap` does not speak it (RFC 8887 section 4.2)."""
    async with connected(client, protocols=("chat", "jmap")) as socket:
        assert socket.protocol == "jmap"
    for protocols in ((), ("chat",)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await client.ws_connect(URL, protocols=protocols, headers=BASIC)
        assert refusal.value.status == 400


async def test_it_needs_credentials(client: Client, account: Account) -> None:
    """In the request that begins it; wrong ones and none are 401."""
    for headers in ({}, WRONG):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await client.ws_connect(URL, protocols=("jmap",), headers=headers)
        assert refusal.value.status == 401


async def test_a_plain_get_is_told_what_to_do(client: Client, account: Account) -> None:
    """426 and Upgrade."""
    async with client.get(URL, headers=BASIC) as response:
        assert (response.status, response.headers["Upgrade"]) == (426, "websocket")


async def test_a_foreign_page_is_refused(make_client: MakeClient, account: Account) -> None:
    """Browsers do not check WebSockets by CORS; we do. Who sends no Origin is no page."""
    client = await make_client(cors_origins=("https://mail.example.com",))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await client.ws_connect(URL, protocols=("jmap",), headers=BASIC, origin="https://evil.example")
    assert refusal.value.status == 403
    async with connected(client, origin="https://mail.example.com"), connected(client):
        pass


# ---------------------------------------------------------------- requests


async def test_a_request_is_answered(client: Client, account: Account) -> None:
    """The Response names the request and the state of the Session."""
    async with connected(client) as socket:
        await socket.send_json(request("Core/echo", {"hello": True}))
        response = await receive(socket)
        assert response.pop("sessionState")
        assert response == {
            "@type": "Response",
            "requestId": "R1",
            "methodResponses": [["Core/echo", {"hello": True}, "c"]],
        }
        await socket.send_json(request("Core/echo", {}, id=None))
        assert "requestId" not in await receive(socket)


async def test_requests_run_side_by_side(client: Client, parts: Parts, account: Account) -> None:
    """A slow one does not hold up the next."""
    go_on = asyncio.Event()

    async def wait() -> None:
        await go_on.wait()

    parts.slow_until = wait
    async with connected(client) as socket:
        await socket.send_json(request("Test/slow", {}, "slow"))
        await socket.send_json(request("Core/echo", {}, "quick"))
        assert (await receive(socket))["requestId"] == "quick"
        go_on.set()
        assert (await receive(socket))["requestId"] == "slow"


async def test_requests_count_with_those_over_http(make_client: MakeClient, parts: Parts, account: Account) -> None:
    """maxConcurrentRequests is of the login, whichever way they come; one too many is told and costs nothing else."""
    client = await make_client(limits=Limits(max_concurrent_requests=2))
    go_on, running = asyncio.Event(), 0

    async def wait() -> None:
        nonlocal running
        running += 1
        await go_on.wait()

    parts.slow_until = wait
    async with connected(client) as socket:
        body = {"using": [CORE, MAIL], "methodCalls": [["Test/slow", {}, "c"]]}
        http = asyncio.create_task(client.post("/jmap/api", json=body, headers=BASIC))
        await socket.send_json(request("Test/slow", {}, "slow"))
        while running < 2:  # noqa: ASYNC110  # nobody tells a test
            await asyncio.sleep(0.01)
        await socket.send_json(request("Core/echo", {}, "third"))
        error = await receive(socket)
        assert (error["@type"], error["requestId"]) == ("RequestError", "third")
        assert (error["type"], error["limit"]) == ("urn:ietf:params:jmap:error:limit", "maxConcurrentRequests")
        go_on.set()
        assert (await receive(socket))["requestId"] == "slow"
        assert (await http).status == 200
        await socket.send_json(request("Core/echo", {}, "fourth"))
        assert (await receive(socket))["requestId"] == "fourth"


@pytest.mark.parametrize(
    ("text", "kind", "id"),
    [
        ("The quick brown fox jumps over the lazy dog.", "notJSON", None),
        ('{"@type": "Request", "id": "a", "id": "b"}', "notJSON", None),
        ("[]", "notRequest", None),
        ('{"@type": "Request", "id": 7}', "notRequest", None),
        ('{"id": "x"}', "notRequest", "x"),
        ('{"@type": "Nothing", "id": "x"}', "notRequest", "x"),
        ('{"@type": "Request", "id": "x"}', "notRequest", "x"),
        ('{"@type": "Request", "id": "x", "using": ["urn:x"], "methodCalls": []}', "unknownCapability", "x"),
        ('{"@type": "WebSocketPushEnable", "dataTypes": "Email", "id": "x"}', "notRequest", "x"),
        ('{"@type": "WebSocketPushEnable", "pushState": 1}', "notRequest", None),
    ],
)
async def test_what_is_wrong_is_answered(
    client: Client, account: Account, text: str, kind: str, id: str | None
) -> None:
    """With a RequestError that names the request if it named itself; the connection goes on."""
    async with connected(client) as socket:
        await socket.send_str(text)
        error = await receive(socket)
        assert (error["@type"], error["requestId"]) == ("RequestError", id)
        assert error["type"] == f"urn:ietf:params:jmap:error:{kind}"
        assert (error["status"], type(error["detail"])) == (400, str)
        await socket.send_json(request("Core/echo", {}))
        assert (await receive(socket))["@type"] == "Response"


async def test_an_upstream_that_is_away_is_told(client: Client, parts: Parts, account: Account) -> None:
    """As an error of the request: the connection is ours, not the upstream's."""
    async with connected(client) as socket:
        parts.fault = RuntimeError("the index is broken")
        await socket.send_json(request("Core/echo", {}))
        error = await receive(socket)
        assert (error["@type"], error["requestId"], error["status"]) == ("RequestError", "R1", 500)
        assert "broken" not in json.dumps(error)


async def test_a_request_that_is_too_large_is_told(make_client: MakeClient, account: Account) -> None:
    """maxSizeRequest as over HTTP; what is much larger ends the connection before it is read whole."""
    client = await make_client(limits=Limits(max_size_request=1000))
    async with connected(client) as socket:
        await socket.send_json(request("Core/echo", {"x": "x" * 1000}))
        error = await receive(socket)
        assert (error["@type"], error["limit"]) == ("RequestError", "maxSizeRequest")
        await socket.send_str("x" * (1000 + websocket.SLACK_OCTETS + 1))
        async with asyncio.timeout(SOON_S):
            assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_binary_frame_ends_the_connection(client: Client, account: Account) -> None:
    """1003 (RFC 8887 section 4.3.1)."""
    async with connected(client) as socket:
        await socket.send_bytes(b"{}")
        async with asyncio.timeout(SOON_S):
            assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == aiohttp.WSCloseCode.UNSUPPORTED_DATA


async def test_messages_are_compressed_if_the_client_offers_it(client: Client, account: Account) -> None:
    """permessage-deflate (RFC 7692), both ways."""
    async with connected(client, compress=15) as socket:
        assert socket.compress
        await socket.send_json(request("Core/echo", {"x": "x" * 100_000}))
        assert (await receive(socket))["methodResponses"][0][1] == {"x": "x" * 100_000}


async def test_a_fragmented_message_is_one(client: Client, account: Account) -> None:
    """Coalesced before it is parsed (RFC 8887 section 4.3)."""
    text = json.dumps(request("Core/echo", {"x": 1})).encode()
    async with connected(client) as socket:
        # A first frame without FIN and the rest as a continuation, masked with zeros.
        transport = socket._writer.transport
        half = len(text) // 2
        for first, part in ((0x01, text[:half]), (0x80, text[half:])):
            transport.write(bytes((first, 0x80 | 126)) + len(part).to_bytes(2, "big") + bytes(4) + part)
        assert (await receive(socket))["methodResponses"][0][1] == {"x": 1}


async def test_a_large_request_is_parsed_beside_the_loop(client: Client, account: Account) -> None:
    """And answered all the same."""
    async with connected(client) as socket:
        await socket.send_json(request("Core/echo", {"x": "x" * 600_000}))
        assert len((await receive(socket))["methodResponses"][0][1]["x"]) == 600_000


# ---------------------------------------------------------------- push


async def test_push_is_off_until_it_is_enabled(client: Client, account: Account) -> None:
    """And the account is not watched for it."""
    async with connected(client) as socket:
        await deliver(account, 1)
        await quiet(socket)
        assert watchers(account) == 0


async def test_a_change_is_pushed(client: Client, account: Account) -> None:
    """A StateChange with a pushState."""
    async with connected(client) as socket:
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": None})
        await quiet(socket)
        await rename(account, "Other")
        change = await receive(socket)
        assert change.pop("pushState")
        assert change == {"@type": "StateChange", "changed": {"A1": {"Mailbox": state(account, "Mailbox")}}}


async def test_only_the_types_asked_for_are_pushed(client: Client, account: Account) -> None:
    """Enabling again replaces them."""
    async with connected(client) as socket:
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": ["Email"]})
        await quiet(socket)
        await rename(account, "Other")
        await quiet(socket)
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": ["Mailbox"]})
        await quiet(socket)
        assert watchers(account) == 1
        await deliver(account, 1)
        assert set((await receive(socket))["changed"]["A1"]) == {"Mailbox"}


async def test_push_can_be_disabled(client: Client, account: Account) -> None:
    """Nothing more comes, and nobody watches."""
    async with connected(client) as socket:
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": None})
        await quiet(socket, 0.1)
        await socket.send_json({"@type": "WebSocketPushDisable"})
        await quiet(socket, 0.1)
        assert watchers(account) == 0
        await rename(account, "Other")
        await quiet(socket)


async def test_a_push_state_brings_what_was_missed(client: Client, account: Account) -> None:
    """At once, and once."""
    async with connected(client) as socket:
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": None})
        await quiet(socket, 0.1)
        await rename(account, "Other")
        seen = (await receive(socket))["pushState"]
    await rename(account, "Third")
    async with connected(client) as socket:
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": None, "pushState": seen})
        change = await receive(socket)
        assert change["changed"] == {"A1": {"Mailbox": state(account, "Mailbox")}}
        seen = change["pushState"]
    async with connected(client) as socket:
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": None, "pushState": seen})
        await quiet(socket)


async def test_requests_are_answered_while_push_is_on(client: Client, account: Account) -> None:
    """Both share the connection."""
    async with connected(client) as socket:
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": None})
        await socket.send_json(request("Core/echo", {}))
        assert (await receive(socket))["@type"] == "Response"
        await rename(account, "Other")
        assert (await receive(socket))["@type"] == "StateChange"


# ---------------------------------------------------------------- ends


async def test_a_client_that_goes_leaves_nothing_behind(client: Client, parts: Parts, account: Account) -> None:
    """No listener, no request that runs on, no slot that stays taken."""
    cancelled = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    parts.slow_until = wait
    async with connected(client) as socket:
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": None})
        await socket.send_json(request("Test/slow", {}))
        await quiet(socket, 0.1)
    async with asyncio.timeout(SOON_S):
        await cancelled.wait()
        while watchers(account) or parts.site.streams.count():  # noqa: ASYNC110  # nobody tells a test
            await asyncio.sleep(0.01)
    parts.slow_until = None
    for _ in range(20):
        async with connected(client) as socket:
            await socket.send_json(request("Test/slow", {}))
            assert (await receive(socket))["@type"] == "Response"


@pytest.mark.parametrize(("reason", "code"), [("stopping", 1001), ("refused", 1008)])
async def test_it_says_why_it_ends(client: Client, parts: Parts, account: Account, reason: str, code: int) -> None:
    """Going away when the gateway stops, a policy violation when the login is refused."""
    async with connected(client) as socket:
        await socket.send_json(request("Core/echo", {}))
        await receive(socket)
        if reason == "stopping":
            parts.site.streams.end_all()
        else:
            parts.site.streams.end(parts.account_id)
        async with asyncio.timeout(SOON_S):
            assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == code


async def test_a_client_that_does_not_read_is_hung_up_on(
    client: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers are not gathered here for ever."""
    monkeypatch.setattr(websocket, "SEND_TIMEOUT_S", 0.3)
    async with connected(client) as socket:
        protocol: Any = socket._conn.protocol  # type: ignore[union-attr] # a client that stops reading, without its help
        protocol.pause_reading()
        body = json.dumps(request("Core/echo", {"x": "x" * 1_000_000}))

        async def send_on() -> None:
            while True:
                await socket.send_str(body)
                await asyncio.sleep(0.05)

        with pytest.raises((ConnectionError, aiohttp.ClientError)):
            await asyncio.wait_for(send_on(), 20)
