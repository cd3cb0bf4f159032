"""Calls in order, errors in their place (RFC 8620 sections 3.2 to 3.10)."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.jmap.capability import CORE, MAIL, QUOTA, WEBSOCKET
from gateway.jmap.dispatch import OK, UNKNOWN, Dispatcher
from gateway.jmap.errors import MethodError, RequestError, SetError
from gateway.jmap.limits import Limits
from gateway.jmap.method import Arguments, Context, Method, Registry, Responses
from gateway.jmap.request import Request
from gateway.unavailable import Unavailable

LIMITS = Limits()
URL = "https://example.com/apis/foobar"


async def echo(_context: Context, arguments: Arguments) -> Arguments:
    return arguments


async def fail(_context: Context, arguments: Arguments) -> Arguments:
    raise MethodError("anchorNotFound", "No such anchor", limit=5)


async def crash(_context: Context, arguments: Arguments) -> Arguments:
    raise ValueError("Dear Alice, the password is hunter2")


async def leak(_context: Context, arguments: Arguments) -> Arguments:
    raise SetError("forbidden", "the subject of a message")


async def create(context: Context, arguments: Arguments) -> Arguments:
    context.created_ids[arguments["key"]] = arguments["id"]
    return {"id": arguments["id"]}


async def copy(_context: Context, arguments: Arguments) -> Responses:
    return Responses((("Foo/copy", {"created": None}), ("Foo/set", {"destroyed": ["a"]})))


METHODS: dict[str, Method] = {"echo": echo, "fail": fail, "crash": crash, "leak": leak, "create": create, "copy": copy}


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for name, method in METHODS.items():
        registry.add(f"Foo/{name}", MAIL, method)
    registry.add("Core/echo", CORE, echo)
    registry.add("Quota/get", QUOTA, echo)
    return registry


def context(*capabilities: str) -> Context:
    account = SimpleNamespace(capabilities={uri: {} for uri in capabilities or (MAIL,)})
    return Context("me", {"A1": account}, frozenset(), LIMITS)


async def run(
    dispatcher: Dispatcher,
    *calls: tuple[str, dict[str, Any], str],
    using: tuple[str, ...] = (CORE, MAIL),
    created_ids: dict[str, str] | None = None,
    capabilities: tuple[str, ...] = (MAIL,),
) -> dict[str, Any]:
    request = Request(frozenset(using), list(calls), created_ids)
    return await dispatcher.dispatch(request, context(*capabilities), "s1")


async def test_responses_in_order(registry: Registry) -> None:
    """Responses stand in the order of the calls, under the calls' names and ids, though ids repeat."""
    response = await run(Dispatcher(registry, LIMITS), ("Foo/echo", {"n": 1}, "b"), ("Core/echo", {"n": 2}, "b"))
    assert response == {
        "methodResponses": [["Foo/echo", {"n": 1}, "b"], ["Core/echo", {"n": 2}, "b"]],
        "sessionState": "s1",
    }


async def test_calls_run_in_order(registry: Registry) -> None:
    """A call begins only when the one before it has ended."""
    events = []

    async def slow(_context: Context, arguments: Arguments) -> Arguments:
        events.append(f"{arguments['n']} begins")
        await asyncio.sleep(0.001)
        events.append(f"{arguments['n']} ends")
        return {}

    registry.add("Foo/slow", MAIL, slow)
    await run(Dispatcher(registry, LIMITS), ("Foo/slow", {"n": 1}, "a"), ("Foo/slow", {"n": 2}, "b"))
    assert events == ["1 begins", "1 ends", "2 begins", "2 ends"]


async def test_no_calls(registry: Registry) -> None:
    """A request without calls has a response without responses."""
    assert await run(Dispatcher(registry, LIMITS)) == {"methodResponses": [], "sessionState": "s1"}


async def test_implicit_calls(registry: Registry) -> None:
    """All responses that one call brings about bear its id."""
    response = await run(Dispatcher(registry, LIMITS), ("Foo/copy", {}, "c"), ("Foo/echo", {}, "d"))
    assert [(name, call_id) for name, _, call_id in response["methodResponses"]] == [
        ("Foo/copy", "c"),
        ("Foo/set", "c"),
        ("Foo/echo", "d"),
    ]


