"""`ifInState` refuses what others have changed, and not what the index has merely come to know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.account.index import Index
from gateway.account.records import Batch, FlagChange, MailboxDelta, Mark
from gateway.account.unchanged import holds
from tests.account.test_account import TREE, arriving, message

INDEXED = Mark(1, is_indexed=True)
FOUND = Batch(deltas=[MailboxDelta("Btrash", arrived=[message(5), message(6)])], is_bulk=True)
DONE = Batch(deltas=[MailboxDelta("Btrash", mark=INDEXED)])


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """The inbox is indexed, with two emails; the trash has not been looked into."""
    index = Index(tmp_path / "a.db")
    index.open()
    index.apply(Batch(TREE, [MailboxDelta("Binbox", arrived=[message(1), message(2)], mark=INDEXED)]))
    yield index
    index.close()


@pytest.mark.parametrize(
    ("since", "email_holds", "mailbox_holds"),
    [
        ([], True, True),
        ([FOUND], True, True),
        ([FOUND, DONE], True, True),
        ([FOUND, DONE, Batch(deltas=[MailboxDelta("Btrash", arrived=[message(7)])])], False, False),
        ([Batch(deltas=[MailboxDelta("Binbox", arrived=[message(3)])])], False, False),
        ([Batch(deltas=[MailboxDelta("Binbox", flagged=[FlagChange(1, (), 2)])])], False, False),
        ([Batch(deltas=[MailboxDelta("Binbox", vanished=[(1, 1)])]), FOUND], False, False),
        ([Batch(deltas=[MailboxDelta("Btrash", arrived=[message(1)])], is_bulk=True)], False, False),
        ([Batch([replace(TREE[0], name="Eingang"), TREE[1]])], True, False),
        ([Batch(TREE[:1])], True, False),
    ],
)
def test_a_state_holds_until_something_known_has_changed(
    index: Index, since: list[Batch], email_holds: bool, mailbox_holds: bool
) -> None:
    """What a first indexing finds changes nothing; deliveries, flags, expunges and renames do."""
    with index.snapshot() as snapshot:
        email, mailbox = snapshot.state("Email"), snapshot.state("Mailbox")
    for batch in since:
        index.apply(batch)
        index.flush()
    with index.snapshot() as snapshot:
        assert holds(snapshot, "Email", email) is email_holds
        assert holds(snapshot, "Mailbox", mailbox) is mailbox_holds


def test_what_is_no_state_never_holds(index: Index) -> None:
    """Nor one of another index, of the future, or from the middle of a page."""
    index.apply(arriving(message(8), message(9)))
    with index.snapshot() as snapshot:
        state = snapshot.state("Email")
        epoch, seq = state.split("-")
        middle = f"{epoch}-{seq}.0.1.{seq}"
        for other in ("", "nonsense", f"other-{seq}", f"{epoch}-{int(seq) + 1}", middle):
            assert not holds(snapshot, "Email", other)
        assert holds(snapshot, "Email", state)
