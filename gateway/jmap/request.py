"""The Request object, and every reason to refuse one as a whole (RFC 8620 sections 3.3 and 3.6.1).

Rule 1: faults are looked for in this order: size, I-JSON, shape, number of calls, capabilities.
Rule 2: once a Request has passed, each of its calls succeeds or fails alone.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Final

from gateway.jmap.errors import RequestError
from gateway.jmap.limits import Limits
from gateway.jmap.strict_json import NotJSON, read_json
from gateway.jmap.types import is_id, is_strings, map_of

MAX_DETAIL: Final = 200  # characters of a client's own text in a problem document

_is_created_ids = map_of(is_id, is_id)


@dataclass(frozen=True, slots=True)
class Request:
    """A Request that matches the type signature. `created_ids` is None where the client gave none."""

    using: frozenset[str]
    method_calls: list[tuple[str, dict[str, Any], str]]  # (name, arguments, method call id)
    created_ids: dict[str, str] | None = None


def parse_request(octets: bytes, limits: Limits, capabilities: Container[str] | None = None) -> Request:
    """Return the Request in these octets or raise RequestError.

    With `capabilities` (those of the Session) an unknown one is refused here; the dispatcher does so in any case.
    """
    request = read_request(read_value(octets, limits), limits)
    if capabilities is not None:
        check_using(request.using, capabilities)
    return request


def read_value(octets: bytes, limits: Limits) -> Any:
    """Return the JSON value in these octets or raise RequestError."""
    check_size(len(octets), limits)
    try:
        return read_json(octets)
    except NotJSON as error:
        raise RequestError("notJSON", f"The request is not I-JSON: {error}.") from None


def read_request(value: Any, limits: Limits) -> Request:
    """Return the Request that a JSON value is or raise RequestError."""
    request = _shaped(value)
    if len(request.method_calls) > limits.max_calls_in_request:
        detail = f"A request may hold at most {limits.max_calls_in_request} method calls."
        raise RequestError("limit", detail, limit="maxCallsInRequest")
    return request


def check_content_type(content_type: str | None) -> None:
    """Refuse what does not call itself JSON; parameters such as a charset are let through (section 3.6.1)."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError("notJSON", "The content type of the request is not application/json.")


def check_size(octets: int, limits: Limits) -> None:
    """Refuse a request of this length; for its Content-Length too, before the body is read."""
    if octets > limits.max_size_request:
        detail = f"A request may have at most {limits.max_size_request} octets."
        raise RequestError("limit", detail, limit="maxSizeRequest")


def check_using(using: frozenset[str], capabilities: Container[str]) -> None:
    """Refuse a capability that this server does not have."""
    for uri in using:
        if uri not in capabilities:
            detail = f"The Request object used capability '{uri[:MAX_DETAIL]}', which is not supported by this server."
            raise RequestError("unknownCapability", detail)


def _shaped(value: Any) -> Request:
    """Match the type signature of a Request; properties it does not know are ignored (section 3.3)."""
    if type(value) is not dict:
        raise _not_request("it is not an object")
    using: Any = value.get("using")
    calls, created_ids = value.get("methodCalls"), value.get("createdIds")
    if is_strings(using) is not None:
        raise _not_request("using is not an array of Strings")
    if type(calls) is not list:
        raise _not_request("methodCalls is not an array")
    for index, call in enumerate(calls):
        if not (
            type(call) is list
            and len(call) == 3
            and type(call[0]) is str
            and type(call[1]) is dict
            and type(call[2]) is str
        ):
            raise _not_request(f"the method call at {index} is not a name, an arguments object and a method call id")
    if "createdIds" in value and _is_created_ids(created_ids) is not None:
        raise _not_request("createdIds is not a map of Id to Id")
    return Request(frozenset(using), [(name, arguments, call_id) for name, arguments, call_id in calls], created_ids)


def _not_request(fault: str) -> RequestError:
    return RequestError("notRequest", f"The request does not match the type signature of a Request: {fault}.")
