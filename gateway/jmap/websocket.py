"""The messages of a JMAP WebSocket (RFC 8887 section 4.3). Pure.

Rule 1: a message that cannot be understood is answered with a RequestError that names the request, if it named itself.
Rule 2: what a Request, a Response or a problem says is the same as over HTTP; `@type` and the id are all that is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.jmap.errors import RequestError
from gateway.jmap.limits import Limits
from gateway.jmap.request import Request, read_request, read_value

MAX_TYPES = 100  # data types that a client names
MAX_ID_CHARS = 1024  # of a request's own id: it is sent back


class MessageError(Exception):
    """A message cannot be answered otherwise than by this error."""

    def __init__(self, request_id: str | None, error: RequestError) -> None:
        super().__init__(request_id, error)
        self.request_id, self.error = request_id, error


@dataclass(frozen=True, slots=True)
class NumberedRequest:
    """A Request and the id that its response must repeat; None where it has none."""

    id: str | None
    request: Request


@dataclass(frozen=True, slots=True)
class PushEnable:
    """WebSocketPushEnable (section 4.3.5.2). `types` None: all."""

    types: frozenset[str] | None
    push_state: str


@dataclass(frozen=True, slots=True)
class PushDisable:
    """WebSocketPushDisable (section 4.3.5.3)."""


Message = NumberedRequest | PushEnable | PushDisable


def parse_message(octets: bytes, limits: Limits) -> Message:
    """Return the message in these octets; raise `MessageError`."""
    try:
        value = read_value(octets, limits)
    except RequestError as error:
        raise MessageError(None, error) from None
    if type(value) is not dict:
        raise MessageError(None, _not_request("it is not an object"))
    id = value.get("id")
    if id is not None and (type(id) is not str or len(id) > MAX_ID_CHARS):
        raise MessageError(None, _not_request(f"id is not a String of at most {MAX_ID_CHARS} characters"))
    try:
        match value.get("@type"):
            case "Request":
                return NumberedRequest(id, read_request(value, limits))
            case "WebSocketPushEnable":
                return _push_enable(value)
            case "WebSocketPushDisable":
                return PushDisable()
            case _:
                raise _not_request("@type is none of Request, WebSocketPushEnable, WebSocketPushDisable")
    except RequestError as error:
        raise MessageError(id, error) from None


def response_object(response: Mapping[str, Any], request_id: str | None) -> dict[str, Any]:
    """Return a Response as it is sent here (section 4.3.3)."""
    named = {} if request_id is None else {"requestId": request_id}
    return {"@type": "Response", **named, **response}


def error_object(error: RequestError, request_id: str | None) -> dict[str, Any]:
    """Return a problem as it is sent here (section 4.3.4); clients look for requestId, null where there is none."""
    return {"@type": "RequestError", "requestId": request_id, **error.problem()}


def _push_enable(value: Mapping[str, Any]) -> PushEnable:
    types, push_state = value.get("dataTypes"), value.get("pushState")
    if types is not None and (
        type(types) is not list or len(types) > MAX_TYPES or not all(type(name) is str for name in types)
    ):
        raise _not_request(f"dataTypes is neither null nor an array of at most {MAX_TYPES} Strings")
    if push_state is not None and type(push_state) is not str:
        raise _not_request("pushState is not a String")
    return PushEnable(None if types is None else frozenset(types), push_state or "")


def _not_request(fault: str) -> RequestError:
    return RequestError("notRequest", f"The message does not match the type signature that it should have: {fault}.")
