"""POST to the apiUrl: a Request in, a Response out (RFC 8620 section 3).

Rule 1: what a client may send is bounded before it is read: who, how many at once, what type, how large.
Rule 2: this is the hot path: one look-up for the caller, one read, one dispatch, one write.
"""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web

from gateway.jmap.encode import encode_response
from gateway.jmap.errors import RequestError
from gateway.jmap.limits import Limits
from gateway.jmap.request import check_content_type, parse_request
from gateway.jmap.session import session_state
from gateway.web.answers import json_answer
from gateway.web.body import chunks
from gateway.web.site import SITE

THREAD_OCTETS = 250_000  # a Request this large takes milliseconds to parse: not on the event loop


async def post_request(request: web.Request) -> web.StreamResponse:
    site = request.app[SITE]
    caller = await site.caller(request)
    with site.requests.slot(caller.account_id):
        check_content_type(request.headers.get(hdrs.CONTENT_TYPE))
        octets = await _read(request, site.limits)
        if len(octets) < THREAD_OCTETS:
            parsed = parse_request(octets, site.limits)
        else:
            parsed = await asyncio.to_thread(parse_request, octets, site.limits)
        accounts = await site.accounts_of(caller)
        state = session_state(site.session(request, caller, accounts))
        context = site.context(caller, accounts, parsed)
        response = await site.dispatcher.dispatch(parsed, context, state)
        return await json_answer(request, encode_response(response))


async def _read(request: web.Request, limits: Limits) -> bytes:
    maximum = limits.max_size_request
    too_large = RequestError("limit", f"A request may have at most {maximum} octets.", limit="maxSizeRequest")
    pieces = [chunk async for chunk in chunks(request, too_large, maximum)]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
