"""The three levels of error of RFC 8620 section 3.6, each an exception that is raised where the fault is seen.

Rule 1: the dispatcher alone turns them into JSON. Nothing else catches them to answer.
Rule 2: a description is for people: it names the fault and never holds mail content or a credential.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class RequestError(Exception):
    """The whole request is refused with a problem document (RFC 8620 section 3.6.1, RFC 7807)."""

    def __init__(self, kind: str, detail: str, *, status: int = 400, limit: str | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.status, self.limit = kind, detail, status, limit

    def problem(self) -> dict[str, Any]:
        """Return the problem document; `kind` is a bare name such as `notJSON`, or `about:blank`."""
        urn = self.kind if self.kind == "about:blank" else f"urn:ietf:params:jmap:error:{self.kind}"
        document: dict[str, Any] = {"type": urn, "status": self.status, "detail": self.detail}
        if self.limit is not None:
            document["limit"] = self.limit
        return document


class MethodError(Exception):
    """One method call fails (RFC 8620 section 3.6.2): the response is `error` with this type."""

    def __init__(self, kind: str, description: str | None = None, **extra: Any) -> None:
        super().__init__(kind, description)
        self.kind, self.description, self.extra = kind, description, extra

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the `error` response."""
        return _object(self.kind, self.description, self.extra)


class SetError(Exception):
    """One object of a /set, /copy or /import fails (RFC 8620 section 5.3)."""

    def __init__(
        self, kind: str, description: str | None = None, *, properties: Sequence[str] | None = None, **extra: Any
    ) -> None:
        super().__init__(kind, description)
        self.kind, self.description, self.extra = kind, description, extra
        if properties is not None:
            self.extra["properties"] = list(properties)

    def object(self) -> dict[str, Any]:
        """Return the SetError object."""
        return _object(self.kind, self.description, self.extra)


def _object(kind: str, description: str | None, extra: Mapping[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = {"type": kind}
    if description is not None:
        error["description"] = description
    return error | dict(extra)
