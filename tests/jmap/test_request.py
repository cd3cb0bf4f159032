"""What makes a Request, and each reason to refuse one (RFC 8620 sections 3.1 to 3.3, 3.6.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.errors import RequestError
from gateway.jmap.limits import Limits
from gateway.jmap.request import check_content_type, check_size, check_using, parse_request

LIMITS = Limits(max_size_request=10_000, max_calls_in_request=3)

# RFC 8620 section 3.3.1.
EXAMPLE: dict[str, Any] = {
    "using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"],
    "methodCalls": [
        ["method1", {"arg1": "arg1data", "arg2": "arg2data"}, "c1"],
        ["method2", {"arg1": "arg1data"}, "c2"],
        ["method3", {}, "c3"],
    ],
}


def refusal(octets: bytes | dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Return the problem document that a request is refused with."""
    if isinstance(octets, dict):
        octets = json.dumps(octets).encode()
    with pytest.raises(RequestError) as raised:
        parse_request(octets, LIMITS, **settings)
    problem = raised.value.problem()
    assert problem["status"] == 400
    assert problem["detail"]
    return problem


def test_example() -> None:
    """The example of section 3.3.1 is a Request."""
    request = parse_request(json.dumps(EXAMPLE).encode(), LIMITS)
    assert request.using == {CORE, MAIL}
    assert request.method_calls == [tuple(call) for call in EXAMPLE["methodCalls"]]
    assert request.created_ids is None


def test_unknown_properties() -> None:
    """A server MUST ignore properties of the Request that it does not understand."""
    request = parse_request(json.dumps({**EXAMPLE, "extra": [1], "": None}).encode(), LIMITS)
    assert len(request.method_calls) == 3


@pytest.mark.parametrize("created_ids", [{}, {"k1": "M1"}])
def test_created_ids(created_ids: dict[str, str]) -> None:
    """A map of creation ids is kept, an empty one too: it asks for one in the response."""
    assert parse_request(json.dumps({**EXAMPLE, "createdIds": created_ids}).encode(), LIMITS).created_ids == created_ids


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"not json",
        b'{"using": [], "methodCalls": []',
        b'{"using": [], "using": [], "methodCalls": []}',
        b'{"using": [], "methodCalls": [["a", {"x": 1, "x": 2}, "c"]]}',
        b'{"using": [], "methodCalls": [["a", {"x": "\xff"}, "c"]]}',
        b'{"using": [], "methodCalls": [["a", {"x": "\\ud800"}, "c"]]}',
        b'{"using": [], "methodCalls": [["a", {"x": NaN}, "c"]]}',
        b'{"using": [], "methodCalls": [["a", {"x": ' + b"[" * 500 + b"]" * 500 + b'}, "c"]]}',
    ],
)
def test_not_json(octets: bytes) -> None:
    """What does not parse as I-JSON is notJSON."""
    assert refusal(octets)["type"] == "urn:ietf:params:jmap:error:notJSON"


@pytest.mark.parametrize(
    "value",
    [
        [],
        "text",
        None,
        {},
        {"using": []},
        {"methodCalls": []},
        {"using": None, "methodCalls": []},
        {"using": "urn", "methodCalls": []},
        {"using": [1], "methodCalls": []},
        {"using": [], "methodCalls": {}},
        {"using": [], "methodCalls": None},
        {"using": [], "methodCalls": [None]},
        {"using": [], "methodCalls": [{}]},
        {"using": [], "methodCalls": [["a", {}]]},
        {"using": [], "methodCalls": [["a", {}, "c", 1]]},
        {"using": [], "methodCalls": [["a", [], "c"]]},
        {"using": [], "methodCalls": [["a", None, "c"]]},
        {"using": [], "methodCalls": [["a", {}, 1]]},
        {"using": [], "methodCalls": [[1, {}, "c"]]},
        {"using": [], "methodCalls": [["a", {}, "c"], []]},
        {"using": [], "methodCalls": [], "createdIds": []},
        {"using": [], "methodCalls": [], "createdIds": None},
        {"using": [], "methodCalls": [], "createdIds": {"k": 1}},
        {"using": [], "methodCalls": [], "createdIds": {"#k": "M1"}},
        {"using": [], "methodCalls": [], "createdIds": {"k": "M 1"}},
        {"Using": [], "methodCalls": []},
    ],
)
def test_not_request(value: Any) -> None:
    """JSON that does not match the type signature of a Request is notRequest."""
    assert refusal(json.dumps(value).encode())["type"] == "urn:ietf:params:jmap:error:notRequest"


def test_too_many_calls() -> None:
    """One call more than maxCallsInRequest is the limit of that name; just as many are not."""
    call = ["Core/echo", {}, "c"]
    parse_request(json.dumps({"using": [], "methodCalls": [call] * 3}).encode(), LIMITS)
    problem = refusal({"using": [], "methodCalls": [call] * 4})
    assert problem["type"] == "urn:ietf:params:jmap:error:limit"
    assert problem["limit"] == "maxCallsInRequest"


def test_too_large() -> None:
    """One octet more than maxSizeRequest is the limit of that name, whatever the octets are; just as many are not."""
    octets = json.dumps(EXAMPLE).encode()
    parse_request(octets.ljust(10_000), LIMITS)
    assert refusal(b"x" * 10_001) == {
        "type": "urn:ietf:params:jmap:error:limit",
        "limit": "maxSizeRequest",
        "status": 400,
        "detail": "A request may have at most 10000 octets.",
    }
    with pytest.raises(RequestError):
        check_size(10_001, LIMITS)


def test_unknown_capability() -> None:
    """A capability that the server does not support is unknownCapability, and the problem names it."""
    request = {"using": [CORE, "https://example.com/apis/foobar"], "methodCalls": []}
    assert refusal(request, capabilities={CORE, MAIL}) == {
        "type": "urn:ietf:params:jmap:error:unknownCapability",
        "status": 400,
        "detail": "The Request object used capability 'https://example.com/apis/foobar', which is not supported by "
        "this server.",
    }


def test_unused_capability() -> None:
    """A client MAY name capabilities that its calls do not need."""
    check_using(frozenset({CORE, MAIL}), {CORE, MAIL, "urn:x"})


def test_long_capability() -> None:
    """A URI of thousands of characters is not sent back whole."""
    assert len(refusal({"using": ["x" * 9_000], "methodCalls": []}, capabilities={CORE})["detail"]) < 400


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", " application/json ;"])
def test_content_type(content_type: str) -> None:
    """application/json is taken with any parameter and in any case."""
    check_content_type(content_type)


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/jsonp", "application/problem+json"])
def test_other_content_type(content_type: str | None) -> None:
    """Any other content type, or none, is notJSON."""
    with pytest.raises(RequestError) as raised:
        check_content_type(content_type)
    assert raised.value.problem()["type"] == "urn:ietf:params:jmap:error:notJSON"
    assert raised.value.problem()["status"] == 400
