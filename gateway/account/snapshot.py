"""One consistent read view of an account's index, inside one read transaction.

Rule 1: nothing here waits: a snapshot is opened, read and closed between two awaits.
Rule 2: many rows come as one: each step of a statement gives the GIL away, and beside a busy thread it takes up to
5 ms to come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from gateway.account.records import Changes, EmailRow, Location, MailboxRow

StateType = Literal["Email", "Thread", "Mailbox"]


class Snapshot:
    """What `Account.snapshot()` gives: reads of one moment."""

    def state(self, type: StateType) -> str:
        """Return the state string of a type."""
        raise NotImplementedError

    def changes(self, type: StateType, since: str, max_changes: int | None = None) -> Changes:
        """Answer /changes (RFC 8620 section 5.2). Raise `cannotCalculateChanges`."""
        raise NotImplementedError

    def mailboxes(self) -> list[MailboxRow]:
        """Return every mailbox of the account, in no order."""
        raise NotImplementedError

    def mailbox(self, mailbox_id: str) -> MailboxRow | None:
        """Return one mailbox."""
        raise NotImplementedError

    def emails(self, ids: Iterable[str], *, with_structure: bool = False) -> dict[str, EmailRow]:
        """Return the Emails that exist of these, by id."""
        raise NotImplementedError

    def email_ids(self, limit: int) -> list[str]:
        """Return the ids of at most `limit` Emails of the account, for /get with ids null."""
        raise NotImplementedError

    def threads(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """Return the email ids of the Threads that exist of these, oldest first (RFC 8621 section 3)."""
        raise NotImplementedError

    def locations(self, email_ids: Iterable[str]) -> dict[str, list[Location]]:
        """Return where these Emails are, places flagged \\Deleted and the shelf included."""
        raise NotImplementedError

    def uids(self, mailbox_id: str) -> list[tuple[int, int]]:
        """Return the known uids of a mailbox as sorted, inclusive ranges; the shelf left out. 40 ms for 100,000."""
        raise NotImplementedError

    def flags(self, mailbox_id: str, low: int, high: int) -> dict[int, tuple[tuple[str, ...], int]]:
        """Return (flags as stored, modseq) of the known uids from `low` to `high`."""
        raise NotImplementedError

    def emails_without_details(self, mailbox_id: str | None, limit: int) -> list[str]:
        """Return ids of Emails that lack details, newest first, of a mailbox or of all."""
        raise NotImplementedError

    def email_at(self, mailbox_id: str, uids: Sequence[int]) -> dict[int, str]:
        """Return the Email ids at these uids, \\Deleted ones included; unknown uids are left out."""
        raise NotImplementedError
