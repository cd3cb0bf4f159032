"""The outbox and its desks over a real SMTP server, with logins that come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.account.account import Account
from gateway.account.backend import WHOLE
from gateway.account.submitting import JOBS, SUBMISSIONS
from gateway.jmap.errors import MethodError, SetError
from gateway.outbox import Desk, Outbox, Spool, verdict
from gateway.secret import Secret
from gateway.store import SqliteStore, StoreError
from gateway.store.outgoing import OutgoingFiles
from gateway.upstream.sasl import Credentials, OAuthCredentials, PasswordCredentials
from gateway.upstream.smtp import SmtpServer
from gateway.upstream.tls import Endpoint
from tests.fakes.backend import FakeBackend
from tests.push.accounts import opened
from tests.upstreams import sink as sink_server
from tests.upstreams.place import Place
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import PASSWORD

MESSAGE = b"From: me@here.example\r\nTo: x@there.example\r\nBcc: y@there.example\r\n\r\nhi\r\n"
HOLDS = ["DSN", "FUTURERELEASE 86400 2030-01-01T00:00:00Z"]


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    place = Place("outbox-sink")
    try:
        yield sink_server.start(place)
    finally:
        place.close()


@dataclass
class Logins:
    """One login that may be away."""

    credentials: Credentials | None
    upstream: str = "main"
    is_kept: bool = False

    async def of(self, account_id: str) -> Any:
        return self if self.credentials is not None else None

    async def keep(self, account_id: str) -> None:
        self.is_kept = True

    async def release(self, account_id: str) -> None:
        self.is_kept = False


class World:
    def __init__(self, path: Path, store: SqliteStore, account: Account, server: SmtpServer, logins: Logins) -> None:
        self.account, self.server, self.logins = account, server, logins
        self.directory = path / "outbox"
        self.spool = Spool(OutgoingFiles(self.directory))
        self.store = store
        self.outbox = self.make_outbox()

    def make_outbox(self) -> Outbox:
        async def opened(_account_id: str) -> Account:
            return self.account

        return Outbox(
            store=self.store,
            spool=self.spool,
            servers={"main": self.server},
            logins=self.logins,
            account_of=lambda _account_id: self.account,
            open_account=opened,
        )

    @property
    def desk(self) -> Desk:
        return Desk(
            self.outbox, self.account, self.server, has_token=isinstance(self.logins.credentials, OAuthCredentials)
        )

    async def submit(self, to: str, *, delay_s: float = 0) -> tuple[str, dict[str, Any]]:
        prepared = await self.desk.prepare("M1")
        release_s = time.time() + delay_s
        envelope = {
            "mailFrom": {"email": "me@here.example", "parameters": None},
            "rcptTo": [{"email": to, "parameters": None}],
        }
        submission = {"emailId": "M1", "envelope": envelope, "sendAt": "2030-01-01T00:00:00Z", "dsnBlobIds": []}
        return prepared.id, await self.desk.submit(prepared, submission, envelope, release_s=release_s)

    async def status(self, id: str) -> dict[str, Any]:
        return (await self.account.user_records.look(SUBMISSIONS, [id])).by_id[id]

    def files(self) -> list[str]:
        return [path.name for path in self.directory.glob("*/*")]

    async def until(self, id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + 10
        while not holds(record := await self.status(id)):
            assert time.monotonic() < end, record
            await asyncio.sleep(0.02)
        return record

    async def until_final(self, id: str) -> dict[str, Any]:
        return await self.until(id, lambda record: record["undoStatus"] == "final")

    def backend(self) -> FakeBackend:
        assert isinstance(self.account.backend, FakeBackend)
        return self.account.backend


@pytest.fixture
async def world(tmp_path: Path, sink: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(verdict, "BACKOFF_S", (1,))
    store = await SqliteStore.open(tmp_path)
    server = SmtpServer(Endpoint(sink.host, sink.port, "none"))
    await server.learn()
    async with opened(tmp_path / "a.db", records=store) as account:
        world = World(tmp_path, store, account, server, Logins(PasswordCredentials("ann", Secret(PASSWORD))))
        world.backend().sections["M1", WHOLE] = MESSAGE
        await world.outbox.start()
        yield world
        await world.outbox.aclose()
    await store.close()


async def test_a_token_that_will_expire_has_the_server_hold_the_message(world: World, sink: SmtpSink) -> None:
    """Where it offers to; then it cannot be taken back, and says so. A moment's delay is ours."""
    world.logins.credentials = OAuthCredentials("ann", Secret(PASSWORD))
    assert world.desk.offers.max_delay_s == 600
    with sink.faulty(offers=HOLDS):
        await world.server.learn()
        assert world.desk.offers.max_delay_s == 86_400
        id, record = await world.submit("held@there.example", delay_s=3600)
        assert record["undoStatus"] == "final"
        (kept,) = sink.to("held@there.example")
        (hold,) = [word for word in kept.envelope["sender_parameters"] if word.startswith("HOLDUNTIL=")]
        assert abs(time.mktime(time.strptime(hold[10:], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - time.time() - 3600) < 5
        with pytest.raises(SetError, match="cannotUnsend"):
            await world.desk.cancel(id)
        id, record = await world.submit("ours@there.example", delay_s=60)
        assert record["undoStatus"] == "pending"
        assert (await world.desk.cancel(id))["undoStatus"] == "canceled"
    assert sink.to("ours@there.example") == []


async def test_a_login_that_is_refused_is_told_to_who_waits(world: World, sink: SmtpSink) -> None:
    world.logins.credentials = OAuthCredentials("ann", Secret("expired"))
    with pytest.raises(SetError, match="forbiddenToSend"):
        await world.submit("refused@there.example")
    assert (await world.account.user_records.look(SUBMISSIONS, None)).by_id == {}
    assert (await world.account.user_records.look(JOBS, None)).by_id == {}
    assert not world.logins.is_kept


@pytest.mark.parametrize("credentials", [None, OAuthCredentials("ann", Secret("expired"))])
async def test_a_delayed_message_waits_for_a_login(
    world: World, sink: SmtpSink, credentials: Credentials | None
) -> None:
    """When its time comes and the login is not good; with the next one it goes at once."""
    to = f"waits{credentials is None}@there.example"
    id, _record = await world.submit(to, delay_s=0.3)
    assert world.logins.is_kept
    world.logins.credentials = credentials
    record = await world.until(id, lambda record: record["deliveryStatus"][to]["smtpReply"] != verdict.WAITING)
    assert (record["undoStatus"], record["deliveryStatus"][to]["delivered"]) == ("pending", "queued")
    world.logins.credentials = PasswordCredentials("ann", Secret(PASSWORD))
    await world.outbox.logged_in("A1")
    await world.until_final(id)
    assert len(sink.to(to)) == 1
    await asyncio.sleep(0.2)
    assert not world.logins.is_kept


async def test_a_lost_file_is_fetched_again(world: World, sink: SmtpSink) -> None:
    """From the upstream, by the Email's id; Bcc goes again."""
    id, _record = await world.submit("again@there.example", delay_s=0.3)
    await world.spool.drop("A1", id)
    await world.until_final(id)
    (kept,) = sink.to("again@there.example")
    assert kept.octets == MESSAGE.replace(b"Bcc: y@there.example\r\n", b"")


async def test_a_message_that_is_nowhere_fails_for_good(world: World, sink: SmtpSink) -> None:
    """And says so."""
    id, _record = await world.submit("gone@there.example", delay_s=0.3)
    await world.spool.drop("A1", id)
    world.backend().sections.clear()
    record = await world.until_final(id)
    assert record["deliveryStatus"]["gone@there.example"]["delivered"] == "no"
    assert record["deliveryStatus"]["gone@there.example"]["smtpReply"] == verdict.GONE
    assert sink.to("gone@there.example") == []


async def test_destroying_the_record_changes_no_delivery(world: World, sink: SmtpSink) -> None:
    """RFC 8621 section 7.5; and the record does not come back."""
    id, _record = await world.submit("free@there.example", delay_s=0.3)
    await world.account.user_records.write(SUBMISSIONS, {id: None})
    await asyncio.to_thread(sink.to, "free@there.example", 1)
    await asyncio.sleep(0.2)
    assert (await world.account.user_records.look(SUBMISSIONS, None)).by_id == {}
    assert (await world.account.user_records.look(JOBS, None)).by_id == {}


async def test_a_stop_waits_for_the_reply_to_what_is_out(world: World, sink: SmtpSink) -> None:
    """What is out is answered; what is not yet out goes after the next start, once."""
    with sink.faulty(kept={"wait_s": 1.0}):
        out = asyncio.create_task(world.submit("out@there.example"))
        await asyncio.sleep(0.5)
        await world.outbox.aclose()
        _id, record = await out
        assert record["deliveryStatus"]["out@there.example"]["smtpReply"] == "250 2.1.5 ok"
    with sink.faulty(rcpt={"wait_s": 5.0}):
        world.outbox = world.make_outbox()
        await world.outbox.start()
        asked = asyncio.create_task(world.submit("stays@there.example"))
        await asyncio.sleep(0.5)
        await world.outbox.aclose()
        id, record = await asked
        assert record["undoStatus"] == "pending"
    world.outbox = world.make_outbox()
    await world.outbox.start()
    assert await world.outbox.begin(world.account.id) == 1
    record = await world.until_final(id)
    assert len(sink.to("stays@there.example")) == 1, record
    assert len(sink.to("out@there.example")) == 1


async def test_what_a_crash_has_left_is_swept(world: World) -> None:
    """What has no job goes at the start, what waits stays; what is of another process's accounts is not looked at."""
    id, _record = await world.submit("later@there.example", delay_s=3600)
    await world.desk.prepare("M1")  # and then a crash
    assert len(world.files()) == 2
    for ours, left in ((set[str](), 2), ({world.account.id}, 1)):
        outbox = world.make_outbox()
        await outbox.start(ours.__contains__)
        assert len(world.files()) == left
        await outbox.aclose()
    assert world.files() == [f"{id}.eml"]


def full(_work: Any) -> Any:
    raise StoreError("gateway.db cannot be used (database or disk is full)")


async def test_what_cannot_be_written_is_not_sent(
    world: World, sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk when a message is handed in: an error, no file and no mail."""
    with monkeypatch.context() as disk:
        disk.setattr(world.store, "_transaction", full)
        with pytest.raises(MethodError, match="serverFail"):
            await world.submit("full@there.example")
    assert world.files() == []
    assert sink.to("full@there.example") == []
    assert (await world.account.user_records.look(SUBMISSIONS, None)).by_id == {}


async def test_without_an_intent_no_dot_is_written(
    world: World, sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up while the message goes out: it is sent later, once."""
    monkeypatch.setattr("gateway.outbox.outbox.WRITE_AGAIN_S", 0.1)
    with sink.faulty(data={"wait_s": 0.5}):
        asked = asyncio.create_task(world.submit("early@there.example"))
        await asyncio.sleep(0.3)
        with monkeypatch.context() as disk:
            disk.setattr(world.store, "_transaction", full)
            await asyncio.sleep(0.6)
        id, record = await asked
    assert sink.to("early@there.example") == []
    assert record["undoStatus"] == "pending"
    await world.until_final(id)
    assert len(sink.to("early@there.example")) == 1


async def test_a_result_is_written_when_it_can_be(
    world: World, sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up between the dot and the reply: the message is not sent again, and the result is not lost."""
    monkeypatch.setattr("gateway.outbox.outbox.WRITE_AGAIN_S", 0.1)
    with sink.faulty(kept={"wait_s": 0.5}):
        asked = asyncio.create_task(world.submit("end@there.example"))
        await asyncio.to_thread(sink.to, "end@there.example", 1)
        with monkeypatch.context() as disk:
            disk.setattr(world.store, "_transaction", full)
            await asyncio.sleep(1.0)
        _id, record = await asked
    assert record["undoStatus"] == "final"
    assert record["deliveryStatus"]["end@there.example"]["smtpReply"] == "250 2.1.5 ok"
    assert len(sink.to("end@there.example")) == 1


@pytest.mark.parametrize(("bound", "value"), [("MAX_WAITING", 2), ("MAX_WAITING_OCTETS", 2 * len(MESSAGE))])
async def test_there_is_an_end_to_what_waits(
    world: World, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    """By number and by size; what is taken back makes room."""
    monkeypatch.setattr(f"gateway.outbox.desk.{bound}", value)
    ids = [(await world.submit("waits@there.example", delay_s=60))[0] for _ in range(2)]
    with pytest.raises(SetError, match="overQuota"):
        await world.submit("waits@there.example", delay_s=60)
    assert len(world.files()) == 2
    await world.desk.cancel(ids[0])
    await world.submit("waits@there.example", delay_s=60)


async def test_many_go_side_by_side(world: World, sink: SmtpSink) -> None:
    """A slow server is not asked one at a time, and each goes once."""
    with sink.faulty(end={"wait_s": 0.5}):
        started = time.monotonic()
        made = await asyncio.gather(*(world.submit(f"many{n}@there.example") for n in range(20)))
        assert time.monotonic() - started < 5
    assert {record["undoStatus"] for _id, record in made} == {"final"}
    assert all(len(sink.to(f"many{n}@there.example")) == 1 for n in range(20))
