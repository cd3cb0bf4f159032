"""GET /.well-known/jmap: the Session object (RFC 8620 section 2.2).

It answers itself and never redirects: on a redirect Safari drops Authorization.
"""

from __future__ import annotations

from aiohttp import web

from gateway.jmap.encode import encode
from gateway.web.answers import json_answer
from gateway.web.site import SITE


async def get_session(request: web.Request) -> web.StreamResponse:
    site = request.app[SITE]
    caller = await site.caller(request)
    accounts = await site.accounts_of(caller)
    ticket = site.tickets.issue(caller.account_id, expires_at_s=caller.expires_at_s) if site.tickets else None
    session = site.session(request, caller, accounts, ticket=ticket)
    return await json_answer(request, encode(session))
