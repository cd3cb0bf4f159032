"""Servers and gateways that fail in the middle: no mail is lost, none goes twice, and the client sees the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.outbox import verdict
from tests.server.conftest import JmapClient, MakeGateway, Switch
from tests.server.process import GatewayProcess, process
from tests.server.sending import WAIT_S, Sender, by_sink
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream

BEFORE = ("greeting", "ehlo", "auth", "mail", "rcpt", "data", "body")  # the final dot
STAGES = ("greeting", "ehlo", "auth", "mail", "rcpt", "data", "end")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again after a second."""
    monkeypatch.setattr(verdict, "BACKOFF_S", (1,))


async def sender(gateway: MakeGateway, upstream: Upstream, sink: SmtpSink, port: int | None = None) -> Sender:
    more = by_sink(sink) if port is None else by_sink(sink).replace(f":{sink.port}", f":{port}")
    return await Sender((await gateway(upstream, more=more))(upstream.fresh_login())).begin()


def is_final(record: dict[str, Any]) -> bool:
    return record["undoStatus"] == "final"


@pytest.mark.parametrize("stage", STAGES)
async def test_a_refusal_for_now_is_tried_again(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway, stage: str
) -> None:
    """The client sees the reply meanwhile; then the message goes, once."""
    ann = await sender(gateway, dovecot, smtp_sink)
    to = f"x@{ann.client.login}.example"
    with smtp_sink.faulty(**{stage: {"reply": "451 4.3.0 not now", "times": 1}}):
        made = await ann.sent(to)
        assert made["undoStatus"] == "pending"
        assert made["deliveryStatus"] == {
            to: {"smtpReply": "451 4.3.0 not now", "delivered": "queued", "displayed": "unknown"}
        }
        assert smtp_sink.to(to) == []
        final = await ann.until(made["id"], is_final)
    assert final["deliveryStatus"][to]["delivered"] == "unknown"
    assert final["deliveryStatus"][to]["smtpReply"] == "250 2.1.5 ok"
    await asyncio.sleep(1.5)
    assert len(smtp_sink.to(to)) == 1


@pytest.mark.parametrize(
    ("stage", "reply", "kind"),
    [
        ("auth", "535 5.7.8 no", "forbiddenToSend"),
        ("mail", "553 5.7.1 not yours", "forbiddenMailFrom"),
        ("mail", "552 5.3.4 too big", "tooLarge"),
        ("rcpt", "550 5.1.1 nobody", "invalidRecipients"),
        ("data", "554 5.7.1 no", "forbiddenToSend"),
        ("end", "554 5.7.1 spam", "forbiddenToSend"),
        ("end", "552 5.3.4 too big", "tooLarge"),
    ],
)
async def test_a_refusal_for_good_is_told_at_once(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway, stage: str, reply: str, kind: str
) -> None:
    """With the server's words; nothing is sent, then or later."""
    ann = await sender(gateway, dovecot, smtp_sink)
    to = f"x@{ann.client.login}.example"
    with smtp_sink.faulty(**{stage: {"reply": reply}}):
        error = await ann.refused(to)
    assert error["type"] == kind
    assert reply in error["description"]
    if kind == "tooLarge":
        assert type(error["maxSize"]) is int
    await asyncio.sleep(1.2)
    assert smtp_sink.to(to) == []
    assert (await ann.client.call("EmailSubmission/get", ids=None))["list"] == []
    assert len(await ann.emails_in("drafts")) == 1


@pytest.mark.parametrize("stage", BEFORE)
async def test_a_cut_before_the_final_dot_costs_a_moment(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway, stage: str
) -> None:
    ann = await sender(gateway, dovecot, smtp_sink)
    to = f"x@{ann.client.login}.example"
    # A message that fits no buffer: a small one is with the server's kernel before the server cuts.
    text = "a line of text\n" * (600_000 if stage == "body" else 1)
    with smtp_sink.faulty(**{stage: {"cut": True, "times": 1}}):
        made = await ann.sent(to, bodyValues={"1": {"value": text}})
        assert made["undoStatus"] == "pending"
        assert made["deliveryStatus"][to]["delivered"] == "queued"
        assert made["deliveryStatus"][to]["smtpReply"].startswith("451 4.4.1 ")
        await ann.until(made["id"], is_final)
    assert len(smtp_sink.to(to)) == 1


