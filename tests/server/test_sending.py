"""Mail written over JMAP goes out by a real submission server and arrives."""

from __future__ import annotations

import asyncio
import email
import json
import time

import pytest

from tests.server.conftest import MakeGateway, Switch
from tests.server.sending import SUBMISSION, Sender, by_dovecot, by_sink
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import DOMAIN, Upstream

pytestmark = pytest.mark.upstream


async def test_a_mail_arrives(dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway) -> None:
    """Through Dovecot's submission service, in the other's inbox: no Bcc on the wire, one copy in Sent that has it."""
    start = await gateway(dovecot, more=by_dovecot(dovecot))
    to, hidden = dovecot.fresh_login(), dovecot.fresh_login()
    ann, bob, eve = [await Sender(start(login)).begin() for login in (dovecot.fresh_login(), to, hidden)]
    made = await ann.sent(bob.address, bcc=[{"name": "Eve", "email": eve.address}])
    assert made["undoStatus"] == "final", made["deliveryStatus"]
    assert made["deliveryStatus"][bob.address]["delivered"] == "unknown"
    assert made["deliveryStatus"][eve.address]["smtpReply"].startswith("250 ")
    (kept,) = await asyncio.to_thread(smtp_sink.to, bob.address, 1)
    assert sorted(kept.recipients) == sorted([bob.address, eve.address])
    assert b"bcc" not in kept.octets.lower().partition(b"\r\n\r\n")[0]
    assert eve.address.encode() not in kept.octets
    for receiver in (bob, eve):
        (id,) = await receiver.emails_in("inbox")
        (got,) = (
            await receiver.client.call(
                "Email/get", ids=[id], properties=["subject", "bodyValues", "textBody", "bcc"], fetchTextBodyValues=True
            )
        )["list"]
        assert got["subject"] == "Hello"
        assert got["bcc"] is None
        assert got["bodyValues"][got["textBody"][0]["partId"]]["value"] == "Grüße\n.\n..two dots\n"
    assert await ann.emails_in("drafts") == []
    (copy,) = await ann.emails_in("sent")
    (stored,) = (await ann.client.call("Email/get", ids=[copy], properties=["keywords", "bcc"]))["list"]
    assert stored["keywords"] == {"$seen": True}
    assert stored["bcc"] == [{"name": "Eve", "email": eve.address}]


async def test_the_capability_tells_what_ehlo_says(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway
) -> None:
    """Without a server for sending there is neither the capability nor its methods."""
    login = dovecot.fresh_login()
    _, session = await (await gateway(dovecot, more=by_sink(smtp_sink)))(login).session()
    (account,) = session["accounts"].values()
    told = account["accountCapabilities"][SUBMISSION]
    assert told["maxDelayedSend"] == 30 * 86_400
    assert set(told["submissionExtensions"]) == {
        "8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "FUTURERELEASE", "SIZE", "SMTPUTF8",
    }  # fmt: skip
    assert told["submissionExtensions"]["SIZE"] == [str(50 << 20)]
    client = (await gateway(dovecot, data="other"))(login)
    _, session = await client.session()
    assert SUBMISSION not in session["capabilities"]
    _, answer = await client.request(("Identity/get", {"ids": None}))
    assert answer["methodResponses"][0][1]["type"] == "unknownMethod"


