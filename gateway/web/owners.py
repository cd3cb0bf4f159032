"""Which node serves which account, as far as the endpoints need to know. `server.ownership` and `server.workers` know.

Rule 1: one node serves an account: everything that a login asks for, its own accounts and those of others, happens at
        the node that owns the login's account.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler


class Peer(Protocol):
    """Another node."""

    @property
    def id(self) -> str: ...
    @property
    def url(self) -> str:
        """http://HOST:PORT, or unix:PATH."""


class Serve(Protocol):
    async def __call__(self, request: web.Request, handler: Handler, /) -> web.StreamResponse:
        """Answer a request, here with this handler or at another node."""


class Owners(Protocol):
    def is_ours(self, account_id: str) -> bool:
        """Tell whether this node serves the account now."""

    async def owner(self, account_id: str) -> Peer | None:
        """Return the other node that serves it; None when nobody does. It may have changed a moment ago."""

    async def take(self, account_id: str) -> Peer | None:
        """Serve it from now on if nobody does (None), or return the other node that does. Raise `OSError`."""

    def forget(self, account_id: str) -> None:
        """Look again: what `owner` returned was wrong."""

    def another(self) -> Peer | None:
        """Return a node that may take an account in this one's place, where this one takes no more."""

    def working(self, account_id: str) -> AbstractContextManager[None]:
        """Keep the account here until a request is done."""
