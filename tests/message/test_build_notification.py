"""Receipts: valid by the standard library, and read back as they were meant."""

from __future__ import annotations

import email
import email.policy
from collections.abc import AsyncGenerator
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.message.build import Octets
from gateway.message.build_header import HeaderValueError
from gateway.message.build_notification import Notification, build_notification
from gateway.message.disposition import parse_disposition_report

PLAIN = Notification(
    sender={"name": None, "email": "bob@example.net"},
    recipients=["ann@example.org"],
    date="2024-05-14T07:12:42Z",
    message_id="new@example.net",
    subject="Read: Grüße",
    text="Gelesen.\nSchöne Grüße",
    action_mode="manual-action",
    sending_mode="mdn-sent-manually",
    type="displayed",
    final_recipient="rfc822; bob@example.net",
    original_message_id="old@example.org",
)


async def built(one: Notification) -> bytes:
    message = await build_notification(one)
    octets = b"".join([chunk async for chunk in message.octets()])
    assert len(octets) == message.size_octets
    return octets


async def test_it_is_a_valid_report() -> None:
    """Three parts of the types of RFC 8098 section 3, in their order; nothing is broken, Disposition is as spelled."""
    letter = b"Subject: the original\r\nMessage-ID: <old@example.org>\r\n\r\nHello\r\n"

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield letter

    octets = await built(
        replace(PLAIN, original=Octets(chunks), reporting_ua="ua; prod", extension_fields={"X-A": "b"})
    )
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert [part.defects for part in message.walk()] == [[]] * 6
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "disposition-notification"
    text, machine, original = message.iter_parts()
    assert text.get_content().splitlines() == ["Gelesen.", "Schöne Grüße"]
    assert machine.get_content_type() == "message/disposition-notification"
    assert b"Disposition: manual-action/MDN-sent-manually; displayed\r\n" in octets
    assert original.get_content_type() == "message/rfc822"
    assert letter.strip() in octets
    assert (str(message["To"]), str(message["From"])) == ("ann@example.org", "bob@example.net")
    assert (message["In-Reply-To"], message["Auto-Submitted"]) == ("<old@example.org>", None)
    report = parse_disposition_report(octets)
    assert report is not None
    assert report.has_whole_message
    assert (report.reporting_ua, report.extension_fields) == ("ua; prod", {"X-A": "b"})
    assert (report.original_message_id, report.final_recipient) == ("<old@example.org>", "rfc822; bob@example.net")


async def test_automatic_and_beyond_ascii() -> None:
    """A receipt of a program says so; an address beyond ASCII makes the part a global one."""
    octets = await built(
        replace(
            PLAIN,
            sending_mode="mdn-sent-automatically",
            final_recipient="utf-8; jörg@example.net",
            original_recipient="rfc822; bob+x@example.net",
        )
    )
    assert b"Auto-Submitted: auto-replied\r\n" in octets
    assert b"Content-Type: message/global-disposition-notification\r\n" in octets
    report = parse_disposition_report(octets)
    assert report is not None
    assert (report.final_recipient, report.sending_mode) == ("utf-8; jörg@example.net", "mdn-sent-automatically")
    assert report.original_recipient == "rfc822; bob+x@example.net"


@pytest.mark.parametrize("name", ["final_recipient", "original_recipient"])
async def test_nothing_is_injected(name: str) -> None:
    """A line end in a value that stands as it is given is refused."""
    with pytest.raises(HeaderValueError):
        await build_notification(replace(PLAIN, **{name: "rfc822; a@b\r\nDisposition: x"}))  # type: ignore[arg-type]


_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=120)


@settings(max_examples=100, deadline=None)
@given(subject=_TEXT, text=_TEXT, ua=_TEXT, extension=_TEXT)
async def test_it_is_read_back(subject: str, text: str, ua: str, extension: str) -> None:
    """Whatever a client writes, the modes, the recipient and the message stay what they were."""
    octets = await built(
        replace(PLAIN, subject=subject, text=text, reporting_ua=ua, extension_fields={"X-Extension": extension})
    )
    report = parse_disposition_report(octets)
    assert report is not None
    assert (report.type, report.final_recipient, report.message_id) == (
        "displayed",
        "rfc822; bob@example.net",
        "old@example.org",
    )
    assert list(report.extension_fields) in (["X-Extension"], [])
