"""The public application: its URLs, and what surrounds every endpoint.

Rule 1: an endpoint returns an answer or raises; exceptions become problem documents here and nowhere else.
Rule 2: the URLs work below the path of `public_url` too, whether a proxy strips that path or not.
"""

from __future__ import annotations

from time import perf_counter
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from gateway.jmap.errors import RequestError
from gateway.web import cors, problems
from gateway.web.api import post_request
from gateway.web.busy import BUSY, Busy
from gateway.web.download import get_download
from gateway.web.eventsource import get_event_source
from gateway.web.hop import HEADER, BadHop, HopSeal
from gateway.web.landing import get_landing
from gateway.web.session import get_session
from gateway.web.site import BEGUN, HOP, SITE, Site
from gateway.web.upload import post_upload
from gateway.web.websocket import get_websocket

OWNED = frozenset({get_session, post_request, post_upload, get_download, get_event_source, get_websocket})


NODES = web.AppKey("nodes", HopSeal)  # of the listener for other nodes


def make_app(site: Site, nodes: HopSeal | None = None) -> web.Application:
    """Return the application of the public listener; with `nodes`, of the one for other nodes."""
    app = web.Application(middlewares=[surround])
    app[SITE] = site
    app[BUSY] = Busy()
    if nodes is not None:
        app[NODES] = nodes
    app.on_response_prepare.append(cors.add_headers)
    app.on_shutdown.append(_end_streams)
    _add_routes(app, "")
    prefix = urlsplit(site.public_url).path.rstrip("/")
    if prefix:
        _add_routes(app, prefix)
    return app


def _add_routes(app: web.Application, prefix: str) -> None:
    name = "below." if prefix else ""
    add = app.router.add_route
    add("GET", f"{prefix}/.well-known/jmap", get_session, name=f"{name}session")
    add("POST", f"{prefix}/jmap/api", post_request, name=f"{name}api")
    add("POST", f"{prefix}/jmap/upload/{{account_id}}/", post_upload, name=f"{name}upload")
    add("POST", f"{prefix}/jmap/upload/{{account_id}}", post_upload)
    add("GET", f"{prefix}/jmap/eventsource", get_event_source, name=f"{name}eventsource")
    add("GET", f"{prefix}/jmap/ws", get_websocket, name=f"{name}websocket")
    # Templates are filled in by clients: the name may be empty, or hold slashes.
    app.router.add_get(
        f"{prefix}/jmap/download/{{account_id}}/{{blob_id}}/{{name:[\\s\\S]*}}", get_download, name=f"{name}download"
    )
    app.router.add_get(f"{prefix}/jmap/download/{{account_id}}/{{blob_id}}", get_download)
    app.router.add_get(f"{prefix}/", get_landing, name=f"{name}landing")
    if prefix:
        app.router.add_get(prefix, get_landing)


async def _end_streams(app: web.Application) -> None:
    """What stays open until its client goes would hold up the end."""
    app[SITE].streams.end_all()
    app[SITE].tunnels.end_all()


@web.middleware
async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer preflights, turn exceptions into problem documents, count."""
    with request.app[BUSY].counted():
        return await _surround(request, handler)


async def _surround(request: web.Request, handler: Handler) -> web.StreamResponse:
    metrics = request.app[SITE].metrics
    began = perf_counter()
    metrics.requests_under_way.inc()
    response: web.StreamResponse | None = None
    try:
        if request.method == hdrs.METH_OPTIONS:
            response = cors.preflight()
        else:
            try:
                _check_hop(request)
                to_owner = request.app[SITE].to_owner
                if to_owner is not None and request.match_info.handler in OWNED:
                    response = await to_owner(request, handler)
                else:
                    response = await handler(request)
            except Exception as error:
                response = problems.answer(error)
        if request.app[SITE].is_leaving:
            response.force_close()
        return response
    finally:
        metrics.requests_under_way.dec()
        endpoint = request.match_info.route.name or "other"
        status = response.status if response is not None else 499  # the client has gone
        if BEGUN not in request:  # else the node that has answered counts it
            metrics.request_done(endpoint.removeprefix("below."), status, perf_counter() - began)


def _check_hop(request: web.Request) -> None:
    """Read what another node says; refuse it where only clients come, and anybody else where only nodes do."""
    seal, values = request.app.get(NODES), request.headers.getall(HEADER, ())
    if seal is None and not values:
        return
    if seal is None or len(values) != 1:
        raise RequestError("about:blank", "This is not for nodes; see cluster.advertise.", status=403)
    authorization = request.headers.get(hdrs.AUTHORIZATION, "")
    try:
        request[HOP] = seal.open(values[0], method=request.method, path=request.raw_path, authorization=authorization)
    except BadHop:
        raise RequestError("about:blank", "This listener is for nodes only.", status=403) from None
