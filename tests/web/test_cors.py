"""Cross-origin requests: every response carries the headers."""

from __future__ import annotations

import pytest

from tests.web.conftest import BASIC, Client, MakeClient, Parts

ORIGIN = {"Origin": "https://webmail.example"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/.well-known/jmap", 401),
        ("GET", "/", 200),
        ("GET", "/nowhere", 404),
        ("DELETE", "/jmap/api", 405),
        ("POST", "/jmap/api", 401),
        ("OPTIONS", "/jmap/api", 204),
        ("OPTIONS", "/nowhere", 204),
    ],
)
async def test_on_every_response(client: Client, method: str, path: str, status: int) -> None:
    async with client.request(method, path, headers=ORIGIN) as answer:
        assert answer.status == status
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_on_faults(client: Client, parts: Parts) -> None:
    parts.fault = RuntimeError()
    async with client.get("/.well-known/jmap", headers={**BASIC, **ORIGIN}) as answer:
        assert answer.status == 500
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_on_streams(client: Client, parts: Parts) -> None:
    await client.get("/.well-known/jmap", headers=BASIC)
    parts.blobs = {"m_M": [b"x" * 600_000]}
    async with client.get(f"/jmap/download/{parts.account_id}/m_M/x", headers={**BASIC, **ORIGIN}) as answer:
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Disposition" in answer.headers["Access-Control-Expose-Headers"]


async def test_preflight(client: Client) -> None:
    """Answered without authentication; Authorization and Content-Type are allowed."""
    headers = {
        **ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with client.options("/jmap/api", headers=headers) as answer:
        assert answer.status == 204
        allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"authorization", "content-type"} <= set(allowed)
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]


async def test_listed_origins(make_client: MakeClient) -> None:
    """With a list of origins each is told about itself, the others nothing."""
    client = await make_client(cors_origins=("https://webmail.example",))
    async with client.get("/", headers=ORIGIN) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "https://webmail.example"
        assert "Origin" in answer.headers["Vary"]
    async with client.get("/", headers={"Origin": "https://evil.example"}) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers["Vary"]
