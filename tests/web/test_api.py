"""POST to the apiUrl (RFC 8620 section 3)."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import orjson
import pytest

from gateway.jmap.limits import Limits
from tests.web.conftest import BASIC, Client, MakeClient, Parts

JSON = {**BASIC, "Content-Type": "application/json"}
CORE, MAIL = "urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"


def calls(*method_calls: list[Any], using: tuple[str, ...] = (CORE,)) -> bytes:
    return orjson.dumps({"using": using, "methodCalls": method_calls})


async def problem(client: Client, body: bytes, headers: dict[str, str] = JSON, status: int = 400) -> dict[str, Any]:
    async with client.post("/jmap/api", data=body, headers=headers) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        document: dict[str, Any] = await answer.json()
    assert document["status"] == status
    return document


async def test_echo(client: Client) -> None:
    async with client.post("/jmap/api", data=calls(["Core/echo", {"a": 1}, "c"]), headers=JSON) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert "no-store" in answer.headers["Cache-Control"]
        response = await answer.json()
    assert response["methodResponses"] == [["Core/echo", {"a": 1}, "c"]]


async def test_session_state_is_the_sessions(client: Client) -> None:
    session = await (await client.get("/.well-known/jmap", headers=BASIC)).json()
    response = await (await client.post("/jmap/api", data=calls(), headers=JSON)).json()
    assert response["sessionState"] == session["state"]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"]
)
async def test_content_types_that_are_json(client: Client, content_type: str) -> None:
    async with client.post("/jmap/api", data=calls(), headers={**BASIC, "Content-Type": content_type}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
async def test_content_types_that_are_not(client: Client, content_type: str) -> None:
    document = await problem(client, calls(), {**BASIC, "Content-Type": content_type})
    assert document["type"] == "urn:ietf:params:jmap:error:notJSON"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "notJSON"),
        (b"{", "notJSON"),
        (b"\xff", "notJSON"),
        (b'{"using":[],"using":[],"methodCalls":[]}', "notJSON"),
        (b"[]", "notRequest"),
        (b'{"using":[],"methodCalls":[["a",{}]]}', "notRequest"),
        (b'{"using":["urn:x"],"methodCalls":[]}', "unknownCapability"),
    ],
)
async def test_bad_requests(client: Client, body: bytes, kind: str) -> None:
    assert (await problem(client, body))["type"] == f"urn:ietf:params:jmap:error:{kind}"


async def test_unknown_method_is_its_own_error(client: Client) -> None:
    response = await (await client.post("/jmap/api", data=calls(["No/such", {}, "c"]), headers=JSON)).json()
    assert response["methodResponses"] == [["error", {"type": "unknownMethod"}, "c"]]


async def test_size_limit_is_exact(make_client: MakeClient) -> None:
    """A request of maxSizeRequest octets passes, one more does not, announced or not."""
    client = await make_client(limits=Limits(max_size_request=1000))
    body = calls().ljust(1000)
    assert (await client.post("/jmap/api", data=body, headers=JSON)).status == 200
    for sent in (body + b" ", _trickle(body + b" ")):
        async with client.post("/jmap/api", data=sent, headers=JSON) as answer:
            document = await answer.json()
            assert answer.status == 400
        assert (document["type"], document["limit"]) == ("urn:ietf:params:jmap:error:limit", "maxSizeRequest")


async def _trickle(body: bytes) -> Any:
    for at in range(0, len(body), 100):
        yield body[at : at + 100]


async def test_compressed_body_is_bounded(make_client: MakeClient) -> None:
    """A body that is small on the wire and large after is refused like a large one."""
    client = await make_client(limits=Limits(max_size_request=100_000))
    bomb = gzip.compress(b" " * 10_000_000)
    async with client.post("/jmap/api", data=bomb, headers={**JSON, "Content-Encoding": "gzip"}) as answer:
        assert answer.status in (400, 413)


async def test_calls_limit(make_client: MakeClient) -> None:
    client = await make_client(limits=Limits(max_calls_in_request=2))
    document = await problem(client, calls(*[["Core/echo", {}, "c"]] * 3))
    assert document["limit"] == "maxCallsInRequest"


async def test_concurrency_limit(make_client: MakeClient, parts: Parts) -> None:
    """One request more than advertised is refused; when one has ended the next passes."""
    client = await make_client(limits=Limits(max_concurrent_requests=2))
    free = asyncio.Event()

    async def wait() -> None:
        await free.wait()

    parts.slow_until = wait
    body = calls(["Test/slow", {}, "c"], using=(MAIL,))
    await client.get("/.well-known/jmap", headers=BASIC)
    running = [asyncio.create_task(client.post("/jmap/api", data=body, headers=JSON)) for _ in range(2)]
    await asyncio.sleep(0.1)
    assert (await problem(client, calls()))["limit"] == "maxConcurrentRequests"
    free.set()
    assert [(await task).status for task in running] == [200, 200]
    assert (await client.post("/jmap/api", data=calls(), headers=JSON)).status == 200


async def test_gzip_when_asked_and_large(client: Client) -> None:
    """A large answer is compressed for whoever takes gzip; a small one and another client's are not."""
    large, small = calls(["Core/echo", {"a": "x" * 10_000}, "c"]), calls(["Core/echo", {}, "c"])
    client.session._auto_decompress = False
    for body, accept, expected in [
        (large, "gzip, deflate", "gzip"),
        (small, "gzip", None),
        (large, "identity", None),
        (large, "gzip;q=0, br", None),
        (large, "gzip;q=0.5", "gzip"),
    ]:
        async with client.post("/jmap/api", data=body, headers={**JSON, "Accept-Encoding": accept}) as answer:
            assert answer.headers.get("Content-Encoding") == expected
            assert "Accept-Encoding" in answer.headers["Vary"]
            octets = await answer.read()
        assert orjson.loads(zlib.decompress(octets, wbits=31) if expected else octets)["methodResponses"]


async def test_needs_a_login(client: Client) -> None:
    await problem(client, calls(), {"Content-Type": "application/json"}, status=401)


async def test_a_fault_shows_nothing(client: Client, parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    """500 tells the client nothing of the inside; the log has it."""
    parts.fault = RuntimeError("/secret/path")
    document = await problem(client, calls(), status=500)
    assert "secret" not in str(document)
    assert any(record.exc_info for record in caplog.records)


async def test_methods_are_counted(client: Client, parts: Parts) -> None:
    await client.post("/jmap/api", data=calls(["Core/echo", {}, "c"], ["No/such", {}, "d"]), headers=JSON)
    text = parts.site.metrics.text().decode()
    assert 'jmap_gateway_method_calls_total{method="Core/echo",outcome="ok"} 1.0' in text
    assert 'jmap_gateway_http_requests_total{endpoint="api",status="200"} 1.0' in text
    assert "No/such" not in text
