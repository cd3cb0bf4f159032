"""Cross-origin requests (the Fetch standard, section 3.2): any page that knows the credentials may use them.

Rule 1: every response carries the headers, errors and streams too: without them a page sees only "network error".
Rule 2: a preflight is answered without authentication: a browser sends none with it.
Rule 3: credentials are never ambient here (no cookies), so Allow-Credentials is not sent and `*` is safe.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from gateway.web.site import BEGUN, SITE

METHODS = "GET, HEAD, POST, OPTIONS"
REQUEST_HEADERS = "Authorization, Content-Type, Accept, Cache-Control, If-None-Match, If-Range, Last-Event-ID, Range"
RESPONSE_HEADERS = "Content-Disposition, Content-Length, Content-Range, ETag, Retry-After, WWW-Authenticate"
MAX_AGE_S = "86400"  # browsers cut it to two hours or less


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on a response that is about to begin; another node has put them on its own."""
    if BEGUN in request:
        return
    headers, origins = response.headers, request.app[SITE].cors_origins
    headers["X-Content-Type-Options"] = "nosniff"
    headers[hdrs.SERVER] = "jmap-gateway"  # aiohttp would name itself and its version
    if "*" in origins:
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
    else:
        headers.add(hdrs.VARY, "Origin")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or origin.lower() not in origins:
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = RESPONSE_HEADERS


def preflight() -> web.Response:
    """Answer OPTIONS of any URL."""
    return web.Response(
        status=204,
        headers={
            hdrs.ALLOW: METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: REQUEST_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: MAX_AGE_S,
        },
    )