async def test_errors_in_place(registry: Registry) -> None:
    """An error stands where the response would, with its type; the next calls are processed as normal."""
    response = await run(
        Dispatcher(registry, LIMITS), ("Foo/fail", {}, "a"), ("No/such", {}, "b"), ("Foo/echo", {"n": 1}, "c")
    )
    assert response["methodResponses"] == [
        ["error", {"type": "anchorNotFound", "description": "No such anchor", "limit": 5}, "a"],
        ["error", {"type": "unknownMethod"}, "b"],
        ["Foo/echo", {"n": 1}, "c"],
    ]


@pytest.mark.parametrize("method", ["Foo/crash", "Foo/leak"])
async def test_unexpected(registry: Registry, caplog: pytest.LogCaptureFixture, method: str) -> None:
    """An unexpected exception is serverFail with an incident id; client and log are told no content of it."""
    with caplog.at_level(logging.DEBUG):
        response = await run(Dispatcher(registry, LIMITS), (method, {}, "a"), ("Foo/echo", {}, "b"))
    (name, arguments, call_id), other = response["methodResponses"]
    assert (name, arguments["type"], call_id) == ("error", "serverFail", "a")
    assert other == ["Foo/echo", {}, "b"]
    incident = arguments["description"].split()[-1].rstrip(".")
    (record,) = [vars(record) for record in caplog.records if record.name == "gateway.jmap"]
    assert (record["incident"], record["method"]) == (incident, method)
    assert "test_dispatch.py" in record["at"]
    for told in (caplog.text, str(record), str(response)):
        assert "hunter2" not in told
        assert "subject" not in told


async def test_what_is_away(registry: Registry) -> None:
    """What the gateway needs and does not have for now is serverUnavailable, without its reason."""

    async def away(_context: Context, _arguments: Arguments) -> Arguments:
        raise Unavailable("redis://:hunter2@10.0.0.1 does not answer")

    registry.add("Foo/away", MAIL, away)
    response = await run(Dispatcher(registry, LIMITS), ("Foo/away", {}, "a"), ("Foo/echo", {}, "b"))
    (name, arguments, _call_id), other = response["methodResponses"]
    assert (name, arguments["type"]) == ("error", "serverUnavailable")
    assert "hunter2" not in str(response)
    assert other == ["Foo/echo", {}, "b"]


async def test_cancellation_passes(registry: Registry) -> None:
    """A cancelled request is cancelled, and not answered with an error."""

    async def cancelled(_context: Context, _arguments: Arguments) -> Arguments:
        raise asyncio.CancelledError

    registry.add("Foo/cancelled", MAIL, cancelled)
    with pytest.raises(asyncio.CancelledError):
        await run(Dispatcher(registry, LIMITS), ("Foo/cancelled", {}, "a"))


async def test_result_reference(registry: Registry) -> None:
    """A reference is resolved before its method sees the arguments."""
    reference = {"resultOf": "a", "name": "Foo/echo", "path": "/list/*/id"}
    response = await run(
        Dispatcher(registry, LIMITS),
        ("Foo/echo", {"list": [{"id": "x"}, {"id": "y"}]}, "a"),
        ("Foo/echo", {"#ids": reference, "n": 1}, "b"),
    )
    assert response["methodResponses"][1] == ["Foo/echo", {"ids": ["x", "y"], "n": 1}, "b"]


@pytest.mark.parametrize("result_of", ["b", "c"])
async def test_no_reference_ahead(registry: Registry, result_of: str) -> None:
    """A reference to the call itself or to a later one fails, and the whole method with it."""
    reference = {"resultOf": result_of, "name": "Foo/echo", "path": ""}
    response = await run(Dispatcher(registry, LIMITS), ("Foo/echo", {"#x": reference}, "b"), ("Foo/echo", {}, "c"))
    assert response["methodResponses"][0][1]["type"] == "invalidResultReference"
    assert response["methodResponses"][1] == ["Foo/echo", {}, "c"]


async def test_reference_to_error(registry: Registry) -> None:
    """A reference to a call that failed fails."""
    reference = {"resultOf": "a", "name": "Foo/fail", "path": "/ids"}
    response = await run(Dispatcher(registry, LIMITS), ("Foo/fail", {}, "a"), ("Foo/echo", {"#ids": reference}, "b"))
    assert response["methodResponses"][1][1]["type"] == "invalidResultReference"


