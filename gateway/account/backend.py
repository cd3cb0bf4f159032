"""What an account asks of its upstream, in JMAP's terms. `sync.imap_backend` answers it over IMAP.

Every call may raise `MethodError("serverUnavailable")` or `MethodError("serverFail")` with a description that is fit
for a client. A message that vanished meanwhile is left out of a mapping; a stream of one raises `SectionVanished`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.account.records import Need, TextCriterion

HEADER = "HEADER"  # as a section: the raw header block of the whole message; "2.MIME": that of part 2
WHOLE = ""  # as a section: the whole message


class SectionVanished(Exception):
    """The message or the section is not there any more."""


class SectionRequest(NamedTuple):
    email_id: str
    section: str  # HEADER, WHOLE, "1.2", "1.2.MIME"
    max_octets: int | None = None  # at most so many, from the start; still in their transfer encoding


class Backend(Protocol):
    """The upstream behind one account."""

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

    async def close(self) -> None:
        """Give up connections and background work."""
