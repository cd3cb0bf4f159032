"""The state of EmailDelivery: it moves when an Email is added to the store (RFC 8621 section 1.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.account.account import Account
from gateway.account.records import Applied, Batch, FlagChange, MailboxDelta, MailboxFacts, Mark, NewMessage
from tests.fakes.backend import make_account

INDEXED = Mark(uidvalidity=1, uidnext=1, is_indexed=True)


def message(uid: int, id: str, *flags: str) -> NewMessage:
    return NewMessage(uid, flags, 1, 1000 + uid, 100, id, None, b"Subject: x\r\n")


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    """An account with an indexed inbox and an archive that is not indexed yet."""
    account = make_account(tmp_path / "a.db")
    await account.open()
    facts = [MailboxFacts(id=id, path=id, name=id, parent_id=None, role=None) for id in ("inbox", "archive")]
    await account.apply(Batch(mailboxes=facts, deltas=[MailboxDelta("inbox", mark=INDEXED)]))
    yield account
    await account.aclose()


def is_delivery(applied: Applied) -> bool:
    return "EmailDelivery" in applied.states


async def test_new_mail_moves_it(account: Account) -> None:
    """In a mailbox that is known, in one batch or in the windows of many."""
    assert is_delivery(await account.apply(Batch(deltas=[MailboxDelta("inbox", [message(1, "M1")])])))
    await account.apply(Batch(deltas=[MailboxDelta("inbox", [message(2, "M2")])], is_bulk=True))
    applied = await account.apply(Batch(deltas=[MailboxDelta("inbox", mark=INDEXED)]))  # it shows what the window had
    assert is_delivery(applied)
    with account.snapshot() as snapshot:
        assert snapshot.state("EmailDelivery") == applied.states["EmailDelivery"]


async def test_a_first_indexing_does_not(account: Account) -> None:
    """What it finds was there before."""
    first = await account.apply(Batch(deltas=[MailboxDelta("archive", [message(1, "M1")])], is_bulk=True))
    last = await account.apply(Batch(deltas=[MailboxDelta("archive", [message(2, "M2")], mark=INDEXED)]))
    assert not is_delivery(first)
    assert not is_delivery(last)
    assert is_delivery(await account.apply(Batch(deltas=[MailboxDelta("archive", [message(3, "M3")])])))


async def test_a_flag_a_copy_and_an_expunge_do_not(account: Account) -> None:
    """Nothing is added to the store."""
    await account.apply(Batch(deltas=[MailboxDelta("archive", mark=INDEXED)]))
    await account.apply(Batch(deltas=[MailboxDelta("inbox", [message(1, "M1")])]))
    for delta in (
        MailboxDelta("inbox", flagged=[FlagChange(1, ("\\Seen",), 2)]),
        MailboxDelta("archive", [message(1, "M1")]),
        MailboxDelta("inbox", vanished=[(1, 1)]),
    ):
        applied = await account.apply(Batch(deltas=[delta]))
        assert "Email" in applied.states
        assert not is_delivery(applied)


async def test_a_move_is_none(account: Account) -> None:
    """Arrived there and vanished here in one batch."""
    await account.apply(Batch(deltas=[MailboxDelta("archive", mark=INDEXED)]))
    await account.apply(Batch(deltas=[MailboxDelta("inbox", [message(1, "M1")])]))
    moved = [MailboxDelta("inbox", vanished=[(1, 1)]), MailboxDelta("archive", [message(1, "M1")])]
    assert not is_delivery(await account.apply(Batch(deltas=moved)))
