"""Receipts over HTTP: asked for, sent by a real server for sending, parsed by who asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.server.conftest import MakeGateway
from tests.server.sending import SUBMISSION, Sender, by_dovecot, by_sink
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(120)]

MDN = "urn:ietf:params:jmap:mdn"
DISPOSITION = {"actionMode": "manual-action", "sendingMode": "mdn-sent-manually", "type": "displayed"}


class Reader(Sender):
    """A login that is asked for receipts."""

    async def begin(self) -> Reader:
        self.client.using = [*self.client.using, SUBMISSION, MDN]
        await super().begin()
        return self

    async def asked(self, upstream: Upstream, header: bytes, body: bytes = b"Hello\r\n") -> str:
        """Return the id of a new Email with this header."""
        before = set(await self.emails_in("inbox"))
        upstream.append(self.client.login, header + b"\r\n" + body)
        (id,) = set(await self.emails_in("inbox")) - before
        return id

    async def receipt(self, email_id: str, update: Any = None, **more: Any) -> list[tuple[str, dict[str, Any]]]:
        """Send one; return the responses."""
        given = {"forEmailId": email_id, "disposition": DISPOSITION, **more}
        arguments = {
            "identityId": self.identity["id"],
            "send": {"k": given},
            "onSuccessUpdateEmail": {"#k": {"keywords/$mdnsent": True}} if update is None else update,
        }
        _status, answer = await self.client.request(("MDN/send", arguments))
        return [(name, response) for name, response, _call_id in answer["methodResponses"]]

    async def refused(self, email_id: str, **more: Any) -> dict[str, Any]:  # type: ignore[override] # of a receipt
        ((name, response),) = await self.receipt(email_id, **more)
        assert name == "MDN/send"
        assert response["sent"] is None
        error: dict[str, Any] = response["notSent"]["k"]
        return error

    async def keywords(self, email_id: str) -> dict[str, bool]:
        (shown,) = (await self.client.call("Email/get", ids=[email_id], properties=["keywords"]))["list"]
        return dict(shown["keywords"])


def letter(address: str, serial: int, more: bytes = b"") -> bytes:
    return (
        b"From: %b\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <%d.asks@example.org>\r\n"
        b"Disposition-Notification-To: %b\r\n%b" % (address.encode(), serial, address.encode(), more)
    )


async def test_there_and_back(dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway) -> None:
    """Ann asks, Bob's client sends, the receipt arrives in Ann's inbox and is parsed as one for what she sent."""
    start = await gateway(dovecot, more=by_dovecot(dovecot))
    ann, bob = [await Reader(start(dovecot.fresh_login())).begin() for _ in range(2)]
    _status, session = await ann.client.session()
    assert session["capabilities"][MDN] == session["accounts"][ann.client.account_id]["accountCapabilities"][MDN] == {}
    await ann.sent(bob.address, **{"header:Disposition-Notification-To:asText": ann.address})
    (sent,) = await ann.emails_in("sent")
    (received,) = await bob.emails_in("inbox")
    (_, answer), (name, implied) = await bob.receipt(
        received, includeOriginalMessage=True, reportingUA="joes-pc; Foomail"
    )
    assert answer["notSent"] is None
    told = answer["sent"]["k"]
    (shown,) = (await ann.client.call("Email/get", ids=[sent], properties=["messageId"]))["list"]
    original = f"<{shown['messageId'][0]}>"
    assert (told["finalRecipient"], told["originalMessageId"]) == (f"rfc822; {bob.address}", original)
    assert "includeOriginalMessage" not in told
    assert "forEmailId" not in told
    assert (name, implied["updated"]) == ("Email/set", {received: None})
    assert (await bob.keywords(received))["$mdnsent"] is True
    assert (await bob.refused(received))["type"] == "mdnAlreadySent"
    (kept,) = await asyncio.to_thread(smtp_sink.to, ann.address, 1)
    assert kept.envelope["sender"] == ""
    (receipt,) = await ann.emails_in("inbox")
    (blob,) = (await ann.client.call("Email/get", ids=[receipt], properties=["blobId"]))["list"]
    own = (await ann.client.call("Email/get", ids=[sent], properties=["blobId"]))["list"][0]["blobId"]
    answer = await ann.client.call("MDN/parse", blobIds=[blob["blobId"], own, "m_none"])
    assert (answer["notParsable"], answer["notFound"]) == ([own], ["m_none"])
    (parsed,) = answer["parsed"].values()
    assert parsed.pop("textBody").startswith("The message was displayed.")
    assert parsed == {
        "forEmailId": sent,
        "subject": "Read: Hello",
        "includeOriginalMessage": True,
        "reportingUA": "joes-pc; Foomail",
        "disposition": DISPOSITION,
        "mdnGateway": None,
        "originalRecipient": None,
        "finalRecipient": f"rfc822; {bob.address}",
        "originalMessageId": original,
        "error": None,
        "extensionFields": None,
    }


async def test_refusals(dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway) -> None:
    """Each SetError of the RFC; and what is refused is neither sent nor marked."""
    bob = await Reader((await gateway(dovecot, more=by_sink(smtp_sink)))(dovecot.fresh_login())).begin()
    to = f"ann@{dovecot.fresh_login()}.example"
    asks = await bob.asked(dovecot, letter(to, 1))
    plain = await bob.asked(dovecot, b"Subject: asks nothing\r\n")
    broken = await bob.asked(dovecot, letter("not an address", 2))
    receipt = await bob.asked(
        dovecot, letter(to, 3, b"Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n")
    )
    demands = await bob.asked(dovecot, letter(to, 4, b"Disposition-Notification-Options: x=required,y\r\n"))
    many = await bob.asked(dovecot, letter(", ".join(f"a{number}@example.org" for number in range(20)), 5))
    automatic = {**DISPOSITION, "sendingMode": "mdn-sent-automatically"}
    for email_id, more, kind in (
        ("Mnone", {}, "notFound"),
        (plain, {}, "notFound"),
        (broken, {}, "notFound"),
        (receipt, {}, "forbidden"),
        (demands, {}, "forbidden"),
        (many, {}, "forbidden"),
        (asks, {"disposition": automatic}, "forbidden"),
        (asks, {"finalRecipient": "rfc822; eve@example.com"}, "forbiddenFrom"),
        (asks, {"finalRecipient": "x400; bob"}, "invalidProperties"),
        (asks, {"finalRecipient": f"rfc822; {bob.address}\r\nBcc: x"}, "invalidProperties"),
        (asks, {"subject": "a\r\nBcc: eve@example.com"}, "invalidProperties"),
        (asks, {"reportingUA": "a\nb"}, "invalidProperties"),
        (asks, {"extensionFields": {"Disposition": "x"}}, "invalidProperties"),
        (asks, {"extensionFields": {"X A": "x"}}, "invalidProperties"),
        (asks, {"extensionFields": {"X-A": "x\r\ny"}}, "invalidProperties"),
        (asks, {"extensionFields": {"X-A": "x", "x-a": "y"}}, "invalidProperties"),
        (asks, {"disposition": {"type": "displayed"}}, "invalidProperties"),
        (asks, {"disposition": {**DISPOSITION, "type": "Displayed"}}, "invalidProperties"),
        (asks, {"originalMessageId": "<x@y>"}, "invalidProperties"),
        (asks, {"extension": {}}, "invalidProperties"),
        (None, {}, "invalidProperties"),
    ):
        error = await bob.refused(email_id, **more)  # type: ignore[arg-type] # null is what is tested
        assert error["type"] == kind, (more, error)
    with smtp_sink.faulty(rcpt={"reply": "550 5.1.1 no such user"}):
        assert (await bob.refused(asks))["type"] == "invalidRecipients"
    with smtp_sink.faulty(mail={"reply": "550 5.7.1 no empty sender here"}):
        assert (await bob.refused(asks))["type"] == "forbidden"
    assert smtp_sink.to(to) == []
    assert "$mdnsent" not in await bob.keywords(asks)
    responses = await bob.receipt(asks, finalRecipient=f"rfc822; {bob.address}", extensionFields={"X-A": "b"})
    assert [name for name, _ in responses] == ["MDN/send", "Email/set"]
    (kept,) = await asyncio.to_thread(smtp_sink.to, to, 1)
    assert b"X-A: b\r\n" in kept.octets
    assert kept.envelope["recipients"][0]["parameters"] == ["NOTIFY=NEVER"]


async def test_calls_that_mark_nothing_are_refused(
    dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway
) -> None:
    """Without $mdnsent for each Email, with another's key, an unknown identity or account: nothing is sent at all."""
    bob = await Reader((await gateway(dovecot, more=by_sink(smtp_sink)))(dovecot.fresh_login())).begin()
    to = f"ann@{dovecot.fresh_login()}.example"
    email_id = await bob.asked(dovecot, letter(to, 1))
    updates: list[dict[str, Any]] = [
        {},
        {"#k": {"keywords/$seen": True}},
        {"#k": {"keywords/$mdnsent": None}},
        {"#other": {}},
    ]
    for update in updates:
        ((name, error),) = await bob.receipt(email_id, update=update)
        assert (name, error["type"]) == ("error", "invalidArguments"), update
    arguments: dict[str, Any] = {
        "identityId": "Inone",
        "send": {"k": {"forEmailId": email_id, "disposition": DISPOSITION}},
        "onSuccessUpdateEmail": {"#k": {"keywords": {"$MDNSent": True}}},
    }
    assert (await bob.client.error("MDN/send", **arguments))["type"] == "invalidArguments"
    arguments["identityId"] = bob.identity["id"]
    assert (await bob.client.error("MDN/send", **{**arguments, "accountId": "Anone"}))["type"] == "invalidArguments"
    assert (await bob.client.error("MDN/parse", accountId="Anone", blobIds=[]))["type"] == "invalidArguments"
    too_many: dict[str, Any] = {f"k{number}": {} for number in range(1001)}
    error = await bob.client.error("MDN/send", identityId=bob.identity["id"], send=too_many)
    assert error["type"] == "requestTooLarge"
    assert smtp_sink.to(to) == []
    answer = await bob.client.request(("MDN/send", arguments))
    assert answer[1]["methodResponses"][0][1]["notSent"] is None
    assert await bob.keywords(email_id) == {"$mdnsent": True}


