"""What the gateway must not lose (user state), as ports. One implementation per file; `sqlite` is the embedded one.

Rule 1: a write is durable when its call returns: only then may it be acknowledged to a client.
Rule 2: a kind of state is a Protocol of its own; `UserStore` is all of them.
Rule 3: what nodes share beside it are three more ports: who owns an account (`LeaseStore`), the copy of its index that
        the next owner goes on from (`Mirror`), and the word that something has changed (`Signals`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gateway.unavailable import Unavailable

# A node is given up when it was not heard of for so long; its accounts are free from then on. With the time until
# another node looks, an account is taken over within 10 s.
NODE_LIFETIME_S = 8.0
BEAT_S = 1.0  # between two beats of a node: six may get lost
RENEW_S = 60.0  # between two renewals of a lease
LEASE_LIFETIME_S = 3600.0  # after its last renewal; only what a node that vanished has left behind gets so old


class StoreError(OSError):
    """The store cannot be used. The text says why and what to do."""


class StoreUnavailable(StoreError, Unavailable):
    """The store does not answer, or takes no writes, for now. Whether a write was made is not known."""


class LeaseLost(StoreError, Unavailable):
    """The account is not (any more) this node's: nothing was written, and nothing may be."""


class MirrorLost(StoreError, Unavailable):
    """The mirror of an account is not what its owner has left there: parts are missing, or it is of another history."""


class UploadRecord(NamedTuple):
    """An account's claim on an uploaded blob. Times are whole seconds since 1970."""

    account_id: str
    digest: str  # SHA-256 of the octets, in hex
    size_octets: int
    type: str
    uploaded_at_s: int
    expires_at_s: int


class Fences(Protocol):
    """What an owner's writes are fenced with."""

    def token(self, account_id: str) -> int:
        """Return the token of the lease that this node holds. Raise `LeaseLost`."""


class KeyStore(Protocol):
    async def key(self, name: str) -> bytes:
        """Return 32 random octets that are drawn once for each name and kept."""


class FactStore(Protocol):
    """What the gateway has learnt of the servers around it. It is of no account and no node: the last word counts."""

    async def put_fact(self, name: str, octets: bytes) -> None: ...

    async def fact(self, name: str) -> bytes | None: ...


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

    async def subscription_owners(self) -> Sequence[str]:
        """Return the accounts that have some; one too many may be among them until it is looked at."""

    async def put_position(self, owner: str, id: str, position: str) -> None:
        """Remember how far a subscription has been told, if it is still there."""

    async def drop_subscriptions(self, owner: str, ids: Collection[str]) -> None: ...


class SecretStore(Protocol):
    """Secrets, sealed by `auth.vault`; in here they are octets."""

    async def put_sealed(self, account_id: str, field: str, sealed: bytes) -> None: ...

    async def sealed(self, account_id: str, field: str) -> bytes | None: ...

    async def sealed_accounts(self, field: str) -> Sequence[str]:
        """Return the accounts that have something sealed in this field, as `subscription_owners` does."""

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
        """Return the accounts that have a record of this type, as `subscription_owners` does."""


Write = Callable[[bytes], Awaitable[None]]


class OutgoingStore(Protocol):
    """The octets of messages that wait to be sent, by account and submission. Which of them are needed, others know."""

    def writing(self, account_id: str, id: str) -> AbstractAsyncContextManager[Write]:
        """Write a message piece by piece: at the end of the block it is there whole, or when that raises not at all."""

    def octets(self, account_id: str, id: str) -> AsyncIterator[bytes]:
        """Yield a message in order. Raise `FileNotFoundError` where it is not there (any more)."""

    async def has(self, account_id: str, id: str) -> bool: ...

    async def drop(self, account_id: str, id: str) -> None:
        """Remove a message, and what there is of one that was not written to its end."""

    async def litter(self) -> Mapping[str, Collection[str]]:
        """Return what may be there for nothing since a crash, and does not go by itself: submissions by account."""


class UserStore(KeyStore, FactStore, PushStore, SecretStore, SortOrderStore, RecordStore, Protocol):
    """What both stores are. Uploads are apart: on disk with an `UploadStore`, or in Redis whole."""

    async def close(self) -> None:
        """Finish what is under way and let go."""


@dataclass(frozen=True, slots=True)
class Node:
    """One gateway of several, as long as its process runs without a gap in its beats.

    A node that was given up comes back under a new id: an id that was once seen to be gone stays gone.
    """

    id: str  # random
    url: str  # where the other nodes reach it
    accounts: int | None = field(default=None, compare=False)  # how many it owns, as it told last; None: it takes none