@pytest.mark.parametrize(("stage", "arrived"), [("end", 0), ("kept", 1)])
async def test_a_cut_after_the_final_dot_is_told_as_doubt(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway, stage: str, arrived: int
) -> None:
    """It may have gone or not: it is not sent again, and the status says so."""
    ann = await sender(gateway, dovecot, smtp_sink)
    to, bad = f"x@{ann.client.login}.example", f"reject@{ann.client.login}.example"
    with smtp_sink.faulty(**{stage: {"cut": True, "times": 1}}):
        made = await ann.sent(to, bad)
        assert made["undoStatus"] == "final"
        assert made["deliveryStatus"][to] == {
            "smtpReply": verdict.DOUBTFUL, "delivered": "unknown", "displayed": "unknown",
        }  # fmt: skip
        assert made["deliveryStatus"][bad]["delivered"] == "no"
        await asyncio.sleep(2.5)
    assert len(smtp_sink.to(to)) == arrived


async def test_a_slow_server_gets_its_time(dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway) -> None:
    ann = await sender(gateway, dovecot, smtp_sink)
    to = f"x@{ann.client.login}.example"
    with smtp_sink.faulty(**{stage: {"wait_s": 0.4} for stage in (*STAGES, "kept")}):
        made = await ann.sent(to)
    assert made["undoStatus"] == "final"
    assert len(smtp_sink.to(to)) == 1


async def test_a_server_that_is_away_comes_back(dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway) -> None:
    """Connection refused; the message waits, and can be taken back."""
    switch = Switch(smtp_sink.host, smtp_sink.port)
    await switch.on()
    ann = await sender(gateway, dovecot, smtp_sink, switch.port)
    back, on = f"back@{ann.client.login}.example", f"on@{ann.client.login}.example"
    await switch.off()
    first, second = await ann.sent(back), await ann.sent(on)
    assert [one["undoStatus"] for one in (first, second)] == ["pending", "pending"]
    changed = await ann.client.call("EmailSubmission/set", update={first["id"]: {"undoStatus": "canceled"}})
    assert changed["notUpdated"] is None
    await switch.on()
    await ann.until(second["id"], is_final)
    assert len(smtp_sink.to(on)) == 1
    assert smtp_sink.to(back) == []
    await switch.off()