async def test_a_delayed_mail_waits_and_can_be_taken_back(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway
) -> None:
    """HOLDFOR: pending until then; canceled it never goes, and left alone it goes in time."""
    start = await gateway(dovecot, more=by_sink(smtp_sink))
    ann = await Sender(start(dovecot.fresh_login())).begin()
    back, on = f"back@{dovecot.fresh_login()}.example", f"on@{dovecot.fresh_login()}.example"

    first = await ann.sent(back, submission=ann.held(back, 60))
    assert first["undoStatus"] == "pending"
    assert first["deliveryStatus"][back]["delivered"] == "queued"
    second = await ann.sent(on, submission=ann.held(on, 2))
    changed = await ann.client.call("EmailSubmission/set", update={first["id"]: {"undoStatus": "canceled"}})
    assert list(changed["updated"]) == [first["id"]]
    canceled = await ann.submission(first["id"])
    assert canceled["undoStatus"] == "canceled"
    assert canceled["deliveryStatus"][back]["delivered"] == "no"
    assert smtp_sink.to(on) == []
    gone = await ann.until(second["id"], lambda record: record["undoStatus"] == "final")
    assert abs(time.time() - time.mktime(time.strptime(gone["sendAt"], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 5
    (kept,) = smtp_sink.to(on)
    assert email.message_from_bytes(kept.octets)["Subject"] == "Hello"
    assert not [word for word in kept.envelope["sender_parameters"] if word.startswith("HOLD")]
    again = await ann.client.call("EmailSubmission/set", update={second["id"]: {"undoStatus": "canceled"}})
    assert again["notUpdated"][second["id"]]["type"] == "cannotUnsend"
    assert smtp_sink.to(back) == []


async def test_a_mail_to_one_good_and_one_bad_address(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway
) -> None:
    """It goes to the one; the other's status holds the reply."""
    ann = await Sender((await gateway(dovecot, more=by_sink(smtp_sink)))(dovecot.fresh_login())).begin()
    good, bad, later = (f"{word}@{ann.client.login}.example" for word in ("good", "reject", "defer"))
    made = await ann.sent(good, bad, later)
    assert {to: (s["delivered"], s["smtpReply"]) for to, s in made["deliveryStatus"].items()} == {
        good: ("unknown", "250 2.1.5 ok"),
        bad: ("no", "550 5.1.1 no such user"),
        later: ("queued", "451 4.3.0 try again later"),
    }
    assert made["undoStatus"] == "final", made["deliveryStatus"]
    (kept,) = smtp_sink.to(good)
    assert kept.recipients == [good]
    assert kept.envelope["login"] == ann.client.login
    assert f"ENVID={made['id']}" in kept.envelope["sender_parameters"]
    assert f"SIZE={len(kept.octets)}" in kept.envelope["sender_parameters"]


async def test_a_mail_that_nobody_takes_is_not_sent(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway
) -> None:
    """The client hears it as an error, the draft stays a draft, and no record is left."""
    ann = await Sender((await gateway(dovecot, more=by_sink(smtp_sink)))(dovecot.fresh_login())).begin()
    error = await ann.refused(f"reject@{DOMAIN}")
    assert error["type"] == "invalidRecipients"
    assert error["invalidRecipients"] == [f"reject@{DOMAIN}"]
    assert error["description"] == "550 5.1.1 no such user"
    late = await ann.refused("late@elsewhere.example")
    assert (late["type"], late["description"]) == ("forbiddenToSend", "554 5.6.0 rejected after data")
    assert len(await ann.emails_in("drafts")) == 2
    assert (await ann.client.call("EmailSubmission/query", filter={}))["ids"] == []


BOUNCE = """\
From: Mail Delivery System <MAILER-DAEMON@mx.example>
To: {sender}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I am sorry.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
{envid}
Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--b
Content-Type: text/rfc822-headers

Message-ID: <{message_id}>
Subject: Hello

--b--
"""


@pytest.mark.parametrize("by", ["envelope id", "message id"])
async def test_a_bounce_sets_the_status(dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway, by: str) -> None:
    """A report that arrives by LMTP; the submission changes, and its state with it."""
    ann = await Sender((await gateway(dovecot, more=by_sink(smtp_sink)))(dovecot.fresh_login())).begin()
    to = f"gone@{ann.client.login}.example"
    made = await ann.sent(to)
    (kept,) = smtp_sink.to(to)
    state = (await ann.client.call("EmailSubmission/get", ids=[]))["state"]
    bounce = BOUNCE.format(
        sender=ann.address,
        recipient=to,
        envid=f"Original-Envelope-Id: {made['id']}\n" if by == "envelope id" else "",
        message_id="unknown@x" if by == "envelope id" else email.message_from_bytes(kept.octets)["Message-ID"][1:-1],
    )
    await asyncio.to_thread(dovecot.deliver, ann.client.login, bounce.replace("\n", "\r\n").encode())
    (id,) = await ann.emails_in("inbox")
    record = await ann.until(made["id"], lambda record: bool(record["dsnBlobIds"]))
    assert record["deliveryStatus"][to] == {
        "delivered": "no", "displayed": "unknown", "smtpReply": "550 5.1.1 no such user",
    }  # fmt: skip
    (got,) = (await ann.client.call("Email/get", ids=[id], properties=["blobId"]))["list"]
    assert record["dsnBlobIds"] == [got["blobId"]]
    assert (await ann.client.call("EmailSubmission/changes", sinceState=state))["updated"] == [made["id"]]


async def test_a_master_login_sends_for_the_caller(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway
) -> None:
    """By PLAIN with an authorization identity, at Dovecot's submission service as for IMAP."""
    assert dovecot.master is not None
    form, password = dovecot.master
    more = f'auth = "master"\nmaster_login = "{form.rpartition("*")[2]}"\nmaster_password = "{password}"\n'
    start = await gateway(dovecot, more=by_dovecot(dovecot) + more)
    ann = await Sender(start(dovecot.fresh_login())).begin()
    to = f"x@{ann.client.login}.example"
    made = await ann.sent(to)
    assert made["undoStatus"] == "final", made
    assert len(smtp_sink.to(to)) == 1


async def test_pushes_tell_of_submissions(dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway) -> None:
    """Who listens hears the states that a /get then has, and not those of the gateway's own records."""
    ann = await Sender((await gateway(dovecot, more=by_sink(smtp_sink)))(dovecot.fresh_login())).begin()
    told: dict[str, str] = {}
    url = f"{ann.client.url}/jmap/eventsource?types=*&closeafter=no&ping=0"
    async with ann.client.http.get(url, headers=ann.client.headers) as stream:
        await stream.content.readuntil(b"\n\n")
        made = await ann.sent(f"x@{ann.client.login}.example")
        async with asyncio.timeout(10):
            while not (state := told.get("EmailSubmission", "")) or state != await ann.state():
                event = await stream.content.readuntil(b"\n\n")
                if b"event: state" in event:
                    told |= json.loads(event.partition(b"data: ")[2])["changed"][ann.client.account_id]
    assert made["undoStatus"] == "final"
    assert not {"outbox", "receipts"} & told.keys()


async def test_a_server_that_was_never_reached_is_offered_later(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway
) -> None:
    """No capability before; once it was there it stays, over a restart without the server."""
    switch = Switch(smtp_sink.host, smtp_sink.port)
    await switch.on()
    await switch.off()
    more = by_sink(smtp_sink).replace(str(smtp_sink.port), str(switch.port))
    client = (await gateway(dovecot, more=more))(dovecot.fresh_login())
    _, session = await client.session()
    assert SUBMISSION not in session["capabilities"]
    await switch.on()
    async with asyncio.timeout(20):
        while SUBMISSION not in session["capabilities"]:
            await asyncio.sleep(0.2)
            _, session = await client.session()
    await switch.off()
    assert (await client.call("Identity/get", ids=None))["list"]


async def test_a_large_message_with_an_attachment(dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway) -> None:
    """Larger than the server takes: refused before it is sent, with the size that would do."""
    ann = await Sender((await gateway(dovecot, more=by_sink(smtp_sink)))(dovecot.fresh_login())).begin()
    to = f"x@{ann.client.login}.example"
    with smtp_sink.faulty(offers=["SIZE 2000"]):
        await ann.sent(f"small@{ann.client.login}.example")  # the gateway learns it with this one
        error = await ann.refused(to, bodyValues={"1": {"value": "line\n" * 1000}})
    assert (error["type"], error["maxSize"]) == ("tooLarge", 2000)
    assert smtp_sink.to(to) == []