@dataclass(frozen=True, slots=True)
class Lease:
    """That a node owns an account. Each new owner's token is greater (fencing): a write with an older is refused."""

    account_id: str
    node: Node
    token: int


class LeaseStore(Protocol):
    """Which nodes there are, and which of them owns which account.

    A lease lasts until it is released or handed over, or its node is given up and another takes it.
    """

    async def join(self, node: Node) -> None:
        """Bring a node in, under an id that was never used. It listens already: what had its URL has gone."""

    async def beat(self, node: Node, accounts: int | None) -> bool:
        """Tell that a node is there, every BEAT_S, and how many accounts it owns, or (None) that it takes none.

        False: it was given up; its leases are void, its id is used up.
        """

    async def leave(self, node: Node) -> None:
        """Take a node out: what it did not release is free at once."""

    async def nodes(self) -> Sequence[Node]:
        """Return the nodes that are there, by id."""

    async def silent(self, for_s: float) -> Sequence[Node]:
        """Return those of them that have not beaten for so long."""

    async def give_up(self, node: Node, silent_s: float) -> None:
        """Take out a node of which it is known that it does not run, unless it has beaten within that time."""

    async def take(self, account_id: str, node: Node) -> Lease | Node:
        """Take an account that nobody owns; else return the node that does. Taking again returns the same lease."""

    async def adopt(self, account_id: str, lease: Lease) -> Lease:
        """Return the lease of an account that comes and goes with an owned one. Raise `LeaseLost`.

        No other account may ever adopt it. It is renewed with the lease that it goes with, and never released.
        """

    async def renew(self, leases: Collection[Lease]) -> frozenset[str]:
        """Keep leases, every RENEW_S; return the accounts whose lease is another's, or gone."""

    async def release(self, lease: Lease) -> None:
        """Give an account up; one that is another's already stays so."""

    async def hand_over(self, lease: Lease, node: Node) -> None:
        """Make another node the owner; it need only `take` what it has. One that is a third's already stays so."""

    async def owner(self, account_id: str) -> Node | None:
        """Return the node that owns an account and is there."""


class Signals(Protocol):
    """Word from node to node about an account: at most once, in order from one node, nothing kept for later."""

    async def publish(self, account_id: str, octets: bytes) -> None:
        """Tell all who have subscribed, on this node too."""

    def subscribe(self, account_id: str, heard: Callable[[bytes | None], None]) -> Callable[[], None]:
        """Call `heard` with what is published from now on; return the function that ends this.

        It is called with None each time when listening begins, the first time and after a gap: what was published
        before may have been missed, so look at how things are.
        """


class Head(NamedTuple):
    """Where a mirror ends: after the batch with this number, of this history, written under this lease."""

    epoch: str
    step: int
    token: int


class MirrorSizes(NamedTuple):
    """Octets, as they are kept; and how many entries the log has."""

    log: int
    snapshot: int  # -1: it is still to be written
    entries: int


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What there is of a mirror to load: the parts of a snapshot, then the entries that follow it, in order."""

    head: Head
    sizes: MirrorSizes
    base: Head  # what the entries follow on
    is_whole: bool  # what the reader has is to be dropped: this begins with a snapshot, or with the empty index
    parts: AsyncIterator[bytes]
    entries: AsyncIterator[tuple[int, bytes]]  # with the token of the lease each was written under


class Mirror(Protocol):
    """A copy of the index of each account: a snapshot, and a log of the batches since, fenced by the owner's lease.

    Every call raises `LeaseLost` or `StoreUnavailable`, every call but `begin` `MirrorLost` too.
    """

    async def load(self, lease: Lease, have: Head | None, *, acked: Head | None = None) -> Mirrored | None:
        """Return what leads from `have` (None: from nothing) to the head; None when there is no mirror to be trusted.

        It is not when something is missing, or when the server was started anew since the last write, for the end may
        be lost. `acked`: what this very owner was told is there; then that decides.
        """

    async def begin(self, lease: Lease, head: Head, *, is_empty: bool) -> None:
        """Begin a mirror anew; unless the index is empty it cannot be loaded before a snapshot is written."""

    async def check(self, lease: Lease) -> None:
        """Return if entries could be added now."""

    async def append(self, lease: Lease, after: Head, entries: Sequence[bytes]) -> MirrorSizes:
        """Add entries behind the head that the owner knows, one step each. Doing it again does nothing."""

    async def put_snapshot(self, lease: Lease, of: Head, parts: AsyncIterator[bytes]) -> None:
        """Replace the snapshot, and drop the entries that are in it."""