async def test_a_message_is_given_up_in_the_end(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status says why, and that is the end."""
    monkeypatch.setattr("gateway.outbox.job.LIFETIME_S", 2)
    ann = await sender(gateway, dovecot, smtp_sink)
    to = f"defer@{ann.client.login}.example"
    made = await ann.sent(to)
    final = await ann.until(made["id"], is_final)
    assert final["deliveryStatus"][to]["delivered"] == "no"
    assert final["deliveryStatus"][to]["smtpReply"] == f"{verdict.LATE}: 451 4.3.0 try again later"


async def test_canceling_in_the_middle_of_an_attempt(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway
) -> None:
    """Before the final dot it works, and the server never gets it; after it, it is refused."""
    ann = await sender(gateway, dovecot, smtp_sink)
    for stage, wins in (("rcpt", True), ("end", False)):
        to = f"{stage}@{ann.client.login}.example"
        with smtp_sink.faulty(**{stage: {"wait_s": 2.0}}):
            sending = asyncio.create_task(ann.sent(to))
            await reached(smtp_sink, stage)
            (id,) = (await ann.client.call("EmailSubmission/query", filter={"undoStatus": "pending"}))["ids"]
            changed = await ann.client.call("EmailSubmission/set", update={id: {"undoStatus": "canceled"}})
            assert (changed["updated"] is not None) is wins
            await sending
        if not wins:
            assert changed["notUpdated"][id]["type"] == "cannotUnsend"
        record = await ann.submission(id)
        assert record["undoStatus"] == ("canceled" if wins else "final")
        assert len(smtp_sink.to(to)) == (0 if wins else 1)


# ---------------------------------------------------------------- the gateway killed


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def reached(sink: SmtpSink, stage: str) -> None:
    end = time.monotonic() + WAIT_S
    while stage not in sink.reached():
        assert time.monotonic() < end, f"{stage} was not reached"
        await asyncio.sleep(0.02)


async def restarted(gateway: GatewayProcess, http: aiohttp.ClientSession, login: str) -> Sender:
    await gateway.start()
    return await Sender(JmapClient(http, gateway.url, login, "secret")).begin()


Start = Callable[[], Any]


@pytest.mark.parametrize("stage", [*BEFORE, "end", "kept"])
async def test_killed_while_sending(
    dovecot: Upstream, smtp_sink: SmtpSink, http: aiohttp.ClientSession, tmp_path: Path, stage: str
) -> None:
    """Before the final dot the message goes after the restart, once; after it nobody knows, and it goes no more."""
    imap = f'imap = "imap://{dovecot.host}:{dovecot.ports["imap"]}"\n'
    async with process(tmp_path, imap + by_sink(smtp_sink)) as gateway:
        ann = await restarted(gateway, http, dovecot.fresh_login())
        to = f"x@{ann.client.login}.example"
        text = "a line of text\n" * (600_000 if stage == "body" else 1)
        with smtp_sink.faulty(**{stage: {"wait_s": 1.0, "times": 1}}):
            sending = asyncio.create_task(ann.sent(to, bodyValues={"1": {"value": text}}))
            await reached(smtp_sink, stage)
            await gateway.kill()
            with pytest.raises(aiohttp.ClientError):
                await sending
            await asyncio.sleep(1.2)  # what the server does with what it has got by then, it has done
            ann = await restarted(gateway, http, ann.client.login)
            (id,) = (await ann.client.call("EmailSubmission/query", filter={}))["ids"]
            record = await ann.until(id, is_final)
        assert record["deliveryStatus"][to]["delivered"] == "unknown"
        assert (record["deliveryStatus"][to]["smtpReply"] == verdict.DOUBTFUL) is (stage in ("end", "kept"))
        await asyncio.sleep(1.0)
        assert len(smtp_sink.to(to)) == 1
        assert list((tmp_path / "data" / "outbox").glob("*/*")) == []


async def test_killed_while_a_message_waits(
    dovecot: Upstream, smtp_sink: SmtpSink, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """It goes at its time with nobody logged in, though the Email was destroyed; the login is forgotten then."""
    imap = f'imap = "imap://{dovecot.host}:{dovecot.ports["imap"]}"\n'
    async with process(tmp_path, imap + by_sink(smtp_sink)) as gateway:
        ann = await restarted(gateway, http, dovecot.fresh_login())
        to = f"x@{ann.client.login}.example"
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5))
        mail_from = {"email": ann.address, "parameters": {"HOLDUNTIL": until}}
        envelope = {"mailFrom": mail_from, "rcptTo": [{"email": to, "parameters": None}]}
        responses = await ann.send(
            to,
            submission={"envelope": envelope},
            more={"onSuccessDestroyEmail": ["#sub"], "onSuccessUpdateEmail": None},
        )
        made = responses[0][1]["created"]["sub"]
        assert made["sendAt"] == until
        assert made["undoStatus"] == "pending"
        assert len(responses[1][1]["destroyed"]) == 1
        await gateway.kill()
        await gateway.start()
        await asyncio.to_thread(smtp_sink.to, to, 1)
        await asyncio.sleep(0.5)
        ann = await Sender(JmapClient(http, gateway.url, ann.client.login, "secret")).begin()
        assert (await ann.submission(made["id"]))["undoStatus"] == "final"
        await asyncio.sleep(1.0)
        assert len(smtp_sink.to(to)) == 1
        await gateway.kill()
        assert b"vault" not in (tmp_path / "data" / "gateway.db").read_bytes()
