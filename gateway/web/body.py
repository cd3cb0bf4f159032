"""The body of a request, read with a bound on its size and on the client's silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.jmap.errors import RequestError

READ = web.RequestKey("read", bytes)  # in a request: its body, where it was read already
SILENCE_S = 60.0  # a client that has begun a body and sends nothing: a phone that lost its network


async def chunks(request: web.Request, too_large: RequestError, max_octets: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes; raise `too_large` once it passes `max_octets`."""
    if (request.content_length or 0) > max_octets:
        raise too_large
    octets = request.get(READ)
    if octets is not None:
        if len(octets) > max_octets:
            raise too_large
        yield octets
        return
    size_octets = 0
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                chunk = await request.content.readany()
        except TimeoutError:
            raise RequestError("about:blank", "The request stopped half-way.", status=408) from None
        if not chunk:
            return
        size_octets += len(chunk)
        if size_octets > max_octets:
            raise too_large
        yield chunk
