"""Errors of HTTP as problem documents (RFC 7807)."""

from __future__ import annotations

import pytest

from gateway.auth import UpstreamUnavailable
from gateway.jmap.errors import MethodError
from gateway.unavailable import Unavailable
from tests.web.conftest import BASIC, Client, Parts


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/.well-known/jmap", 405)])
async def test_no_such_url(client: Client, method: str, path: str, status: int) -> None:
    async with client.request(method, path) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        document = await answer.json()
        assert document["status"] == status
        assert document["type"] == "about:blank"
        if status == 405:
            assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (UpstreamUnavailable("the mail server cannot be reached now", 7), 503),
        (MethodError("serverUnavailable", "the mail server cannot be reached now"), 503),
        (MethodError("serverFail", "secret"), 500),
        (Unavailable("secret"), 503),
        (KeyError("secret"), 500),
    ],
)
async def test_faults(client: Client, parts: Parts, fault: Exception, status: int) -> None:
    """What will pass says when to come back; what is ours says nothing."""
    parts.fault = fault
    async with client.get("/.well-known/jmap", headers=BASIC) as answer:
        assert answer.status == status
        assert ("Retry-After" in answer.headers) is (status == 503)
        assert "secret" not in await answer.text()
