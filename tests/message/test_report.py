"""Reports as real mail systems send them, and what nobody should send.

Every .json of tests/messages/reports/ is a claim: written out once, then read against RFC 3464, RFC 8098 and the
message beside it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.message.delivery_status import parse_delivery_report
from gateway.message.disposition import parse_disposition_report
from gateway.message.report import MAX_GROUPS, typed_address
from tests.message.strategies import mail_octets

REPORTS = sorted((Path(__file__).parent.parent / "messages" / "reports").glob("*.eml"))


def told(data: bytes) -> dict[str, Any]:
    """Return all that a message says as a report."""
    delivery, disposition = parse_delivery_report(data), parse_disposition_report(data)
    shown: dict[str, Any] = {
        "delivery": None if delivery is None else asdict(delivery),
        "disposition": None if disposition is None else asdict(disposition),
    }
    if delivery is not None:
        for status, shown_status in zip(delivery.recipients, shown["delivery"]["recipients"], strict=True):
            shown_status |= {"delivered": status.delivered, "smtp_reply": status.smtp_reply}
    as_json: dict[str, Any] = json.loads(json.dumps(shown))
    return as_json


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_report_is_read_as_claimed(path: Path) -> None:
    """The report says what the file beside it says."""
    assert told(path.read_bytes()) == json.loads(path.with_suffix(".json").read_text())


def test_corpus_is_whole() -> None:
    """Every report has its claim and every claim its report."""
    assert {path.stem for path in REPORTS} == {path.stem for path in REPORTS[0].parent.glob("*.json")}
    assert len(REPORTS) >= 18


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("rfc822; a@b.c", ("rfc822", "a@b.c")),
        ("RFC822;<a@b.c>", ("rfc822", "a@b.c")),
        ("a@b.c", ("rfc822", "a@b.c")),
        ("utf-8; \\x{e9}@b.c", ("utf-8", "é@b.c")),
        ("rfc822; \\x{e9}@b.c", ("rfc822", "\\x{e9}@b.c")),
        ("utf-8; \\x{d800}\\x{110000}\\x{a}x", ("utf-8", "\ufffd\\x{110000}\\x{a}x")),
        (";", ("", "")),
    ],
)
def test_typed_addresses(value: str, address: tuple[str, str]) -> None:
    """Type and address are taken apart; no escape makes a control character or a surrogate."""
    assert typed_address(value) == address


_HEAD = b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: message/"
_DELIVERY = _HEAD + b"delivery-status\r\n\r\n"
_DISPOSITION = _HEAD + b"disposition-notification\r\n\r\n"


def test_recipients_are_limited() -> None:
    """Past the limit recipients are passed over."""
    one = b"Final-Recipient: rfc822; a@b.c\r\nAction: failed\r\n\r\n"
    report = parse_delivery_report(_DELIVERY + one * (MAX_GROUPS + 50))
    assert report is not None
    assert len(report.recipients) == MAX_GROUPS


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"Reporting-MTA: dns; x\r\n\r\n",
        b"Final-Recipient: rfc822; a@b.c\r\n",
        b"Final-Recipient: rfc822; a@b.c\r\nAction: exploded\r\nStatus: 9.9.9\r\n",
        b"Action: failed\r\nStatus: 5.0.0\r\n",
        b"Final-Recipient: rfc822;\r\nAction: failed\r\n",
    ],
)
def test_a_report_on_nobody_is_none(fields: bytes) -> None:
    """Without a recipient of whom something is said there is no delivery report."""
    assert parse_delivery_report(_DELIVERY + fields) is None


@pytest.mark.parametrize(
    ("action", "delivered", "reply"),
    [
        (b"Action: FAILED (5 days)", "no", "550 5.0.0 failed"),
        (b"Action: delayed\r\nStatus: 4.2.2", "queued", "450 4.2.2 delayed"),
        (b"Action: delivered", "yes", "250 2.0.0 delivered"),
        (b"Action: relayed\r\nDiagnostic-Code: smtp; 250-a\r\n 250-b\r\n 250 c", "unknown", "250 a b c"),
        (b"Action: expanded", "unknown", "250 2.0.0 expanded"),
        (b"Status: 2.1.5", "yes", "250 2.1.5 delivered"),
        (b"Action: gone\r\nStatus: 4.0.0 (wait)", "queued", "450 4.0.0 delayed"),
        (b"Action: failed\r\nDiagnostic-Code: 554 no type", "no", "554 no type"),
        (b"Action: failed\r\nDiagnostic-Code: smtp; 550 5.1.1 no; not here", "no", "550 5.1.1 no; not here"),
        (b"Action: failed\r\nDiagnostic-Code: We think that it; failed", "no", "550 5.0.0 We think that it; failed"),
    ],
)
def test_deliverystatus(action: bytes, delivered: str, reply: str) -> None:
    """`delivered` and `smtpReply` of RFC 8621 section 7 follow from what the report says."""
    report = parse_delivery_report(_DELIVERY + b"Final-Recipient: rfc822; a@b.c\r\n" + action + b"\r\n")
    assert report is not None
    (status,) = report.recipients
    assert (status.delivered, status.smtp_reply) == (delivered, reply)


def test_the_message_of_the_returned_part_wins() -> None:
    """What was returned names the message; what the report answers does only where nothing was."""
    head = (
        b"In-Reply-To: <a@x>\r\nReferences: <b@x> <c@x>\r\n" + _DELIVERY + b"Final-Recipient: a@x\r\nAction: failed\r\n"
    )
    returned = b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <r@x>\r\n\r\nMessage-ID: <no@x>\r\n--b--"
    reports = [parse_delivery_report(data) for data in (head + returned, head, head.partition(b"\r\n")[2])]
    assert [report and report.message_id for report in reports] == ["r@x", "a@x", "c@x"]


_FIELD = st.tuples(
    st.sampled_from(
        [
            "Final-Recipient", "Original-Recipient", "Action", "Status", "Diagnostic-Code", "Reporting-MTA",
            "Remote-MTA", "Original-Envelope-Id", "Disposition", "Original-Message-ID", "Error",
            "X-Any", "Reporting-UA", "",
        ]
    ),
    st.one_of(
        mail_octets,
        st.sampled_from(
            [
                b"rfc822; a@b.c", b"failed", b"5.1.1", b"smtp; 550-5.1.1 a 550 5.1.1 b", b"utf-8; \\x{0}\\x{d800}",
                b"manual-action/MDN-sent-manually; displayed/error", b"manual-action/MDN-sent-manually;deleted",
            ]
        ),
    ),
).map(lambda field: f"{field[0]}: ".encode() + field[1] + b"\r\n")  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([_DELIVERY, _DISPOSITION, b""]), st.lists(_FIELD, max_size=12).map(b"".join), mail_octets)
def test_anything_is_read(head: bytes, fields: bytes, rest: bytes) -> None:
    """Any octets are a report or none, and all that one says can be written as UTF-8."""
    json.dumps(told(head + fields + rest), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "data",
    [
        _DELIVERY + b"\r\n" * 500_000,
        _DELIVERY + b"a: b\r\n\r\n" * 100_000,
        _DELIVERY + b"Final-Recipient: " + b"(" * 500_000,
        _DELIVERY + b"Final-Recipient: a@b\r\nStatus: " + b"5." * 250_000,
        _DELIVERY + b"Final-Recipient: a@b\r\nAction: failed\r\nDiagnostic-Code: smtp; 550-" + b" 550-" * 100_000,
        _DELIVERY + b"Final-Recipient: utf-8; " + b"\\x{" * 100_000,
        _DISPOSITION + b"Disposition: " + b"a/" * 200_000,
        _DISPOSITION + b"Disposition: " + b"-" * 500_000,
        _DISPOSITION + b"Disposition: a" + b" " * 500_000,
        _DISPOSITION + b"Disposition: a/a;a" + b" " * 500_000 + b"x",
        _DISPOSITION + b"X-%d: \r\n" * 100_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" * 9_000,
    ],
    ids=lambda data: repr(data[-12:]),
)  # fmt: skip
def test_time_is_linear(data: bytes) -> None:
    """Hostile reports take no more time than their length asks for."""
    begun = time.process_time()
    told(data)
    assert time.process_time() - begun < 10.0  # a quadratic one takes minutes
