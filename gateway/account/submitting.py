"""What an account asks of whoever sends its mail, in JMAP's terms (RFC 8621 section 7). `outbox` answers it.

Every call may raise `SetError` or `MethodError` with a description that is fit for a client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.account.user_records import Record
from gateway.message.headers import Field

SUBMISSIONS = "EmailSubmission"  # the type of the records that clients see
JOBS = "outbox"  # what is still to be sent, by the id of the submission: the gateway's own


@dataclass(frozen=True, slots=True)
class Offers:
    """What the server for sending takes."""

    extensions: Mapping[str, tuple[str, ...]]  # EHLO keywords in upper case, with their parameters
    max_size_octets: int | None
    max_recipients: int
    max_delay_s: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message put aside as it will go out, for the submission of this id."""

    id: str
    fields: tuple[Field, ...]  # of its header, Bcc included
    size_octets: int
    is_8bit: bool
    has_utf8_headers: bool


class Submitter(Protocol):
    """Sends the mail of one account."""

    @property
    def offers(self) -> Offers: ...

    async def prepare(self, email_id: str) -> Prepared:
        """Put the message aside. It is to be submitted or discarded."""

    async def discard(self, prepared: Prepared) -> None: ...

    async def submit(
        self, prepared: Prepared, submission: Record, envelope: Mapping[str, Any], *, release_s: float
    ) -> Record:
        """Take a message over, durably, and try to send it if it is time. Return the submission's record.

        `envelope` is what the server is to be told; the record may show parameters that are for the gateway.

        A message that is refused at once is not taken: that raises `SetError`.
        """

    async def send(self, octets: AsyncIterator[bytes], envelope: Mapping[str, Any]) -> None:
        """Take a message over that is no Email, durably, and try to send it: as `submit`, but no record shows it."""

    async def cancel(self, submission_id: str) -> Record:
        """Take a message back before it has left. Raise `cannotUnsend`."""
