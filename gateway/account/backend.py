"""What an account asks of its upstream, in JMAP's terms. `sync.imap_backend` answers it over IMAP.

Every call may raise `MethodError("serverUnavailable")` or `MethodError("serverFail")` with a description that is fit
for a client. A message that vanished meanwhile is left out of a mapping; a stream of one raises `SectionVanished`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.account.records import Need, TextCriterion
from gateway.jmap.errors import SetError

HEADER = "HEADER"  # as a section: the raw header block of the whole message; "2.MIME": that of part 2
WHOLE = ""  # as a section: the whole message


class SectionVanished(Exception):
    """The message or the section is not there any more."""


class SectionRequest(NamedTuple):
    email_id: str
    section: str  # HEADER, WHOLE, "1.2", "1.2.MIME"
    max_octets: int | None = None  # at most so many, from the start; still in their transfer encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChange:
    """What is to become of one Email: a difference, so that what others change meanwhile stays.

    An Email that is left without a mailbox is destroyed.
    """

    email_id: str
    add_keywords: frozenset[str] = frozenset()
    remove_keywords: frozenset[str] = frozenset()
    add_mailboxes: frozenset[str] = frozenset()
    remove_mailboxes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEmail:
    """A message to be stored, its octets with CRLF line ends."""

    octets: Callable[[], AsyncIterator[bytes]]  # may be called again: after a failure, or to look at the start first
    size_octets: int
    mailbox_ids: tuple[str, ...]  # at least one; the first is where it is appended, the others get a copy
    keywords: frozenset[str] = frozenset()
    received_at_s: int | None = None  # None: now
    has_utf8_headers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMailbox:
    name: str
    parent_id: str | None = None
    role: str | None = None
    is_subscribed: bool = False
    sort_order: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxChange:
    """What is to become of one Mailbox; None: stays as it is. `moves` tells that `parent_id` is meant, even if None.

    It is carried out whole or not at all.
    """

    mailbox_id: str
    name: str | None = None
    moves: bool = False
    parent_id: str | None = None
    is_subscribed: bool | None = None
    sort_order: int | None = None
    sets_role: bool = False  # `role` is meant, even if None
    role: str | None = None


class Backend(Protocol):
    """The upstream behind one account.

    Writes are in the index when they return: the next snapshot shows them. One that could not be carried out, or of
    which the upstream did not say so, is a `SetError`; what really became of it is looked up before that is said.
    """

    async def refresh(self, need: Need) -> None:
        """Bring the index up to date as far as `need` says, if it is older than `max_staleness_s` and unwatched."""

    async def load_details(self, email_ids: Sequence[str]) -> None:
        """Put preview, structure and hasAttachment of these into the index, where they are missing. One batch."""

    async def load_sizes(self, email_ids: Sequence[str]) -> None:
        """Make `decoded_octets` of every leaf of these structures known in the index."""

    async def load_sections(self, requests: Sequence[SectionRequest]) -> Mapping[tuple[str, str], bytes]:
        """Return the octets of many small sections by (email_id, section), with few commands."""

    def stream_section(self, email_id: str, section: str) -> AsyncIterator[bytes]:
        """Yield the octets of one section in chunks, as stored (still in their transfer encoding)."""

    async def search(self, criterion: TextCriterion, mailbox_ids: frozenset[str] | None) -> set[str]:
        """Return the ids of Emails that match, in these mailboxes only (None: in all)."""

    async def change_emails(self, changes: Sequence[EmailChange]) -> Mapping[str, SetError]:
        """Carry out changes in few commands; return the failed, by Email id. Each is done whole or not at all."""

    async def append_email(self, email: NewEmail) -> str:
        """Store a message and return its Email id. Raise `SetError`: overQuota, alreadyExists (existingId), …"""

    async def create_mailbox(self, mailbox: NewMailbox) -> str:
        """Return the id of a new Mailbox. Raise `SetError`."""

    async def change_mailbox(self, change: MailboxChange) -> None:
        """Rename, move, (un)subscribe, order a Mailbox, give it a role. Raise `SetError`."""

    async def destroy_mailbox(self, mailbox_id: str, *, remove_emails: bool = False) -> None:
        """Remove a Mailbox without children; unless `remove_emails` it must hold none. Raise `SetError`."""

    async def load_shares(self) -> None:
        """Make known, from now on, whom mailboxes are shared with (`MailboxFacts.shares`)."""

    async def change_shares(self, mailbox_id: str, changes: Mapping[str, frozenset[str] | None]) -> None:
        """Give others, by the upstream's names, these MailboxRights in a Mailbox, or (None) none. Raise `SetError`."""

    async def refresh_quotas(self) -> None:
        """Bring the records of Quota up to date (`account.quotas`), as `refresh` does the index; there may be none."""

    def is_filling(self) -> bool:
        """Tell whether the index is being filled in the background: mail, or details of mail, that nobody waits for."""

    def watch(self) -> Callable[[], None]:
        """Keep the index equal to the upstream from now on, until the returned function is called. Calls add up."""

    async def close(self) -> None:
        """Give up connections and background work."""
