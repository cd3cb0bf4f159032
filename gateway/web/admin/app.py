"""/healthz: the process answers. /readyz: it can serve. /metrics: what it counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiohttp import hdrs, web

from gateway.metrics import Metrics

NotReady = Callable[[], Sequence[str]]  # the reasons why no traffic should come here now; empty: ready


def make_admin_app(metrics: Metrics, not_ready: NotReady) -> web.Application:
    """Return the application of the admin listener."""

    async def healthz(_request: web.Request) -> web.Response:
        return _text("ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        reasons = not_ready()
        return _text("".join(f"{reason}\n" for reason in reasons), 503) if reasons else _text("ok\n")

    async def show_metrics(_request: web.Request) -> web.Response:
        body = await asyncio.to_thread(metrics.text)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: metrics.content_type})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", show_metrics)
    return app


def _text(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, headers={hdrs.CACHE_CONTROL: "no-store"})
