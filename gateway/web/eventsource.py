"""GET the eventSourceUrl: a stream of state events (RFC 8620 section 7.3; the HTML standard, section 9.2).

Rule 1: the client hears 200 and the first octets at once, before anything has changed.
Rule 2: a reader that is slow gets the newest states when it reads again; one that does not read at all is hung up on.
Rule 3: a valid ticket of an account that is not open here gets an empty stream that asks to come back: a browser's
        EventSource takes any other status for final.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from gateway.account.account import Account
from gateway.auth import Unauthorized
from gateway.jmap.errors import RequestError
from gateway.push.bus import Ended, Listener
from gateway.push.state_change import opening, ping_event, state_event
from gateway.web.site import SITE, Site

MIN_PING_S = 10  # RFC 8620 section 7.3: at most 30
MAX_PING_S = 900  # at least 300; longer, and the client cannot tell a dead connection
DEFAULT_PING_S = 300  # where the URL does not say
LOOK_S = 15.0  # how often a quiet stream looks whether its client is still there
SEND_TIMEOUT_S = 60.0  # a client that reads nothing for so long has gone
BUFFER_OCTETS = 16_384  # written and not sent; a state event is some 300 octets
RETRY_MS = 3000  # how long a browser waits before it connects again
NOT_OPEN_RETRY_MS = 10_000
MAX_TYPES = 100

_TYPES = re.compile(r"\*|[A-Za-z0-9]{1,64}(?:,[A-Za-z0-9]{1,64})*")
_NUMBER = re.compile(r"\d{1,9}")

HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-cache, no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would keep the events until it has a page of them
}


class Asked(NamedTuple):
    """The variables of the URL."""

    types: frozenset[str] | None  # None: all
    closes_after_state: bool
    ping_s: int  # 0: none


class _Reader(NamedTuple):
    """Who reads: a caller, or whoever holds a caller's ticket."""

    account_id: str
    accounts: Mapping[str, Account] | None  # None: not open here
    until_s: float | None  # seconds since 1970


async def get_event_source(request: web.Request) -> web.StreamResponse:
    site = request.app[SITE]
    asked = parse_query(request.query)
    reader = await _reader(request, site)
    response = web.StreamResponse(headers=HEADERS)
    if reader.accounts is None:
        writer = await response.prepare(request)
        assert writer is not None
        await writer.write(opening("", NOT_OPEN_RETRY_MS))
        return response
    since = request.headers.get("Last-Event-ID", "")
    listener = site.bus.listen(reader.accounts, asked.types, since=since)
    with site.streams.entered(reader.account_id, lambda _reason: listener.end()):
        async with listener:
            try:
                await _stream(request, response, listener, asked, reader.until_s)
            except (ConnectionError, TimeoutError):
                if request.transport is not None:
                    request.transport.abort()
    return response


def parse_query(query: Mapping[str, str]) -> Asked:
    """Return what the URL asks for; a variable that is missing has a default. Raise `RequestError`."""
    types, closeafter, ping = query.get("types") or "*", query.get("closeafter") or "no", query.get("ping")
    if not _TYPES.fullmatch(types) or types.count(",") >= MAX_TYPES:
        raise _malformed("types is neither * nor names of types, separated by commas")
    if closeafter not in ("state", "no"):
        raise _malformed("closeafter is neither state nor no")
    if ping and not _NUMBER.fullmatch(ping):
        raise _malformed("ping is not a number of seconds")
    ping_s = int(ping) if ping else DEFAULT_PING_S
    return Asked(
        None if types == "*" else frozenset(types.split(",")),
        closeafter == "state",
        min(max(ping_s, MIN_PING_S), MAX_PING_S) if ping_s else 0,
    )


async def _reader(request: web.Request, site: Site) -> _Reader:
    ticket = request.query.get("ticket")
    if ticket is None or hdrs.AUTHORIZATION in request.headers:
        caller = await site.caller(request)
        return _Reader(caller.account_id, await site.accounts_of(caller), caller.expires_at_s)
    if site.tickets is None:
        raise Unauthorized("this needs a login and a password, or a token")
    claim = site.tickets.check(ticket)
    return _Reader(claim.account_id, await site.opened(claim.account_id), claim.expires_at_s)


async def _stream(
    request: web.Request, response: web.StreamResponse, listener: Listener, asked: Asked, until_s: float | None
) -> None:
    """Write events until the listener ends, the client goes or the login expires."""
    writer = await response.prepare(request)
    transport = request.transport
    if writer is None or transport is None:
        raise ConnectionResetError
    transport.set_write_buffer_limits(high=BUFFER_OCTETS)
    await _send(writer, transport, opening(listener.position, RETRY_MS))
    loop = asyncio.get_running_loop()
    sent_at = loop.time()
    while until_s is None or time.time() < until_s:
        wait_s = min(LOOK_S, asked.ping_s + sent_at - loop.time()) if asked.ping_s else LOOK_S
        if until_s is not None:
            wait_s = min(wait_s, until_s - time.time())
        try:
            changed = await listener.next(max(wait_s, 0))
        except TimeoutError:
            if transport.is_closing():
                return
            if not asked.ping_s or loop.time() - sent_at < asked.ping_s:
                continue
            octets = ping_event(asked.ping_s)
        except Ended:
            return
        else:
            octets = state_event(changed, listener.position)
        await _send(writer, transport, octets)
        sent_at = loop.time()
        if asked.closes_after_state and octets.startswith(b"event: state"):
            return


async def _send(writer: AbstractStreamWriter, transport: asyncio.WriteTransport, octets: bytes) -> None:
    if len(octets) < BUFFER_OCTETS and transport.get_write_buffer_size() == 0:
        await writer.write(octets)  # fits the buffer, so it does not wait: no timer for each of thousands of streams
        if transport.get_write_buffer_size() == 0:
            return
        octets = b""
    async with asyncio.timeout(SEND_TIMEOUT_S):
        if octets:
            await writer.write(octets)
        await writer.drain()


def _malformed(detail: str) -> RequestError:
    return RequestError("about:blank", f"The URL of the event source is malformed: {detail}.")
