"""Send each request to the node that owns the account it is for, and bring back what that node answers.

Rule 1: a request whose account is served here pays one look-up in memory.
Rule 2: what may have been carried out is not sent twice. A request is sent again only when the other node says that
        it did nothing (421), was not reached at all, or when it could only read and had not been answered yet: a GET,
        or method calls that all read. Anything else that is lost half-way is answered with 503 that says so.
Rule 3: an account whose owner has vanished is waited for, up to `WAIT_S`: by then it has another owner.
Rule 4: octets go through both ways as they come, and neither end may read more than the other takes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import aiohttp
import orjson
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from gateway.jmap.errors import MethodError, RequestError
from gateway.metrics import Metrics
from gateway.web.api import post_request
from gateway.web.body import READ, SILENCE_S
from gateway.web.eventsource import get_event_source
from gateway.web.hop import HEADER, MOVED_HEADER, Hop, HopSeal, Moved
from gateway.web.owners import Owners, Peer
from gateway.web.site import BEGUN, HOP, SITE, Site
from gateway.web.tunnel import Refused, tunnel
from gateway.web.websocket import get_websocket, refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

WAIT_S = 12.0  # for an owner: a node that vanished is given up within 10 s
LOOK_S, MAX_LOOK_S = 0.1, 0.5  # between two looks while one is waited for, each time longer: many wait at once
CONNECT_S = 2.0  # to a node nearby
KEEP_ALIVE_S = 30.0  # less than the other node keeps an idle connection
REPLAY_OCTETS = 1 << 20  # a body up to this is read first and can be sent again
WHOLE_OCTETS = 1 << 18  # an answer up to this goes out in one piece
QUIET_S = 15.0  # how often a quiet stream looks whether its client is still there
SEND_TIMEOUT_S = 60.0  # a client that reads nothing for so long has gone

STAYING_OPEN = frozenset({get_event_source, get_websocket})
# They concern one connection (RFC 9110 section 7.6.1), or are ours to say.
_HOP_BY_HOP = frozenset(
    name.lower()
    for name in (
        "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer",
        "Transfer-Encoding", "Upgrade", "Host", "Expect", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
        "X-Forwarded-Proto", "X-Forwarded-Prefix", "Server", HEADER, MOVED_HEADER,
    )
)  # fmt: skip
_SKIPPED = (hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE)  # that the library would add
_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_READING = frozenset({"get", "changes", "query", "queryChanges", "echo", "parse", "lookup", "validate"})


log = logging.getLogger(__name__)


class Unreachable(Exception):
    """The node was not reached: the request was not sent."""


class Lost(Exception):
    """The node has gone, or was given up, while the request was with it."""


class Forwarder:
    """One for the node. `aclose()` at the end."""

    def __init__(self, owners: Owners, seal: HopSeal, metrics: Metrics) -> None:
        self.owners = owners
        self._seal, self._metrics = seal, metrics
        self._sessions: dict[str, aiohttp.ClientSession] = {}  # by URL
        self._under_way: dict[str, set[asyncio.Timeout]] = {}  # by node

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()

    def cut(self, node_id: str) -> None:
        """A node was given up: nothing more will come from it."""
        for one in self._under_way.get(node_id, ()):
            _expire(one)

    async def serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer here or have it answered by the owner."""
        site, owners = request.app[SITE], self.owners
        account_id = await _claimed(request, site)
        if owners.is_ours(account_id):
            return await self._serve_here(request, handler, account_id)
        deadline, is_first, look_s = time.monotonic() + WAIT_S, True, LOOK_S
        body = _Body(request)
        while True:
            if not is_first:
                if time.monotonic() > deadline:
                    raise MethodError("serverUnavailable", "The account is being moved.")
                await asyncio.sleep(look_s * random.uniform(0.8, 1.0))
                look_s = min(2 * look_s, MAX_LOOK_S)
            is_first = False
            try:
                node = await owners.owner(account_id)
                if node is None and not _has_ticket(request):
                    await site.caller(request)  # nobody but a proven login makes a node open its account
                    node = await owners.take(account_id)
            except OSError as error:  # nobody can say now whose the account is
                log.warning("an owner is not known", extra={"reason": str(error)})
                raise MethodError("serverUnavailable", "The account cannot be reached now.") from None
            if owners.is_ours(account_id) or (node is None and _has_ticket(request)):
                return await self._serve_here(request, handler, account_id)
            if HOP in request:
                raise Moved
            node = node or owners.another()
            if node is None:
                continue
            began = time.perf_counter()
            try:
                response = await self._pass_on(request, site, node, body, handler)
            except Moved:
                outcome, is_over = "moved", not body.can_be_sent_again
            except Unreachable:
                outcome, is_over = "unreachable", not body.can_be_sent_again
            except Lost:
                outcome, is_over = "lost", request.method not in _SAFE and not body.only_reads
            else:
                self._metrics.forward_done("answered", time.perf_counter() - began)
                return response
            self._metrics.forward_done(outcome, 0)
            owners.forget(account_id)
            if is_over:
                detail = "The node that served the account has gone. Whether it did what was asked is not known."
                raise RequestError("about:blank", detail, status=503)

    async def _serve_here(self, request: web.Request, handler: Handler, account_id: str) -> web.StreamResponse:
        if request.match_info.handler in STAYING_OPEN:
            return await handler(request)
        with self.owners.working(account_id):
            return await handler(request)

    async def _pass_on(
        self, request: web.Request, site: Site, node: Peer, body: _Body, handler: Handler
    ) -> web.StreamResponse:
        """Have a node answer. Raise `Moved`, `Unreachable` or `Lost` as long as nothing was answered to the client."""
        cuts = self._under_way.setdefault(node.id, set())
        cut = asyncio.timeout(None)
        try:
            async with cut:
                cuts.add(cut)
                if request.match_info.handler is get_websocket:
                    return await self._pass_on_socket(request, site, node)
                if request.match_info.handler is get_event_source:
                    with site.tunnels.entered("", lambda _reason: _expire(cut)):
                        return await self._pass_on_request(request, node, body)
                return await self._pass_on_request(request, node, body)
        except TimeoutError:
            begun: web.StreamResponse | None = request.get(BEGUN)
            if begun is None:
                raise Lost from None
            if request.transport is not None:  # the client must see that this is not the end
                request.transport.abort()
            return begun
        finally:
            cuts.discard(cut)
            if not cuts:
                self._under_way.pop(node.id, None)

    async def _pass_on_request(self, request: web.Request, node: Peer, body: _Body) -> web.StreamResponse:
        session, url = self._session(node)
        try:
            answer = await session.request(
                request.method,
                URL(url + _target(request), encoded=True),
                headers=self._headers(request),
                data=await body.data(),
                allow_redirects=False,
            )
        except aiohttp.ClientConnectorError as error:
            raise Unreachable from error
        except (aiohttp.ClientError, ConnectionError) as error:
            if body.fault is not None:
                raise body.fault from None
            raise Lost from error
        try:
            if answer.status == 421 and MOVED_HEADER in answer.headers:
                raise Moved
            return await _relay(request, answer)
        except BaseException:
            answer.close()
            raise
        finally:
            answer.release()

    async def _pass_on_socket(self, request: web.Request, site: Site, node: Peer) -> web.StreamResponse:
        if (refused := refusal(request, site)) is not None:
            return refused
        session, url = self._session(node)
        headers = self._headers(request)
        for name in [name for name in headers if name.lower().startswith("sec-websocket-")]:
            del headers[name]
        try:
            return await tunnel(request, site, session, URL(url + _target(request), encoded=True), headers)
        except Refused as error:
            if error.status == 421 and MOVED_HEADER in error.headers:
                raise Moved from None
            return error.response()
        except aiohttp.ClientConnectorError as error:
            raise Unreachable from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Lost from error

    def _headers(self, request: web.Request) -> CIMultiDict[str]:
        site = request.app[SITE]
        named = {name.strip().lower() for name in request.headers.get(hdrs.CONNECTION, "").split(",")}
        dropped = _HOP_BY_HOP | named
        headers = CIMultiDict((n, v) for n, v in request.headers.items() if n.lower() not in dropped)
        headers[hdrs.HOST] = "node"
        headers[HEADER] = self._seal.seal(
            Hop(site.peer(request), site.base(request)),
            method=request.method,
            path=_target(request),
            authorization=request.headers.get(hdrs.AUTHORIZATION, ""),
        )
        return headers

    def _session(self, node: Peer) -> tuple[aiohttp.ClientSession, str]:
        """Return what speaks to a node, and the URL to write."""
        path = node.url.removeprefix("unix:")
        is_local = path != node.url
        session = self._sessions.get(node.url)
        if session is None:
            connector: aiohttp.BaseConnector
            if is_local:
                connector = aiohttp.UnixConnector(path, limit=0, keepalive_timeout=KEEP_ALIVE_S)
            else:
                connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S)
            session = self._sessions[node.url] = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                auto_decompress=False,
                skip_auto_headers=_SKIPPED,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=65_536,
                max_field_size=65_536,
                read_bufsize=WHOLE_OCTETS,
            )
        return session, "http://node" if is_local else node.url


