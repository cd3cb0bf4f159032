"""One submission, against a server that does wrong at every stage."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.secret import Secret
from gateway.upstream.sasl import Credentials, OAuthCredentials, PasswordCredentials
from gateway.upstream.smtp import (
    Address,
    BadAddress,
    Doubtful,
    Envelope,
    LoginRefused,
    Message,
    NotAccepted,
    Reply,
    SmtpError,
    SmtpServer,
    Submitted,
    Timeouts,
)
from gateway.upstream.tls import Endpoint
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import PASSWORD

MESSAGE = b"From: a@a.example\r\nSubject: x\r\n\r\n.\r\n..\r\nline\r\n.last"
ANN = PasswordCredentials("ann", Secret(PASSWORD))
QUICK = Timeouts(
    connect_s=1.0, greeting_s=0.5, ehlo_s=0.5, login_s=0.5, mail_s=0.5, rcpt_s=0.5, data_s=0.5, block_s=0.5, end_s=0.5
)
_serial = itertools.count(1)


def fresh(word: str = "to") -> str:
    return f"{word}{next(_serial)}@there.example"


def message(octets: bytes = MESSAGE, *, step: int = 7, **facts: Any) -> Message:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(octets), step):
            yield octets[at : at + step]

    return Message(chunks, len(octets), **facts)


async def nothing(_replies: dict[str, Reply]) -> None:
    pass


async def submit(
    sink: SmtpSink,
    *to: str | Address,
    sender: str | Address = "a@a.example",
    mail: Message | None = None,
    credentials: Credentials = ANN,
    security: Any = "none",
    timeouts: Timeouts = QUICK,
    before_end: Callable[[dict[str, Reply]], Any] = nothing,
) -> Submitted:
    endpoint = Endpoint(
        "localhost" if security != "none" else sink.host, sink.port, security, ca_file=str(sink.ca_file)
    )
    envelope = Envelope(
        sender if isinstance(sender, Address) else Address(sender),
        tuple(one if isinstance(one, Address) else Address(one) for one in to),
    )
    server = SmtpServer(endpoint, timeouts=timeouts)
    return await server.submit(credentials, envelope, mail or message(), before_end)


async def test_dots_and_line_ends_arrive_as_they_are(sink: SmtpSink) -> None:
    """However the octets are cut; what lacks its last line end gets one."""
    for step in range(1, 12):
        to = fresh()
        submitted = await submit(sink, to, mail=message(step=step))
        assert submitted.reply.code == 250
        assert submitted.replies == {to: Reply(250, "2.1.5 ok")}
        (kept,) = sink.to(to)
        assert kept.octets == MESSAGE + b"\r\n"
        assert kept.envelope["login"] == "ann"


async def test_starttls_is_used_and_required(sink: SmtpSink) -> None:
    to = fresh()
    await submit(sink, to, security="starttls")
    assert sink.to(to)[0].envelope["tls"] is True
    with sink.faulty(starttls={"reply": "454 4.7.0 no TLS now"}), pytest.raises(SmtpError) as raised:
        await submit(sink, to, security="starttls")
    assert raised.value.stage == "tls"
    assert not raised.value.is_permanent
    assert len(sink.to(to)) == 1


async def test_a_foreign_certificate_ends_it(sink: SmtpSink) -> None:
    """Before a login is told."""
    endpoint = Endpoint("localhost", sink.port, "starttls")
    with pytest.raises(SmtpError) as raised:
        await SmtpServer(endpoint, timeouts=QUICK).verify(ANN)
    assert raised.value.stage == "tls"


@pytest.mark.parametrize(
    ("line", "credentials"),
    [
        ("AUTH PLAIN", ANN),
        ("AUTH LOGIN", ANN),
        ("AUTH=PLAIN LOGIN", ANN),
        ("AUTH XOAUTH2", OAuthCredentials("ann", Secret(PASSWORD))),
        ("AUTH OAUTHBEARER XOAUTH2", OAuthCredentials("ann", Secret(PASSWORD))),
    ],
)
async def test_logins(sink: SmtpSink, line: str, credentials: Credentials) -> None:
    """Each mechanism, the only one or the best one that is offered."""
    to = fresh()
    with sink.faulty(auth_line=line):
        await submit(sink, to, credentials=credentials)
    assert sink.to(to)[0].envelope["login"] == "ann"


@pytest.mark.parametrize(
    "credentials",
    [PasswordCredentials("ann", Secret("wrong")), OAuthCredentials("ann", Secret("expired"))],
)
async def test_a_refused_login_says_so(sink: SmtpSink, credentials: Credentials) -> None:
    """And holds no secret."""
    with pytest.raises(LoginRefused) as raised:
        await submit(sink, fresh(), credentials=credentials)
    assert str(raised.value) == "535 5.7.8 authentication failed"


async def test_without_a_mechanism_nothing_is_said(sink: SmtpSink) -> None:
    with sink.faulty(auth_line="AUTH CRAM-MD5"), pytest.raises(LoginRefused):
        await submit(sink, fresh())


REFUSALS = {
    "greeting": "connect",
    "ehlo": "connect",
    "auth": "login",
    "mail": "mail",
    "data": "data",
    "end": "end",
}


@pytest.mark.parametrize("code", ["451 4.3.0 later", "554 5.7.1 never"])
@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_refusal_is_told_with_its_stage(sink: SmtpSink, fault: str, code: str) -> None:
    """Nothing was sent, and the reply says whether trying again may help."""
    to = fresh()
    with sink.faulty(**{fault: {"reply": code}}), pytest.raises(SmtpError) as raised:
        await submit(sink, to)
    assert raised.value.stage == REFUSALS[fault]
    assert raised.value.text == code
    assert raised.value.is_permanent is code.startswith("5")
    assert not isinstance(raised.value, Doubtful)
    assert sink.to(to) == []


@pytest.mark.parametrize("how", ["cut", "silent"])
@pytest.mark.parametrize("fault", ["greeting", "ehlo", "auth", "mail", "rcpt", "data", "body"])
async def test_until_the_final_dot_nothing_is_sent(sink: SmtpSink, fault: str, how: str) -> None:
    """A cut or a silence before it is a plain failure."""
    to = fresh()
    big = message(MESSAGE + b"x" * 78 * 100 + b"\r\n" * 20_000_000, step=65536)
    what = {"cut": True} if how == "cut" else {"wait_s": 2.0, "cut": True}
    with sink.faulty(**{fault: what}), pytest.raises(SmtpError) as raised:
        await submit(sink, to, mail=big)
    assert not isinstance(raised.value, Doubtful)
    assert not raised.value.is_permanent
    assert sink.to(to) == []


@pytest.mark.parametrize(
    ("fault", "is_kept"),
    [({"end": {"cut": True}}, False), ({"kept": {"cut": True}}, True), ({"kept": {"wait_s": 2}}, True)],
)
async def test_after_the_final_dot_only_a_reply_tells(sink: SmtpSink, fault: dict[str, Any], is_kept: bool) -> None:
    """Without one nobody knows, and nobody claims to."""
    to = fresh()
    with sink.faulty(**fault), pytest.raises(Doubtful) as raised:
        await submit(sink, to)
    assert raised.value.replies == {to: Reply(250, "2.1.5 ok")}
    assert bool(sink.to(to)) is is_kept


async def test_a_reply_that_cannot_be_read_is_none(sink: SmtpSink) -> None:
    with sink.faulty(end={"reply": "abc what"}), pytest.raises(Doubtful):
        await submit(sink, fresh())


@pytest.mark.parametrize("reply", ["250 " + "x" * 100_000, "250", "999 what", "abc def", "25"])
async def test_replies_without_measure(sink: SmtpSink, reply: str) -> None:
    """Too long, too short, of no class: the message does not go, or goes as a good reply has it; nothing hangs."""
    to = fresh()
    with sink.faulty(rcpt={"reply": reply}), pytest.raises(SmtpError) as raised:
        await submit(sink, to)
    assert raised.value.stage in ("rcpt", "data")
    assert len(str(raised.value)) <= 500
    assert sink.to(to) == []


async def test_recipients_are_replied_to_one_by_one(sink: SmtpSink) -> None:
    good, bad, later = fresh(), fresh("reject"), fresh("defer")
    submitted = await submit(sink, good, bad, later)
    assert [submitted.replies[one].code for one in (good, bad, later)] == [250, 550, 451]
    assert sink.to(good)[0].recipients == [good]
    with pytest.raises(NotAccepted) as raised:
        await submit(sink, bad, later)
    assert not raised.value.is_permanent
    with pytest.raises(NotAccepted) as raised:
        await submit(sink, bad)
    assert raised.value.is_permanent


async def test_it_can_be_called_back_before_the_dot(sink: SmtpSink) -> None:
    """What `before_end` raises ends it, and the server has nothing."""
    to = fresh()

    async def stop(replies: dict[str, Reply]) -> None:
        assert replies == {to: Reply(250, "2.1.5 ok")}
        raise KeyError("back")

    with pytest.raises(KeyError):
        await submit(sink, to, before_end=stop)
    await asyncio.sleep(0.2)
    assert sink.to(to) == []


async def test_parameters_go_out_where_they_are_offered(sink: SmtpSink) -> None:
    to = Address(fresh(), {"NOTIFY": "SUCCESS,FAILURE", "ORCPT": "rfc822;a+b=c@x.example"})
    sender = Address("a@a.example", {"RET": "HDRS", "ENVID": "q w+1"})
    await submit(
        sink, to, sender=sender, mail=message(b"Subject: \xc3\xbc\r\n\r\n\xff", is_8bit=True, has_utf8_headers=True)
    )
    envelope = sink.to(to.email)[0].envelope
    assert envelope["sender_parameters"] == ["RET=HDRS", "ENVID=q+20w+2B1", "SMTPUTF8", "BODY=8BITMIME", "SIZE=16"]
    assert envelope["recipients"][0]["parameters"] == ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;a+2Bb+3Dc@x.example"]
    with sink.faulty(offers=["PIPELINING"]):
        plain = fresh()
        await submit(sink, plain, mail=message(b"\xff", is_8bit=True))
        assert sink.to(plain)[0].envelope["sender_parameters"] == []
        with pytest.raises(SmtpError, match=r"5\.6\.7"):
            await submit(sink, "grün@there.example")
    with sink.faulty(offers=["SIZE 10"]), pytest.raises(SmtpError, match=r"5\.3\.4") as raised:
        await submit(sink, fresh())
    assert raised.value.is_permanent


@pytest.mark.parametrize(
    "hostile", ["a@b.example>\r\nRCPT TO:<x@y.example", "a\0@b.example", "a b@c.example", "<a@b>", "a\ud800@b.c"]
)
def test_nothing_that_could_end_a_line_becomes_an_address(hostile: str) -> None:
    with pytest.raises(BadAddress):
        Address(hostile)
    with pytest.raises(BadAddress):
        Address("a@b.example", {hostile: "1"})
    if hostile != "<a@b>":
        with pytest.raises(BadAddress):
            Address("a@b.example", {"BY": hostile})


async def test_a_large_message_leaves_the_loop_free(sink: SmtpSink) -> None:
    """While fifteen megabytes go out, others have their turn again and again."""
    turns, done = 0, False

    async def watch() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    to = fresh()
    octets = b"Subject: x\r\n\r\n" + (b"y" * 76 + b"\r\n") * 200_000
    await submit(sink, to, mail=message(octets, step=65536), timeouts=Timeouts())
    done = True
    await watching
    assert len(sink.to(to)[0].octets) == len(octets)
    assert turns > 100, turns


async def test_nobody_there(sink: SmtpSink) -> None:
    with pytest.raises(SmtpError) as raised:
        await SmtpServer(Endpoint("127.0.0.1", 1, "none"), timeouts=QUICK).learn()
    assert raised.value.stage == "connect"
    assert raised.value.reply is None
