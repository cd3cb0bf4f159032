"""Two accounts of one login with a real store of uploads, and requests that go through the dispatcher."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from gateway.account.account import Account
from gateway.jmap.capability import BLOB, CORE, MAIL, blob_account_capability
from gateway.jmap.dispatch import Dispatcher
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context
from gateway.jmap.request import Request
from gateway.store import Uploads
from tests.fakes.backend import make_account
from tests.methods.world import World, registry

LIMITS = Limits(max_size_upload=10_000, max_objects_in_get=500, max_objects_in_set=50)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Blobs:
    """`world` is account A1, `other` account A2 without mail."""

    def __init__(self, world: World, uploads: Uploads, clock: Clock, directory: Path) -> None:
        self.world, self.uploads, self.clock = world, uploads, clock
        world.account.uploads = uploads
        world.account.capabilities[BLOB] = blob_account_capability(LIMITS)
        self.other: Account = make_account(directory / "other.db", id="A2")
        self.other.uploads = uploads
        self.limits = LIMITS

    async def put(self, octets: bytes, account_id: str = "A1") -> str:
        """Upload as the HTTP endpoint does; return the blob id."""

        async def chunks() -> AsyncIterator[bytes]:
            yield octets

        return f"u_{(await self.uploads.put(account_id, chunks())).digest}"

    async def request(
        self, *calls: tuple[str, Mapping[str, Any]], using: frozenset[str] = frozenset({CORE, MAIL, BLOB})
    ) -> list[Any]:
        """Return the arguments of the responses; those of a call that failed with "error" as their first key."""
        accounts = {"A1": self.world.account, "A2": self.other}
        context = Context("someone", accounts, using, self.limits)
        full = [(name, {"accountId": "A1", **arguments}, f"c{at}") for at, (name, arguments) in enumerate(calls)]
        response = await Dispatcher(registry(), self.limits).dispatch(Request(using, full), context, "s")
        return [
            {"error": arguments["type"], **arguments} if name == "error" else arguments
            for name, arguments, _id in response["methodResponses"]
        ]

    async def call(self, name: str, **arguments: Any) -> Any:
        return (await self.request((name, arguments)))[0]