class _Body:
    """The body of a request: whole where it is small, so that it can be sent again, else as it comes."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._whole: bytes | None = None
        self._is_begun = False
        self.fault: RequestError | None = None

    @property
    def can_be_sent_again(self) -> bool:
        return not self._is_begun

    @property
    def only_reads(self) -> bool:
        """Tell whether it is a request of the API that changes nothing."""
        return self._whole is not None and self._request.match_info.handler is post_request and reads(self._whole)

    async def data(self) -> bytes | AsyncIterator[bytes] | None:
        request = self._request
        if not request.body_exists:
            return None
        if self._whole is None and (request.content_length or REPLAY_OCTETS + 1) <= REPLAY_OCTETS:
            self._whole = request[READ] = b"".join([chunk async for chunk in self._chunks()])
        return self._whole if self._whole is not None else self._stream()

    async def _stream(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks():
            self._is_begun = True
            yield chunk

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    chunk = await self._request.content.readany()
            except TimeoutError:
                self.fault = RequestError("about:blank", "The request stopped half-way.", status=408)
                raise self.fault from None
            if not chunk:
                return
            yield chunk


async def _claimed(request: web.Request, site: Site) -> str:
    """Return the account of the login that a request claims to come from: proven only where it cannot be read."""
    if _has_ticket(request) and site.tickets is not None:
        return site.tickets.check(request.query["ticket"]).account_id
    account_id = site.authenticator.claimed(request.headers)
    if account_id is None:
        account_id = (await site.caller(request)).account_id
    return account_id


def _target(request: web.Request) -> str:
    """Return path and query as they came. A client may send them with scheme and host (RFC 9112 section 3.2.2)."""
    raw = request.raw_path
    return raw if raw.startswith("/") else request.rel_url.raw_path_qs


def _has_ticket(request: web.Request) -> bool:
    """Tell whether an event source is asked for by a ticket, as `eventsource` decides it."""
    return (
        request.match_info.handler is get_event_source
        and "ticket" in request.query
        and hdrs.AUTHORIZATION not in request.headers
    )


def reads(octets: bytes) -> bool:
    """Tell whether all method calls of a request (RFC 8620 section 3.3) change nothing."""
    try:
        calls = orjson.loads(octets)["methodCalls"]
        return all(str(call[0]).rpartition("/")[2] in _READING for call in calls)
    except (ValueError, TypeError, LookupError):
        return False


def _expire(cut: asyncio.Timeout) -> None:
    if cut.when() is None:
        cut.reschedule(asyncio.get_running_loop().time())


async def _relay(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Give the client what the node answers."""
    headers = CIMultiDict((n, v) for n, v in answer.headers.items() if n.lower() not in _HOP_BY_HOP)
    length = answer.content_length
    if request.method == hdrs.METH_HEAD or answer.status in (204, 304) or (length or WHOLE_OCTETS + 1) <= WHOLE_OCTETS:
        try:
            octets = await answer.read()
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Lost from error
        if request.method != hdrs.METH_HEAD:
            headers.popall(hdrs.CONTENT_LENGTH, None)
        whole = web.Response(status=answer.status, headers=headers, body=octets)
        request[BEGUN] = whole
        return whole
    response = web.StreamResponse(status=answer.status, headers=headers)
    request[BEGUN] = response
    await response.prepare(request)
    with suppress(ConnectionError, TimeoutError, aiohttp.ClientError):
        await _copy(request, answer, response)
        return response
    if request.transport is not None:  # the client must see that this is not the end
        request.transport.abort()
    return response


async def _copy(request: web.Request, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
    while True:
        try:
            async with asyncio.timeout(QUIET_S):
                chunk = await answer.content.readany()
        except TimeoutError:
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError from None
            continue
        if not chunk:
            return
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await response.write(chunk)
