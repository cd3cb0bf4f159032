"""The harness itself: each server is what it says it is."""

from __future__ import annotations

import imaplib
import smtplib
import ssl
import time

import pytest

from tests.upstreams.front import unoffered
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import DOMAIN, Upstream, expect_ok

pytestmark = pytest.mark.upstream
MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"


def test_a_fresh_login_is_empty_and_takes_mail_both_ways(upstream: Upstream) -> None:
    """A fresh account holds nothing; what is delivered and appended is there, the latter octet for octet."""
    login = upstream.fresh_login()
    with upstream.selected(login) as client:
        assert client.untagged_responses["EXISTS"] == [b"0"]
    upstream.deliver(login, MESSAGE)
    upstream.append(login, MESSAGE, flags=r"\Seen", at_s=1_000_000_000)
    upstream.append(login, MESSAGE, mailbox=f"{upstream.prefix}Other")
    with upstream.selected(login) as client:
        assert client.untagged_responses["EXISTS"] == [b"2"]
        answer = client.fetch("2", "(FLAGS INTERNALDATE BODY.PEEK[])")
        expect_ok(answer)
        assert answer[1][0][1] == MESSAGE  # type: ignore[index] # imaplib types its tuples loosely
        assert b"2001" in answer[1][0][0]  # type: ignore[operator,index] # as above


def test_tls_is_offered_and_verifies(dovecot: Upstream) -> None:
    """The certificate verifies against the server's own authority."""
    assert dovecot.ca_file is not None
    context = ssl.create_default_context(cafile=str(dovecot.ca_file))
    with imaplib.IMAP4_SSL("localhost", dovecot.ports["imaps"], ssl_context=context) as client:
        client.login(dovecot.fresh_login(), dovecot.password)
    with imaplib.IMAP4("localhost", dovecot.ports["imap"]) as client:
        client.starttls(context)
        client.login(dovecot.fresh_login(), dovecot.password)


@pytest.mark.parametrize(
    ("fixture", "expected"), [("dovecot_uidplus", {"IMAP4REV1", "UIDPLUS"}), ("dovecot_bare", {"IMAP4REV1"})]
)
def test_a_cut_tier_advertises_nothing_more(request: pytest.FixtureRequest, fixture: str, expected: set[str]) -> None:
    """What a cut-down tier advertises after login is exactly its list."""
    server: Upstream = request.getfixturevalue(fixture)
    with server.imap(server.fresh_login()) as client:
        assert set(client.capability()[1][0].decode().upper().split()) == expected


def test_a_locked_account_and_a_wrong_password_are_refused_at_once(dovecot: Upstream) -> None:
    """Refusals come quickly, however many there were: no penalty grows."""
    for login, password in (("locked", dovecot.password), ("alice", "wrong")):
        client = imaplib.IMAP4(dovecot.host, dovecot.ports["imap"], 5)
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            client.login(login, password)
        client.logout()


def test_planted_mail_may_hold_what_no_append_takes(dovecot: Upstream) -> None:
    """A file put into the maildir is a message, NULs and all."""
    login = dovecot.fresh_login()
    dovecot.plant(login, b"Subject: nul\n\na\0b\n", "1.nul")
    with dovecot.selected(login) as client:
        assert client.untagged_responses["EXISTS"] == [b"1"]


def test_the_sink_keeps_what_it_accepts_and_hands_local_mail_on(dovecot: Upstream, smtp_sink: SmtpSink) -> None:
    """Mail sent through Dovecot's submission reaches the sink; a local recipient gets it, a refused one does not."""
    login = dovecot.fresh_login()
    local = f"{login}@{DOMAIN}"
    with smtplib.SMTP(dovecot.host, dovecot.ports["submission"], timeout=10) as submission:
        submission.login(login, dovecot.password)
        refused = submission.sendmail("me@example.com", [local, "reject@example.com", "far@example.org"], MESSAGE)
    assert list(refused) == ["reject@example.com"]
    (kept,) = smtp_sink.to(local)
    assert kept.recipients == [local, "far@example.org"]
    assert kept.octets.endswith(MESSAGE)
    with dovecot.selected(login) as client:
        end = time.monotonic() + 20
        while client.untagged_responses["EXISTS"][-1] == b"0" and time.monotonic() < end:
            client.noop()
        assert client.untagged_responses["EXISTS"][-1] == b"1"


@pytest.mark.parametrize(
    ("line", "lacks"),
    [
        (b'SELECT "QRESYNC"', None),
        (b"SELECT INBOX (QRESYNC (1 2))", "QRESYNC"),
        (b"UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])", None),
        (b"UID FETCH 1:* (UID FLAGS MODSEQ)", "CONDSTORE"),
        (b"UID FETCH 1 (X-GUID)", "X-GUID"),
        (b"STATUS INBOX (MESSAGES UIDNEXT UNSEEN)", None),
        (b"STATUS INBOX (MESSAGES SIZE)", "STATUS=SIZE"),
        (b"FETCH 1 (RFC822.SIZE)", None),
        (b'LIST "" "*" RETURN (STATUS (MESSAGES))', "LIST-EXTENDED"),
        (b'LIST "" "*"', None),
        (b"UID SEARCH 1:*", None),
        (b"uid search return (all) 1:*", "ESEARCH"),
        (b"APPEND INBOX {5+}\r\n", "LITERAL+"),
        (b"APPEND INBOX {5}\r\n", None),
        (b"IDLE", "IDLE"),
        (b"UID EXPUNGE 1", "UIDPLUS"),
        (b"EXPUNGE", None),
        (b"AUTHENTICATE PLAIN", None),
        (b"AUTHENTICATE PLAIN AGEAYg==", "SASL-IR"),
    ],
)
def test_the_front_knows_what_needs_which_capability(line: bytes, lacks: str | None) -> None:
    """Before a bare server, only what IMAP4rev1 itself holds is let through."""
    assert unoffered(line, frozenset({"IMAP4REV1"})) == lacks


def test_a_bare_server_refuses_what_it_does_not_offer(dovecot_bare: Upstream) -> None:
    """A refused command costs a BAD and nothing else; the next one, with a literal in its answer, works."""
    login = dovecot_bare.fresh_login()
    dovecot_bare.append(login, MESSAGE)
    with dovecot_bare.selected(login) as client:
        with pytest.raises(imaplib.IMAP4.error, match="MOVE is not offered"):
            client.uid("MOVE", "1", "Trash")
        answer = client.fetch("1", "(BODY.PEEK[])")
        assert answer[1][0][1] == MESSAGE  # type: ignore[index] # as above
