"""An account that sends to nowhere: what was handed in is kept in a list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.account.account import Account
from gateway.account.own_addresses import OwnAddresses
from gateway.account.submitting import SUBMISSIONS, Offers, Prepared
from gateway.account.user_records import Record
from gateway.jmap.capability import CORE, MAIL, SUBMISSION
from gateway.jmap.errors import SetError
from gateway.message.outgoing import Outgoing
from gateway.store import SqliteStore
from tests.methods.world import World

EXTENSIONS: dict[str, tuple[str, ...]] = {"DSN": (), "SIZE": ("1000000",), "SMTPUTF8": (), "STARTTLS": ()}


class ListSubmitter:
    """Takes everything at once. `refusal` is raised instead, once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.offers = Offers(EXTENSIONS, 1_000_000, 5, 3600)
        self.handed_in: list[tuple[str, Mapping[str, Any], float]] = []  # id, envelope, release
        self.sent: list[tuple[bytes, Mapping[str, Any]]] = []  # of what is no Email: octets, envelope
        self.prepared: set[str] = set()
        self.refusal: SetError | None = None
        self._serial = 0

    async def prepare(self, email_id: str) -> Prepared:
        outgoing = Outgoing()
        outgoing.feed(self._world.messages[email_id])
        outgoing.finish()
        self._serial += 1
        id = f"E{self._serial}"
        self.prepared.add(id)
        return Prepared(id, outgoing.fields, outgoing.size_octets, outgoing.is_8bit, outgoing.has_utf8_headers)

    async def discard(self, prepared: Prepared) -> None:
        self.prepared.discard(prepared.id)

    async def submit(
        self, prepared: Prepared, submission: Record, envelope: Mapping[str, Any], *, release_s: float
    ) -> Record:
        self.prepared.discard(prepared.id)
        if self.refusal is not None:
            raise self.refusal
        self.handed_in.append((prepared.id, envelope, release_s))
        statuses = {
            one["email"]: {"smtpReply": "250 ok", "delivered": "queued", "displayed": "unknown"}
            for one in envelope["rcptTo"]
        }
        record = {**submission, "undoStatus": "pending", "deliveryStatus": statuses}
        await self._world.account.user_records.write(SUBMISSIONS, {prepared.id: record})
        return record

    async def send(self, octets: AsyncIterator[bytes], envelope: Mapping[str, Any]) -> None:
        self.sent.append((b"".join([chunk async for chunk in octets]), envelope))

    async def cancel(self, submission_id: str) -> Record:
        records = self._world.account.user_records
        record = (await records.look(SUBMISSIONS, [submission_id])).by_id[submission_id]
        record = {**record, "undoStatus": "canceled"}
        await records.write(SUBMISSIONS, {submission_id: record})
        return record


@asynccontextmanager
async def sending_world(path: Path, *addresses: str) -> AsyncIterator[tuple[World, ListSubmitter]]:
    """A world whose account may send from these addresses, the default one first."""
    world, store = World(), await SqliteStore.open(path)
    world.account = Account(
        id="A1",
        name="Someone",
        login="someone",
        path=path / "index.db",
        make_backend=lambda _account: world,
        uploads=world.uploads,
        capabilities={CORE: {}, MAIL: {}, SUBMISSION: {}},
        records=store,
        own_addresses=OwnAddresses(addresses or ("me@here.example",)),
    )
    submitter = world.account.submitter = ListSubmitter(world)
    await world.account.open()
    await world.add_mailbox("inbox", name="Inbox", role="inbox", sort_order=1)
    await world.add_mailbox("drafts", name="Drafts", role="drafts", sort_order=2)
    try:
        yield world, submitter
    finally:
        await world.account.aclose()
        await store.close()
