"""GET /: the page for people."""

from __future__ import annotations

import ipaddress

from tests.web.conftest import PUBLIC_URL, Client, MakeClient


async def test_page(client: Client) -> None:
    """It says what this is and where the Session is, needs no login and runs nothing."""
    async with client.get("/") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        text = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert text.startswith("<!doctype html>")
    assert '<html lang="en">' in text
    assert text.count(f"{PUBLIC_URL}/.well-known/jmap") == 2
    assert "curl --user LOGIN" in text
    assert "$" not in text
    assert "<script" not in text


async def test_a_host_cannot_write_into_it(make_client: MakeClient) -> None:
    client = await make_client(trusted=(ipaddress.ip_network("127.0.0.0/8"),))
    headers = {"X-Forwarded-Host": "m<script>", "X-Forwarded-Proto": "https"}
    assert "<script>" not in await (await client.get("/", headers=headers)).text()
