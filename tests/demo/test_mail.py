"""The demo's mail is what it claims to be."""

from __future__ import annotations

import email
import email.policy
from collections import Counter

from demo.mail import MAILBOXES, ROWS, compose, message_id, messages

NOW_S = 1_800_000_000


def test_there_are_a_few_dozen_messages_in_several_mailboxes() -> None:
    """Every mailbox that is made holds something or has a mailbox below it, and nothing lies elsewhere."""
    counts = Counter(message.mailbox for message in messages(NOW_S))
    assert 24 <= counts.total() <= 60
    assert set(counts) | {"Projects"} == {"INBOX", *MAILBOXES}


def test_they_arrive_oldest_first_and_before_now() -> None:
    """The order of APPEND is the order of arrival."""
    received = [message.received_s for message in messages(NOW_S)]
    assert received == sorted(received)
    assert received[-1] < NOW_S


def test_each_is_a_clean_message_of_ascii_octets() -> None:
    """Any server takes them: CRLF lines, no 8-bit octets, no defect that the standard library sees."""
    for message in messages(NOW_S):
        assert message.octets.isascii()
        assert message.octets.replace(b"\r\n", b"").find(b"\n") == -1
        parsed = email.message_from_bytes(message.octets, policy=email.policy.default)
        assert not parsed.defects
        assert parsed["Subject"]
        assert parsed["Date"]


def test_an_answer_is_younger_than_what_it_answers_and_points_to_it() -> None:
    """The threads hang together."""
    for row, note in enumerate(ROWS):
        if note.reply_to_row is not None:
            answered = ROWS[note.reply_to_row]
            assert note.hours_ago < answered.hours_ago
            assert note.subject == f"Re: {answered.subject.removeprefix('Re: ')}"
            assert f"In-Reply-To: {message_id(note.reply_to_row)}".encode() in compose(row, NOW_S)
