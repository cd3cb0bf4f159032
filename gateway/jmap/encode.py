"""Write JMAP objects as JSON (RFC 8620 section 1.5): whatever a method answers, the client gets a Response.

Rule 1: a response that cannot be written costs itself: its call becomes `serverFail`, the others stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.jmap.failure import failure_of
from gateway.jmap.strict_json import NotWritable, write_json


def encode(value: Mapping[str, Any]) -> bytes:
    """Return the octets of a Session, a problem document or another object made by us."""
    return write_json(value)


def encode_response(response: Mapping[str, Any]) -> bytes:
    """Return the octets of a Response object (section 3.4)."""
    try:
        return write_json(response)
    except NotWritable as error:
        fault = error
    calls = []
    for name, arguments, call_id in response["methodResponses"]:
        try:
            write_json(arguments)
            calls.append([name, arguments, call_id])
        except NotWritable:
            calls.append(["error", failure_of(name, fault).arguments(), call_id])
    return write_json({**response, "methodResponses": calls})
