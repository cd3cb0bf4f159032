"""A mailbox whose UIDVALIDITY changes is read again, and every email that is still there keeps its id."""

from __future__ import annotations

import asyncio

import pytest

from gateway.account.account import Account
from gateway.account.records import Batch, FlagChange, MailboxDelta, Need
from gateway.sync.imap_backend import ImapBackend
from tests.sync.conftest import OpenAccount
from tests.upstreams.upstream import Upstream, expect_ok

pytestmark = pytest.mark.upstream

ALL = Need(known=True, everything=True)


def _message(number: int) -> bytes:
    return f"Message-ID: <{number}@example.com>\r\nSubject: number {number}\r\n\r\nbody\r\n".encode()


@pytest.mark.parametrize("server", ["dovecot_bare", "courier"])
async def test_a_new_uidvalidity_destroys_only_what_is_gone(
    server: str, request: pytest.FixtureRequest, open_account: OpenAccount
) -> None:
    """Of three messages two come back under new uids: one Email is destroyed, one is new, two never changed."""
    upstream: Upstream = request.getfixturevalue(server)
    login = upstream.fresh_login()
    box = f"{upstream.prefix}Box"
    with upstream.imap(login) as imap:
        expect_ok(imap.create(box))
    upstream.append(login, _message(1), _message(2), _message(3), mailbox=box, at_s=1.7e9)
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    with account.snapshot() as snapshot:
        state, before = snapshot.state("Email"), snapshot.emails(snapshot.email_ids(10))
        (mailbox,) = (row.facts.id for row in snapshot.mailboxes() if row.facts.name == "Box")
    by_subject = {row.summary.subject: row.id for row in before.values()}
    with upstream.imap(login) as imap:
        expect_ok(imap.delete(box))
    await asyncio.sleep(1.1)  # servers take the time for the UIDVALIDITY
    with upstream.imap(login) as imap:
        expect_ok(imap.create(box))
    upstream.append(login, _message(4), _message(3), _message(2), mailbox=box, at_s=1.7e9)
    await account.fresh(ALL)
    with account.snapshot() as snapshot:
        changes = snapshot.changes("Email", state)
        after = snapshot.emails(snapshot.email_ids(10))
        rows = {row.facts.id: row for row in snapshot.mailboxes()}
    assert list(changes.destroyed) == [by_subject["number 1"]]
    assert [after[id].summary.subject for id in changes.created] == ["number 4"]
    assert {row.summary.subject for row in after.values()} == {"number 2", "number 3", "number 4"}
    assert after.keys() & before.keys() == {by_subject["number 2"], by_subject["number 3"]}
    assert rows[mailbox].total_emails == 3


async def test_an_audit_finds_what_no_number_tells(dovecot: Upstream, open_account: OpenAccount) -> None:
    """An index that lost a flag unnoticed is put right, and the finding is counted."""
    login = dovecot.fresh_login()
    dovecot.append(login, _message(1), flags=r"\Seen")
    account = await open_account(dovecot, login)
    await account.fresh(ALL)
    with account.snapshot() as snapshot:
        (inbox,) = (row for row in snapshot.mailboxes() if row.facts.role == "inbox")
    await account.apply(Batch(deltas=[MailboxDelta(inbox.facts.id, flagged=[FlagChange(1, (), 0)])]))
    await account.fresh(ALL)
    assert _keywords(account) == ()
    backend = account.backend
    assert isinstance(backend, ImapBackend)
    backend.audit_soon(inbox.facts.id)
    await account.fresh(ALL)
    assert _keywords(account) == ("$seen",)


def _keywords(account: Account) -> tuple[str, ...]:
    with account.snapshot() as snapshot:
        (row,) = snapshot.emails(snapshot.email_ids(1)).values()
    return row.keywords