async def test_one_receipt_for_one_email(dovecot: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway) -> None:
    """Two requests at once, and two creations of one call: one is sent, the other is told so."""
    bob = await Reader((await gateway(dovecot, more=by_sink(smtp_sink)))(dovecot.fresh_login())).begin()
    to = f"ann@{dovecot.fresh_login()}.example"
    email_id = await bob.asked(dovecot, letter(to, 1, b"Original-Recipient: rfc822; b+x@example.org\r\n"))
    answers = await asyncio.gather(*(bob.receipt(email_id) for _ in range(3)))
    sent = [answer[0][1]["sent"] for answer in answers]
    assert len([one for one in sent if one is not None]) == 1
    assert next(one for one in sent if one)["k"]["originalRecipient"] == "rfc822; b+x@example.org"
    kinds = {answer[0][1]["notSent"]["k"]["type"] for answer in answers if answer[0][1]["notSent"]}
    assert kinds == {"mdnAlreadySent"}
    assert len(await asyncio.to_thread(smtp_sink.to, to, 1)) == 1


async def test_without_a_server_for_sending(dovecot: Upstream, gateway: MakeGateway) -> None:
    """There is no capability."""
    client = (await gateway(dovecot))(dovecot.fresh_login())
    _status, session = await client.session()
    assert MDN not in session["capabilities"]
