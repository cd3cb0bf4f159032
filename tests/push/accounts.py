"""A real account over a backend that counts who watches, and changes to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.account.account import Account
from gateway.account.records import Applied, Batch, MailboxDelta, MailboxFacts, Mark, NewMessage
from gateway.jmap.capability import CORE, MAIL, mail_account_capability
from gateway.store.api import RecordStore
from tests.fakes.backend import FakeBackend, FakeUploads


def make_account(path: Path, id: str = "A1", records: RecordStore | None = None) -> Account:
    """Return an account that is not open yet."""
    capabilities = {CORE: {}, MAIL: mail_account_capability(email_sort_options=["receivedAt"])}
    return Account(
        id=id,
        name="ann@example.com",
        login="ann@example.com",
        path=path,
        make_backend=FakeBackend,
        uploads=FakeUploads(),
        capabilities=capabilities,
        records=records,
    )


@asynccontextmanager
async def opened(path: Path, id: str = "A1", records: RecordStore | None = None) -> AsyncIterator[Account]:
    """Open an account with an inbox."""
    account = make_account(path, id, records)
    await account.open()
    await rename(account, "Inbox")
    try:
        yield account
    finally:
        await account.aclose()


def watchers(account: Account) -> int:
    assert isinstance(account.backend, FakeBackend)
    return account.backend.watching


async def rename(account: Account, name: str) -> Applied:
    """Change the type Mailbox, and nothing else."""
    mark = Mark(uidvalidity=1, uidnext=1, is_indexed=True)
    facts = MailboxFacts(id="inbox", path="INBOX", name=name, parent_id=None, role="inbox")
    return await account.apply(Batch(mailboxes=[facts], deltas=[MailboxDelta("inbox", mark=mark)]))


async def deliver(account: Account, uid: int) -> Applied:
    """Put a message into the inbox: Email, Thread and Mailbox change."""
    header = b"Subject: %d\r\nMessage-ID: <%d@example.com>\r\n" % (uid, uid)
    message = NewMessage(uid, (), 0, 1_700_000_000 + uid, 100, f"M{uid}", None, header)
    return await account.apply(Batch(deltas=[MailboxDelta("inbox", arrived=[message])]))


def state(account: Account, type: str) -> str:
    with account.snapshot() as snapshot:
        return snapshot.state(type)  # type: ignore[arg-type] # tests name types as clients do
