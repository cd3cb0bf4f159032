"""A WebSocket between a client and the node that owns its account: messages go through both ways, and their end too."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from gateway.web.problems import problem, unauthorized
from gateway.web.site import BEGUN, Site
from gateway.web.websocket import CLOSE, CLOSE_TIMEOUT_S, PING_S, SEND_TIMEOUT_S, SLACK_OCTETS, SUBPROTOCOL

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse

_TOLD = (hdrs.RETRY_AFTER, hdrs.UPGRADE)


class Refused(Exception):
    """The node does not open a WebSocket."""

    def __init__(self, status: int, headers: CIMultiDictProxy[str] | CIMultiDict[str]) -> None:
        super().__init__(f"status {status}")
        self.status, self.headers = status, headers

    def response(self) -> web.Response:
        if self.status == 401:
            return unauthorized("wrong login or password")
        told: dict[str, str] = {name: self.headers[name] for name in _TOLD if name in self.headers}
        return problem(self.status, "The WebSocket was refused.", headers=told)


async def tunnel(
    request: web.Request, site: Site, session: aiohttp.ClientSession, url: URL, headers: CIMultiDict[str]
) -> web.StreamResponse:
    """Connect client and node until one of them ends it. Raise `Refused` or what connecting raises before that."""
    try:
        there = await session.ws_connect(
            url,
            protocols=(SUBPROTOCOL,),
            headers=headers,
            heartbeat=PING_S,
            max_msg_size=0,
            compress=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
        )
    except aiohttp.WSServerHandshakeError as error:
        raise Refused(error.status, CIMultiDict(error.headers or {})) from None
    here = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        heartbeat=PING_S,
        timeout=CLOSE_TIMEOUT_S,
        max_msg_size=site.limits.max_size_request + SLACK_OCTETS,
    )
    try:
        await here.prepare(request)
        request[BEGUN] = here
        await _run(site, here, there)
    finally:
        with contextlib.suppress(ConnectionError):
            code, text = CLOSE["stopping"] if there.close_code is None else (there.close_code, b"")
            await here.close(code=code, message=text)
        await there.close(code=here.close_code or WSCloseCode.GOING_AWAY)
    return here


async def _run(site: Site, here: web.WebSocketResponse, there: aiohttp.ClientWebSocketResponse) -> None:
    """Return when either end closes, or this node stops."""
    stopping = asyncio.Event()
    with site.tunnels.entered("", lambda _reason: stopping.set()):
        ends = [asyncio.create_task(work) for work in (_pump(here, there), _pump(there, here), stopping.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)


async def _pump(source: Socket, target: Socket) -> None:
    """Carry messages until the source ends, or the target does not take any."""
    async for message in source:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            if message.type is WSMsgType.TEXT:
                await target.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await target.send_bytes(message.data)
