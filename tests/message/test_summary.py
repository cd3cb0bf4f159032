"""summarize: the fast path is the slow path, faster."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings

from gateway.message.headers import HeaderProperty, parse_fields
from gateway.message.summary import Summary, summarize
from tests.message.strategies import header_blocks

_PROPERTIES = [
    HeaderProperty.parse(f"header:{name}:as{form}")
    for name, form in (
        ("Message-ID", "MessageIds"), ("In-Reply-To", "MessageIds"), ("References", "MessageIds"),
        ("Sender", "Addresses"), ("From", "Addresses"), ("To", "Addresses"), ("Cc", "Addresses"),
        ("Bcc", "Addresses"), ("Reply-To", "Addresses"), ("Subject", "Text"), ("Date", "Date"),
    )
]  # fmt: skip

TYPICAL = (
    b"Date: Tue, 02 Jan 2024 10:00:00 +0100\r\nFrom: Alice Example <alice@example.com>\r\n"
    b"Sender: lists@example.com\r\nReply-To: <team@example.com>\r\n"
    b'To: "O\'Hara, Pat" <pat@example.ie>,\r\n\tTest User <user@lab.test>\r\nCc: carol@example.org\r\nBcc: \r\n'
    b"Subject: Re: Lunch on Friday?\r\nMessage-ID: <m3@example.com>\r\nIn-Reply-To: <m2@example.com>\r\n"
    b"References: <m1@example.com>\r\n <m2@example.com>\r\n\r\n"
)


def slowly(block: bytes) -> Summary:
    """Make the summary from the full forms alone."""
    fields = parse_fields(block)
    return Summary(*(header.value(fields) for header in _PROPERTIES))


@settings(max_examples=400, deadline=None)
@given(header_blocks)
def test_fast_path_equals_full_forms(block: bytes) -> None:
    """Whatever the header holds, each value is the one of the property's full form."""
    assert summarize(block) == slowly(block)


def test_typical_header() -> None:
    """A plain header is read as every reader would."""
    assert summarize(TYPICAL) == Summary(
        message_id=["m3@example.com"],
        in_reply_to=["m2@example.com"],
        references=["m1@example.com", "m2@example.com"],
        sender=[{"name": None, "email": "lists@example.com"}],
        from_=[{"name": "Alice Example", "email": "alice@example.com"}],
        to=[{"name": "O'Hara, Pat", "email": "pat@example.ie"}, {"name": "Test User", "email": "user@lab.test"}],
        cc=[{"name": None, "email": "carol@example.org"}],
        bcc=[],
        reply_to=[{"name": None, "email": "team@example.com"}],
        subject="Re: Lunch on Friday?",
        sent_at="2024-01-02T10:00:00+01:00",
    )
    assert summarize(TYPICAL) == slowly(TYPICAL)


def test_missing_fields_are_none() -> None:
    """No field, no value; an empty address field is an empty list."""
    assert summarize(b"") == Summary(*[None] * 11)
    assert summarize(b"To:\r\n\r\n").to == []


@pytest.mark.parametrize(
    "value",
    [
        b",\r\n\t".join(b"u%d@example.com" % n for n in range(3000)),
        b"\r\n ".join(b"<r%d@example.com>" % n for n in range(2500)),
        b"x" * 30_000,
        *(scrap * (30_000 // len(scrap)) for scrap in (
            b"a ", b"(a)", b"=?", b"=?utf-8?q?a?= ", b'"\\', b'<"', b"<,", b"a:", b"a@b:", b"@", b" ", b"\t", b".",
            b"\r\n ",
        )),
    ],
    ids=lambda value: repr(value[:12]),
)  # fmt: skip
def test_time_is_linear(value: bytes) -> None:
    """A huge or hostile value takes no more than its length asks for."""
    begun = time.process_time()
    for name in (b"To", b"Subject", b"References", b"Date"):
        block = name + b": " + value + b"\r\n\r\n"
        assert summarize(block) == slowly(block)
    assert time.process_time() - begun < 10.0  # a quadratic one takes minutes
