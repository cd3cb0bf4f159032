"""Run the method calls of a request in order and gather their responses (RFC 8620 sections 3.4 to 3.7, 3.10).

Rule 1: a call fails alone; the next ones are run as if nothing had happened.
Rule 2: a non-empty `using` allows every method of the capabilities that the caller's accounts advertise: clients in use
        name too few. With `strict_using` only what it names (section 1.8). An empty one allows nothing.
Rule 3: what an extension adds to a type of another specification needs its URI in `using` in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from time import perf_counter
from typing import Any, Final

from gateway.jmap.capability import CORE
from gateway.jmap.errors import MethodError
from gateway.jmap.failure import failure_of
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context, Registry, Responses
from gateway.jmap.reference import Results
from gateway.jmap.request import Request, check_using

OnCall = Callable[[str, float, str], None]  # (method name, seconds, outcome: OK or the type of the error)

OK: Final = "ok"
UNKNOWN: Final = "unknown"  # told to `on_call` for a name that is not registered: clients could make up any number


class Dispatcher:
    """Run requests. Keeps nothing between them; the registry must be complete when it is given.

    `capabilities` are those of the Session that bring no methods.
    """

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        *,
        strict_using: bool = False,
        on_call: OnCall | None = None,
        capabilities: Collection[str] = (),
    ) -> None:
        self._registry, self._limits, self._strict_using = registry, limits, strict_using
        self._on_call = on_call
        self.capabilities = frozenset({CORE, *registry.capabilities(), *capabilities})

    async def dispatch(self, request: Request, context: Context, session_state: str) -> dict[str, Any]:
        """Return the Response object; raise RequestError for a capability this server does not have.

        `using` and the creation ids of the context are taken from the request.
        """
        check_using(request.using, self.capabilities)
        context.using = request.using
        if request.created_ids:
            context.created_ids.update(request.created_ids)
        allowed = self._allowed(context)
        results = Results(self._limits.max_size_request)
        responses: list[list[Any]] = []
        for name, arguments, call_id in request.method_calls:
            for answered, answer in await self._call(name, arguments, context, allowed, results):
                results.add(answered, answer, call_id)
                responses.append([answered, answer, call_id])
        response: dict[str, Any] = {"methodResponses": responses}
        if request.created_ids is not None:
            response["createdIds"] = context.created_ids
        response["sessionState"] = session_state
        return response

    async def _call(
        self, name: str, arguments: dict[str, Any], context: Context, allowed: frozenset[str], results: Results
    ) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Return the responses of one call, `error` if it fails."""
        started, outcome = perf_counter(), OK
        registered = self._registry.get(name)
        responses: tuple[tuple[str, dict[str, Any]], ...]
        try:
            if registered is None or registered.capability not in allowed:
                raise MethodError("unknownMethod")
            answer = await registered.method(context, results.resolve(arguments))
            responses = answer.items if isinstance(answer, Responses) else ((name, answer),)
        except MethodError as error:
            outcome, responses = error.kind, (("error", error.arguments()),)
        except Exception as fault:
            # A fault of ours in one method must not take the others with it. Cancellation passes.
            failure = failure_of(name, fault)
            outcome, responses = failure.kind, (("error", failure.arguments()),)
        if self._on_call is not None:
            self._on_call(UNKNOWN if registered is None else name, perf_counter() - started, outcome)
        return responses

    def _allowed(self, context: Context) -> frozenset[str]:
        """Return the capabilities whose methods this request may call."""
        if self._strict_using or not context.using:
            return context.using
        return context.using.union({CORE}, *(account.capabilities for account in context.accounts.values()))
