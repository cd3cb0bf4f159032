"""What a message says about a receipt."""

from __future__ import annotations

import pytest
from hypothesis import given

from gateway.message.headers import parse_fields
from gateway.message.receipt import ReceiptRequest, read_request
from tests.message.strategies import mail_octets

ASKS = b"Disposition-Notification-To: Ann <ann@example.org>\r\n"


def read(header: bytes) -> ReceiptRequest:
    return read_request(parse_fields(header))


def test_who_asks() -> None:
    """Every address, each once; without the field nobody."""
    request = read(ASKS + b"Disposition-Notification-To: b@x, ann@example.org\r\nMessage-ID: <1@x>\r\n")
    assert (request.addresses, request.message_id) == (("ann@example.org", "b@x"), "1@x")
    assert read(b"Subject: x\r\n") == ReceiptRequest((), None, None, False, False, False)


@pytest.mark.parametrize(
    ("header", "may"),
    [
        (b"", False),
        (b"Return-Path: <ann@EXAMPLE.org>\r\n", True),
        (b"Return-Path: <Ann@example.org>\r\n", False),
        (b"Return-Path: <bob@example.org>\r\n", False),
        (b"Return-Path: <>\r\n", False),
        (b"Return-Path: <ann@example.org>\r\nDisposition-Notification-To: bob@example.org\r\n", False),
    ],
)
def test_a_program_may_answer_the_sender_alone(header: bytes, may: bool) -> None:
    """Only the one address that errors go to as well (RFC 8098 section 2.1)."""
    assert read(ASKS + header).may_be_automatic is may


@pytest.mark.parametrize(
    ("value", "is_receipt"),
    [
        (b"multipart/report; report-type=disposition-notification; boundary=b", True),
        (b'MULTIPART/Report; boundary=b;\r\n report-type="Disposition-Notification"', True),
        (b"multipart/report; report-type=delivery-status; boundary=b", False),
        (b"text/plain; report-type=disposition-notification", False),
    ],
)
def test_receipts_are_known(value: bytes, is_receipt: bool) -> None:
    """A receipt is one by its type, whatever else it asks for."""
    assert read(ASKS + b"Content-Type: " + value + b"\r\n").is_receipt is is_receipt


@pytest.mark.parametrize(
    ("value", "demands"),
    [
        (b"signed-receipt-protocol=optional,pkcs7-signature", False),
        (b"signed-receipt-protocol = Required , pkcs7-signature", True),
        (b"a=optional,required-not; b=required,x", True),
        (b"a=optional,x", False),
    ],
)
def test_what_is_required(value: bytes, demands: bool) -> None:
    """An option whose importance is `required` is a demand (RFC 8098 section 2.2)."""
    assert read(ASKS + b"Disposition-Notification-Options: " + value + b"\r\n").demands is demands


def test_original_recipient() -> None:
    """It is repeated as it is, if it is one and of a sane length."""
    assert read(b"Original-Recipient: rfc822;\r\n ann@example.org\r\n").original_recipient == "rfc822; ann@example.org"
    assert read(b"Original-Recipient: ann\r\n").original_recipient is None
    assert read(b"Original-Recipient: rfc822; " + b"a" * 1000 + b"\r\n").original_recipient is None


@given(mail_octets)
def test_anything_is_read(octets: bytes) -> None:
    """No header makes it raise."""
    for name in (b"Disposition-Notification-To", b"Disposition-Notification-Options", b"Original-Recipient"):
        read(name + b": " + octets + b"\r\n")
