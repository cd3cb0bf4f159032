"""Whatever goes wrong in an endpoint -> a problem document (RFC 7807, RFC 8620 section 3.6.1).

Rule 1: a fault of ours is told to the log, and to the client only as 500: nothing internal is in it.
Rule 2: 401 offers Basic first, then Bearer: clients take the first that they know.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web
from multidict import CIMultiDict

from gateway.auth import AuthError, TooManyAttempts, UpstreamUnavailable
from gateway.jmap.encode import encode
from gateway.jmap.errors import MethodError, RequestError
from gateway.unavailable import Unavailable
from gateway.web.hop import MOVED_HEADER, Moved

RETRY_AFTER_S = 5  # where nobody says better
CHALLENGES = ('Basic realm="JMAP", charset="UTF-8"', 'Bearer realm="JMAP"')  # RFC 7617, RFC 6750
_DETAILS = {
    400: "The request is malformed.",
    404: "There is nothing at this URL.",
    405: "This URL does not know the method.",
    413: "The request is too large.",
}

log = logging.getLogger("gateway.web")


class NotFound(Exception):
    """What the URL names does not exist, or not for this caller."""


def problem(
    status: int, detail: str, *, kind: str = "about:blank", headers: Mapping[str, str] | None = None, **extra: Any
) -> web.Response:
    """Return a problem document."""
    body = encode({"type": kind, "status": status, "detail": detail, **extra})
    own = {hdrs.CACHE_CONTROL: "no-store", **(headers or {})}
    return web.Response(status=status, body=body, content_type="application/problem+json", headers=own)


def unauthorized(detail: str) -> web.Response:
    """Return 401 with its two challenges."""
    response = problem(401, detail)
    challenges: CIMultiDict[str] = response.headers
    for challenge in CHALLENGES:
        challenges.add(hdrs.WWW_AUTHENTICATE, challenge)
    return response


def answer(error: Exception) -> web.Response:
    """Return the answer to an exception of an endpoint."""
    if isinstance(error, UpstreamUnavailable):
        return _later(503, str(error), error.retry_after_s)
    if isinstance(error, TooManyAttempts):
        return _later(429, str(error), error.retry_after_s)
    if isinstance(error, AuthError):
        return unauthorized(str(error))
    if isinstance(error, RequestError):
        own = error.problem()
        return problem(
            error.status, own.pop("detail"), kind=own.pop("type"), **{k: own[k] for k in own if k != "status"}
        )
    if isinstance(error, Moved):
        return problem(421, "Another node serves this account.", headers={MOVED_HEADER: "1"})
    if isinstance(error, NotFound):
        return problem(404, str(error) or _DETAILS[404])
    if isinstance(error, MethodError) and error.kind == "serverUnavailable":
        return _later(503, error.description or "The mail server cannot be reached now.", RETRY_AFTER_S)
    if isinstance(error, Unavailable):
        log.warning("request put off", extra={"reason": str(error)})
        return _later(503, "Something that is needed for this does not answer now.", RETRY_AFTER_S)
    if isinstance(error, web.HTTPException):
        return _http(error)
    log.error("request failed", exc_info=error)
    return problem(500, "Something went wrong in the gateway. It has been logged.")


def _http(error: web.HTTPException) -> web.Response:
    if error.status < 400:
        return web.Response(
            status=error.status, headers={h: error.headers[h] for h in ("Location",) if h in error.headers}
        )
    headers: dict[str, str] = {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
    return problem(error.status, _DETAILS.get(error.status, error.reason), headers=headers)


def _later(status: int, detail: str, retry_after_s: float) -> web.Response:
    return problem(status, detail, headers={hdrs.RETRY_AFTER: str(max(1, math.ceil(retry_after_s)))})
