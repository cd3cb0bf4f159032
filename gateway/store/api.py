"""What the gateway must not lose (user state), as ports. One implementation per file; `sqlite` is the embedded one.

Rule 1: a write is durable when its call returns: only then may it be acknowledged to a client.
Rule 2: a kind of state is a Protocol of its own; `UserStore` is all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class StoreError(OSError):
    """The store cannot be used. The text says why and what to do."""


class UploadRecord(NamedTuple):
    """An account's claim on an uploaded blob. Times are whole seconds since 1970."""

    account_id: str
    digest: str  # SHA-256 of the octets, in hex
    size_octets: int
    type: str
    uploaded_at_s: int
    expires_at_s: int


class KeyStore(Protocol):
    async def key(self, name: str) -> bytes:
        """Return 32 random octets that are drawn once for each name and kept."""


class UploadStore(Protocol):
    """Which account has uploaded which blob. The octets are on disk (`uploads`)."""

    async def put_upload(self, record: UploadRecord) -> None:
        """Add a record, or replace the account's record of the same digest."""

    async def upload(self, account_id: str, digest: str) -> UploadRecord | None:
        """Return the account's record of this digest, expired or not."""

    async def uploads(self, account_id: str) -> Sequence[UploadRecord]:
        """Return the account's records, oldest first."""

    async def expired_uploads(self, now_s: int, limit: int) -> Sequence[UploadRecord]:
        """Return records of any account that have expired, oldest first."""

    async def drop_uploads(self, account_id: str, digests: Collection[str]) -> frozenset[str]:
        """Remove records; return those of the digests that no account has any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRecord:
    """A push subscription (RFC 8620 section 7.2). URL and keys do not print: who has them can write to a device."""

    id: str
    owner: str  # the account id of the login that made it
    device_client_id: str
    url: str = field(repr=False)
    p256dh: bytes = field(default=b"", repr=False)  # empty: no keys
    auth: bytes = field(default=b"", repr=False)
    code: str = field(repr=False)
    is_verified: bool = False
    expires_at_s: int
    types: tuple[str, ...] | None = None  # None: all
    position: str = ""  # how far it has been told (`push.position`)


class PushStore(Protocol):
    """Push subscriptions. What is dropped is overwritten, not only unlinked (section 7.2)."""

    async def put_subscription(self, record: PushRecord) -> None:
        """Add a record, or replace the one of the same id."""

    async def subscriptions(self, owner: str | None = None) -> Sequence[PushRecord]:
        """Return the records of one owner, or of all, expired ones too."""

    async def put_position(self, id: str, position: str) -> None:
        """Remember how far a subscription has been told, if it is still there."""

    async def drop_subscriptions(self, ids: Collection[str]) -> None: ...


class SecretStore(Protocol):
    """Secrets, sealed by `auth.vault`; in here they are octets."""

    async def put_sealed(self, account_id: str, field: str, sealed: bytes) -> None: ...

    async def sealed(self, account_id: str, field: str) -> bytes | None: ...

    async def sealed_accounts(self, field: str) -> Sequence[str]:
        """Return the accounts that have something sealed in this field."""

    async def drop_sealed(self, account_id: str, field: str) -> None: ...


class SortOrderStore(Protocol):
    """The sortOrder of mailboxes, by path, where the upstream has no place for it."""

    async def sort_orders(self, account_id: str) -> Mapping[str, int]:
        """Return those that were set."""

    async def put_sort_orders(self, account_id: str, orders: Mapping[str, int | None]) -> None:
        """Set sort orders, or (None) forget them; all or none."""


class RecordState(NamedTuple):
    """Where the history of a type stands: the seq of its last write, and what was drawn at random for that write.

    The mark keeps a state from looking valid after the store was lost, or restored from a backup and written to again.
    """

    seq: int
    mark: str


class RecordChange(NamedTuple):
    """The last thing that happened to a record, in the order of (seq, id)."""

    seq: int
    id: str
    created_seq: int
    first_seq: int  # when it was created first, of what is remembered: an id may go and come again
    is_destroyed: bool


@dataclass(frozen=True, slots=True)
class RecordHistory:
    """What is remembered of one type. Since a state whose seq is not in `marks` nothing can be told."""

    marks: Mapping[int, str]  # every state that the type has had, as far back as the tombstones go
    changes: Sequence[RecordChange]  # of every record and tombstone


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one type as they are at one moment."""

    state: RecordState
    by_id: Mapping[str, bytes]  # in the order in which they were created
    history: RecordHistory | None = None


class RecordStore(Protocol):
    """Records of the JMAP types that no index holds (Identity, EmailSubmission, ...): JSON octets by id, and a journal.

    Every write takes the account's next seq. Tombstones are bounded in age and number; so is what can be told.
    """

    async def records(
        self, account_id: str, type: str, ids: Collection[str] | None = None, *, with_history: bool = False
    ) -> Records:
        """Return those of the ids that there are; None: all."""

    async def record_states(self, account_id: str) -> Mapping[str, RecordState]:
        """Return the state of every type that was ever written."""

    async def write_records(
        self, account_id: str, writes: Mapping[str, Mapping[str, bytes | None]]
    ) -> Mapping[str, RecordState]:
        """Put records, or (None) destroy them, by type and id: all or none. Return the states that are new.

        What is as it was is no change, and takes no seq.
        """

    async def record_accounts(self, type: str) -> Sequence[str]:
        """Return the accounts that have a record of this type."""


class UserStore(KeyStore, UploadStore, PushStore, SecretStore, SortOrderStore, RecordStore, Protocol):
    async def close(self) -> None:
        """Finish what is under way and let go."""
