"""Run the method calls of a request in order and gather their responses (RFC 8620 sections 3.4 to 3.7, 3.10)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from gateway.jmap.limits import Limits
from gateway.jmap.method import Context, Registry
from gateway.jmap.request import Request

OnCall = Callable[[str, float, str], None]  # (method name, seconds, outcome: "ok" or the type of the error)


class Dispatcher:
    """Stateless but for its registry, which must be complete when it is given."""

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        *,
        strict_using: bool = False,
        on_call: OnCall | None = None,
        capabilities: Collection[str] = (),
    ) -> None:
        self.registry, self.limits = registry, limits

    async def dispatch(self, request: Request, context: Context, session_state: str) -> dict[str, Any]:
        """Return the Response object; raise RequestError for a capability this server does not have."""
        raise NotImplementedError
