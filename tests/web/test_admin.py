"""The admin listener."""

from __future__ import annotations

from typing import Any

from gateway.metrics import Metrics
from gateway.web import make_admin_app


async def test_health_and_readiness(aiohttp_client: Any) -> None:
    """Healthy is whoever answers; ready is who can serve, and who is not says why."""
    reasons: list[str] = []
    client = await aiohttp_client(make_admin_app(Metrics(), lambda: reasons))
    assert (await client.get("/readyz")).status == 200
    reasons.append("draining")
    answer = await client.get("/readyz")
    assert (answer.status, await answer.text()) == (503, "draining\n")
    assert (await client.get("/healthz")).status == 200


async def test_metrics(aiohttp_client: Any) -> None:
    metrics = Metrics()
    metrics.login_done("main", "accepted")
    client = await aiohttp_client(make_admin_app(metrics, lambda: ()))
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 'jmap_gateway_logins_total{outcome="accepted",upstream="main"} 1.0' in await answer.text()