async def test_created_ids(registry: Registry) -> None:
    """createdIds come back when given: those of the request and those that were added."""
    call = ("Foo/create", {"key": "k2", "id": "M2"}, "a")
    response = await run(Dispatcher(registry, LIMITS), call, created_ids={"k1": "M1"})
    assert response["createdIds"] == {"k1": "M1", "k2": "M2"}
    assert "createdIds" not in await run(Dispatcher(registry, LIMITS), call)
    assert (await run(Dispatcher(registry, LIMITS), call, created_ids={}))["createdIds"] == {"k2": "M2"}


async def test_created_ids_of_the_request_stand(registry: Registry) -> None:
    """What is created goes into the response's map and not into the Request."""
    request = Request(frozenset({MAIL}), [("Foo/create", {"key": "k", "id": "M"}, "a")], {})
    await Dispatcher(registry, LIMITS).dispatch(request, context(), "s")
    assert request.created_ids == {}


@pytest.mark.parametrize(
    ("using", "strict", "allowed"),
    [
        ((), False, set()),
        ((), True, set()),
        ((MAIL,), False, {"Foo/echo", "Core/echo"}),
        ((CORE,), False, {"Foo/echo", "Core/echo"}),
        ((CORE, QUOTA), False, {"Foo/echo", "Core/echo", "Quota/get"}),
        ((MAIL,), True, {"Foo/echo"}),
        ((CORE, MAIL), True, {"Foo/echo", "Core/echo"}),
    ],
)
async def test_using(registry: Registry, using: tuple[str, ...], strict: bool, allowed: set[str]) -> None:
    """Empty allows nothing; anything else what the accounts advertise, or with strict_using what it names."""
    dispatcher = Dispatcher(registry, LIMITS, strict_using=strict)
    calls = [(name, {"ok": True}, name) for name in ("Foo/echo", "Core/echo", "Quota/get")]
    response = await run(dispatcher, *calls, using=using)
    for name, arguments, call_id in response["methodResponses"]:
        if call_id in allowed:
            assert (name, arguments) == (call_id, {"ok": True})
        else:
            assert (name, arguments) == ("error", {"type": "unknownMethod"})


async def test_using_reaches_methods(registry: Registry) -> None:
    """A method sees which capabilities the request names: properties of an extension depend on it."""
    seen = []

    async def look(context: Context, _arguments: Arguments) -> Arguments:
        seen.append(context.using)
        return {}

    registry.add("Foo/look", MAIL, look)
    await run(Dispatcher(registry, LIMITS), ("Foo/look", {}, "a"), using=(QUOTA,))
    assert seen == [{QUOTA}]


async def test_unknown_capability(registry: Registry) -> None:
    """A capability that is none of the server's refuses the request before a call is run."""
    ran = []

    async def note(_context: Context, _arguments: Arguments) -> Arguments:
        ran.append(1)
        return {}

    registry.add("Foo/note", MAIL, note)
    for dispatcher in (Dispatcher(registry, LIMITS), Dispatcher(registry, LIMITS, strict_using=True)):
        with pytest.raises(RequestError) as raised:
            await run(dispatcher, ("Foo/note", {}, "a"), using=(CORE, URL))
        assert raised.value.kind == "unknownCapability"
    assert not ran


async def test_capability_without_methods(registry: Registry) -> None:
    """A capability that brings no methods may be named once the dispatcher is told of it."""
    await run(Dispatcher(registry, LIMITS, capabilities=[WEBSOCKET]), using=(CORE, WEBSOCKET))


async def test_observer(registry: Registry) -> None:
    """The observer learns each call's name, time and outcome, and no name that a client made up."""
    seen: list[tuple[str, float, str]] = []
    dispatcher = Dispatcher(registry, LIMITS, on_call=lambda *call: seen.append(call))
    await run(dispatcher, ("Foo/echo", {}, "a"), ("Foo/fail", {}, "b"), ("Foo/crash", {}, "c"), ("Made/up", {}, "d"))
    assert [(name, outcome) for name, _, outcome in seen] == [
        ("Foo/echo", OK),
        ("Foo/fail", "anchorNotFound"),
        ("Foo/crash", "serverFail"),
        (UNKNOWN, "unknownMethod"),
    ]
    assert all(0 <= seconds < 1 for _, seconds, _ in seen)


def test_registered_once(registry: Registry) -> None:
    """A method cannot be registered twice."""
    with pytest.raises(ValueError, match="twice"):
        registry.add("Foo/echo", MAIL, echo)
    assert "Foo/echo" in registry.names()
