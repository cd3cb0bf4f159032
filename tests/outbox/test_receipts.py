"""Which submission a report is about, and what it changes there."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.message.delivery_status import parse_delivery_report
from gateway.message.disposition import parse_disposition_report
from gateway.outbox.receipts import Report, match, with_report


def submission(*recipients: str, **more: Any) -> dict[str, Any]:
    return {
        "sendAt": "2026-01-01T00:00:00Z",
        "undoStatus": "final",
        "deliveryStatus": {
            one: {"smtpReply": "250 2.1.5 ok", "delivered": "unknown", "displayed": "unknown"} for one in recipients
        },
        "dsnBlobIds": [],
        "mdnBlobIds": [],
        "messageId": "m@a.example",
        "envid": "E1",
        **more,
    }


def dsn(*groups: str, envid: str = "", message_id: str = "m@a.example") -> Report:
    about = f"Reporting-MTA: dns; mx.example\r\n{f'Original-Envelope-Id: {envid}' if envid else ''}".rstrip("\r\n")
    text = (
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nsorry\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n" + "\r\n\r\n".join([about, *groups]) + "\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{message_id}>\r\n\r\n--b--\r\n"
    )
    report = parse_delivery_report(text.encode())
    assert report is not None
    return report


def failed(address: str, status: str = "5.1.1", action: str = "failed") -> str:
    return (
        f"Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; 550 {status} no such user"
    )


def mdn(address: str, kind: str = "displayed") -> Report:
    text = (
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nread\r\n"
        "--b\r\nContent-Type: message/disposition-notification\r\n\r\n"
        f"Final-Recipient: rfc822; {address}\r\nOriginal-Message-ID: <m@a.example>\r\n"
        f"Disposition: manual-action/MDN-sent-manually; {kind}\r\n\r\n--b--\r\n"
    )
    report = parse_disposition_report(text.encode())
    assert report is not None
    return report


def test_the_envelope_id_comes_first() -> None:
    """Two submissions of one message are told apart by it."""
    both = {"x": submission("a@b.example", envid="E1"), "y": submission("a@b.example", envid="E2")}
    assert match(dsn(failed("a@b.example"), envid="E1"), both) == "x"
    assert match(dsn(failed("a@b.example"), envid="E2"), both) == "y"


def test_else_the_message_id_tells() -> None:
    """Of several the newest that went to the recipient; of none, nothing."""
    sent = {
        "old": submission("a@b.example"),
        "new": submission("a@b.example", sendAt="2026-01-02T00:00:00Z"),
        "other": submission("c@d.example", sendAt="2026-01-03T00:00:00Z"),
    }
    assert match(dsn(failed("a@b.example")), sent) == "new"
    assert match(dsn(failed("who@ever.example")), sent) == "other"
    assert match(dsn(failed("a@b.example"), message_id="foreign@x"), sent) is None
    assert match(mdn("a@b.example"), sent) == "new"


@pytest.mark.parametrize(("action", "delivered"), [("failed", "no"), ("delivered", "yes"), ("relayed", "unknown")])
def test_a_status_is_set_for_whom_it_is_about(action: str, delivered: str) -> None:
    """And for nobody else; addresses have no case."""
    before = submission("A@b.example", "c@d.example")
    after = with_report(before, "m_1", dsn(failed("a@B.example", action=action)))
    assert after["deliveryStatus"]["A@b.example"]["delivered"] == delivered
    assert after["deliveryStatus"]["A@b.example"]["smtpReply"] == "550 5.1.1 no such user"
    assert after["deliveryStatus"]["c@d.example"] == before["deliveryStatus"]["c@d.example"]
    assert after["dsnBlobIds"] == ["m_1"]
    assert before["dsnBlobIds"] == []


def test_a_report_counts_once() -> None:
    once = with_report(submission("a@b.example"), "m_1", dsn(failed("a@b.example")))
    assert with_report(once, "m_1", dsn(failed("a@b.example", action="delivered"))) == once


def test_a_forwarded_address_is_the_only_recipient() -> None:
    after = with_report(submission("list@b.example"), "m_1", dsn(failed("ann@elsewhere.example")))
    assert after["deliveryStatus"]["list@b.example"]["delivered"] == "no"


def test_reading_it_is_told() -> None:
    """What was deleted unread is not."""
    after = with_report(submission("a@b.example"), "m_2", mdn("a@b.example"))
    assert after["deliveryStatus"]["a@b.example"]["displayed"] == "yes"
    assert after["mdnBlobIds"] == ["m_2"]
    assert after["dsnBlobIds"] == []
    unread = with_report(submission("a@b.example"), "m_3", mdn("a@b.example", "deleted"))
    assert unread["deliveryStatus"]["a@b.example"]["displayed"] == "unknown"
