"""What the commands of a write told, gathered until it is applied to the index as one batch.

Rule 1: nothing is noted but what the upstream has said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.account.records import Batch, FlagChange, Location, MailboxDelta, NewMessage
from gateway.jmap.errors import SetError
from gateway.upstream.imap import ImapError
from gateway.upstream.imap.uidset import from_uids


@dataclass(slots=True)
class Outcome:
    """By mailbox: what came, changed, went. By Email: what was refused, and of what the answer did not come."""

    arrived: dict[str, dict[int, NewMessage]] = field(default_factory=lambda: defaultdict(dict))
    flagged: dict[str, dict[int, FlagChange]] = field(default_factory=lambda: defaultdict(dict))
    vanished: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    refused: dict[str, SetError] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)  # to be looked up, and gone on with
    error: ImapError | None = None  # that broke a connection
    has_sent: bool = False  # a command that changes something
    in_flight: int = 0  # messages whose copy or removal may go on after the connection broke

    def refuse(self, email_ids: Iterable[str], error: SetError) -> None:
        for email_id in email_ids:
            self.refused.setdefault(email_id, error)

    def broke(self, email_ids: Iterable[str], error: ImapError) -> None:
        self.unsure.update(email_ids)
        self.error = error

    def stopped(self) -> set[str]:
        """Return the Emails with which one does not go on."""
        return self.unsure | self.refused.keys()

    def came(self, mailbox_id: str, message: NewMessage) -> None:
        self.arrived[mailbox_id][message.uid] = message

    def came_again(self, at: Location, flags: tuple[str, ...], email_id: str) -> None:
        """Note another location of an Email that the index knows: all else about it is there already."""
        kept = tuple(flag for flag in flags if flag.lower() != "\\recent")
        self.came(at.mailbox_id, NewMessage(at.uid, kept, 0, 0, 0, email_id, None, b""))

    def changed(self, mailbox_id: str, change: FlagChange) -> None:
        self.flagged[mailbox_id][change.uid] = change

    def went(self, mailbox_id: str, uids: Iterable[int]) -> None:
        self.vanished[mailbox_id].update(uids)

    def batch(self) -> Batch | None:
        """Return all of it, or None when the index has nothing to learn."""
        ids = {*self.arrived, *self.flagged, *self.vanished}
        if not ids:
            return None
        return Batch(
            deltas=[
                MailboxDelta(
                    mailbox_id,
                    sorted(self.arrived[mailbox_id].values(), key=lambda message: message.uid),
                    list(self.flagged[mailbox_id].values()),
                    from_uids(self.vanished[mailbox_id]),
                )
                for mailbox_id in sorted(ids)
            ]
        )
