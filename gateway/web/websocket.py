"""GET the WebSocket's url: requests, responses and state changes over one connection (RFC 8887).

Rule 1: it begins with the subprotocol `jmap`, proven credentials and an origin that may call us, or not at all.
Rule 2: requests run side by side, within the login's maxConcurrentRequests, whichever way they come (section 4.3.2).
Rule 3: one message is written at a time; a client that does not read stops being read, and is hung up on in the end.
Rule 4: a message that is wrong is answered; the connection goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from gateway.auth import Caller
from gateway.jmap.encode import encode, encode_response
from gateway.jmap.errors import MethodError, RequestError
from gateway.jmap.failure import failure_of
from gateway.jmap.session import session_state
from gateway.jmap.websocket import (
    Message,
    MessageError,
    NumberedRequest,
    PushEnable,
    error_object,
    parse_message,
    response_object,
)
from gateway.push.bus import Ended, Listener
from gateway.push.state_change import state_change
from gateway.web.problems import problem
from gateway.web.site import SITE, Site
from gateway.web.streams import Reason

SUBPROTOCOL = "jmap"
PING_S = 50.0  # of silence: proxies close what is quiet for a minute
SEND_TIMEOUT_S = 60.0  # a client that reads nothing for so long has gone
CLOSE_TIMEOUT_S = 2.0  # for its answer to our Close
THREAD_OCTETS = 250_000  # a Request this large takes milliseconds to parse: not on the event loop
# Read over the limit of a Request, so that a client hears which limit it was; what is larger ends the connection.
SLACK_OCTETS = 1 << 20

CLOSE = {
    "stopping": (WSCloseCode.GOING_AWAY, b"stopping"),
    "refused": (WSCloseCode.POLICY_VIOLATION, b"login refused"),
}


async def get_websocket(request: web.Request) -> web.StreamResponse:
    site = request.app[SITE]
    if refused := refusal(request, site):
        return refused
    caller = await site.caller(request)
    socket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        heartbeat=PING_S,
        timeout=CLOSE_TIMEOUT_S,
        max_msg_size=site.limits.max_size_request + SLACK_OCTETS,
    )
    connection = _Connection(request, site, caller, socket)
    with site.streams.entered(caller.account_id, connection.end):
        await socket.prepare(request)
        await connection.run()
    return socket


def refusal(request: web.Request, site: Site) -> web.StreamResponse | None:
    """Return why this cannot become a JMAP WebSocket, or None."""
    if request.headers.get(hdrs.UPGRADE, "").strip().lower() != "websocket":
        return problem(426, "This URL speaks WebSocket (RFC 8887).", headers={hdrs.UPGRADE: "websocket"})
    offered = [
        name.strip() for line in request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()) for name in line.split(",")
    ]
    if SUBPROTOCOL not in offered:
        return problem(400, "Sec-WebSocket-Protocol does not offer jmap (RFC 8887 section 4.2).")
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and "*" not in site.cors_origins and origin.lower() not in site.cors_origins:
        return problem(403, "Pages of this origin may not call the gateway.")
    return None


class _Connection:
    """One open WebSocket."""

    def __init__(self, request: web.Request, site: Site, caller: Caller, socket: web.WebSocketResponse) -> None:
        self._request, self._site, self._caller, self._socket = request, site, caller, socket
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pusher: asyncio.Task[None] | None = None
        self._is_ending = False  # no more requests are begun

    async def run(self) -> None:
        """Read messages until the connection ends."""
        expiry: asyncio.TimerHandle | None = None
        if self._caller.expires_at_s is not None:
            wait_s = max(self._caller.expires_at_s - time.time(), 0)
            expiry = asyncio.get_running_loop().call_later(wait_s, self.end, "refused")
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(message.data.encode("utf-8", "surrogatepass"))
                elif message.type is WSMsgType.BINARY:
                    await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"text frames only")
        finally:
            if expiry is not None:
                expiry.cancel()
            tasks = [*self._tasks, *([self._pusher] if self._pusher else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def end(self, reason: Reason) -> None:
        """Close the connection, saying why. Requests under way are answered first where the gateway stops."""
        code, text = CLOSE[reason]
        under_way = set(self._tasks) if reason == "stopping" else set()
        self._start(self._close_after(under_way, code, text))

    async def _close_after(self, under_way: set[asyncio.Task[None]], code: int, text: bytes) -> None:
        self._is_ending = True
        if under_way:
            await asyncio.wait(under_way)
        await self._close(code, text)

    async def _close(self, code: int, text: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.close(code=code, message=text)

    async def _take(self, octets: bytes) -> None:
        limits = self._site.limits
        try:
            message: Message
            if len(octets) < THREAD_OCTETS:
                message = parse_message(octets, limits)
            else:
                message = await asyncio.to_thread(parse_message, octets, limits)
        except MessageError as fault:
            await self._send(encode(error_object(fault.error, fault.request_id)))
            return
        if isinstance(message, NumberedRequest):
            await self._begin(message)
        else:
            await self._stop_pushing()
            if isinstance(message, PushEnable):
                self._pusher = asyncio.create_task(self._push(message))

    async def _begin(self, message: NumberedRequest) -> None:
        """Run a request beside the others, if the login has a slot for it."""
        with contextlib.ExitStack() as slot:
            try:
                if self._is_ending:
                    raise RequestError("about:blank", "The connection is being closed.", status=503)
                slot.enter_context(self._site.requests.slot(self._caller.account_id))
            except RequestError as error:
                await self._send(encode(error_object(error, message.id)))
                return
            self._start(self._answer(message, slot.pop_all()))

    async def _answer(self, message: NumberedRequest, slot: contextlib.ExitStack) -> None:
        with slot:
            try:
                octets = await self._dispatch(message)
            except RequestError as error:
                octets = encode(error_object(error, message.id))
            except MethodError as error:  # the accounts cannot be opened now
                detail = error.description or "The mail server cannot be reached now."
                octets = encode(error_object(RequestError("about:blank", detail, status=503), message.id))
            except Exception as fault:
                failure = failure_of("WebSocket", fault)
                status = 503 if failure.kind == "serverUnavailable" else 500
                told = RequestError("about:blank", failure.description or "", status=status)
                octets = encode(error_object(told, message.id))
        await self._send(octets)

    async def _dispatch(self, message: NumberedRequest) -> bytes:
        site, caller, request = self._site, self._caller, message.request
        accounts = await site.accounts_of(caller)
        state = session_state(site.session(self._request, caller, accounts))
        context = site.context(caller, accounts, request)
        response = await site.dispatcher.dispatch(request, context, state)
        return encode_response(response_object(response, message.id))

    async def _push(self, asked: PushEnable) -> None:
        """Send StateChanges until cancelled."""
        try:
            accounts = await self._site.accounts_of(self._caller)
        except MethodError:  # a client that would wait for nothing is better told to come back
            await self._close(WSCloseCode.TRY_AGAIN_LATER, b"the accounts cannot be opened now")
            return
        async with self._site.bus.listen(accounts, asked.types, since=asked.push_state) as listener:
            await self._send_changes(listener)

    async def _send_changes(self, listener: Listener) -> None:
        with contextlib.suppress(Ended):
            while True:
                changed = await listener.next()
                await self._send(state_change(changed, listener.position))

    async def _stop_pushing(self) -> None:
        if self._pusher is not None:
            self._pusher.cancel()
            await asyncio.gather(self._pusher, return_exceptions=True)
            self._pusher = None

    async def _send(self, octets: bytes) -> None:
        """Write one message; a client that does not take it loses its connection."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S), self._writing:
                await self._socket.send_str(octets.decode())
        except (ConnectionError, TimeoutError):
            if self._request.transport is not None:
                self._request.transport.abort()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
