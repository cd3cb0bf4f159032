"""What the tests of writes share: an account with mail, a second client that says what is really there."""

from __future__ import annotations

import email
import imaplib
import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from gateway.account.account import Account
from gateway.account.records import Need
from tests.upstreams.upstream import Upstream, expect_ok, quoted

ALL = Need(known=True, everything=True)
_UID = re.compile(rb"UID (\d+)")
_FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")


class There(NamedTuple):
    """One message as the second client sees it."""

    subject: str
    flags: frozenset[str]  # lower case, \\Recent left out
    uid: int


def message(subject: str, *, body: str = "x", extra: str = "") -> bytes:
    """A message of its own."""
    return (
        f"From: a@example.com\r\nTo: b@example.com\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.com>\r\n"
        f"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n{extra}\r\n{body}\r\n"
    ).encode()


def fill(upstream: Upstream, login: str, count: int, *, mailbox: str = "INBOX", flags: str = "") -> None:
    """Append messages of the subjects m0, m1, …"""
    upstream.append(login, *(message(f"m{n}") for n in range(count)), mailbox=mailbox, flags=flags, at_s=1.7e9)


def make(upstream: Upstream, login: str, *names: str) -> list[str]:
    """Create mailboxes; return their full names."""
    paths = [f"{upstream.prefix}{name}" for name in names]
    with upstream.imap(login) as imap:
        for path in paths:
            expect_ok(imap.create(quoted(path)))
    return paths


def there(upstream: Upstream, login: str, mailbox: str) -> list[There]:
    """What a mailbox really holds, by another client."""
    with upstream.imap(login) as imap:
        expect_ok(imap.select(quoted(mailbox), readonly=True))
        return _fetch_all(imap)


def _fetch_all(imap: imaplib.IMAP4) -> list[There]:
    _, answer = imap.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    found = []
    pairs = list(zip(answer, [*answer[1:], None], strict=True))
    for piece, after in pairs:
        if not isinstance(piece, tuple):
            continue
        words = piece[0] + (after if isinstance(after, bytes) else b"")
        uid, flags = _UID.search(words), _FLAGS.search(words)
        assert uid is not None
        assert flags is not None
        names = {flag.lower() for flag in flags[1].decode().split()} - {"\\recent"}
        found.append(There(str(email.message_from_bytes(piece[1])["Subject"]), frozenset(names), int(uid[1])))
    return found


def subjects(upstream: Upstream, login: str, mailbox: str) -> Counter[str]:
    """How often each subject is in a mailbox, what is flagged \\Deleted left out."""
    return Counter(one.subject for one in there(upstream, login, mailbox) if "\\deleted" not in one.flags)


def ids_by_subject(account: Account) -> dict[str, str]:
    """Email ids of the account by subject."""
    with account.snapshot() as snapshot:
        rows = snapshot.emails(snapshot.email_ids(100_000))
    return {str(row.summary.subject): row.id for row in rows.values()}


def mailbox_ids(account: Account) -> dict[str, str]:
    """Mailbox ids of the account by path."""
    with account.snapshot() as snapshot:
        return {row.facts.path: row.facts.id for row in snapshot.mailboxes()}


def view(account: Account) -> dict[str, tuple[list[str], list[str]]]:
    """What a client sees: mailboxes (paths) and keywords of each Email, by subject."""
    with account.snapshot() as snapshot:
        paths = {row.facts.id: row.facts.path for row in snapshot.mailboxes()}
        rows = snapshot.emails(snapshot.email_ids(100_000))
    return {
        str(row.summary.subject): (sorted(paths[id] for id in row.mailbox_ids), list(row.keywords))
        for row in rows.values()
    }


def counts(account: Account) -> dict[str, tuple[int, int, int, int]]:
    """The counts of each mailbox, by path."""
    with account.snapshot() as snapshot:
        return {
            row.facts.path: (row.total_emails, row.unread_emails, row.total_threads, row.unread_threads)
            for row in snapshot.mailboxes()
        }


def states(account: Account) -> list[str]:
    with account.snapshot() as snapshot:
        return [snapshot.state("Email"), snapshot.state("Mailbox"), snapshot.state("Thread")]


Change = Callable[..., None]
