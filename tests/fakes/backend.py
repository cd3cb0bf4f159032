"""A backend without an upstream: it remembers what it was asked, and answers from what a test puts in."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from gateway.account.account import Account
from gateway.account.backend import WHOLE, SectionRequest, SectionVanished
from gateway.account.records import Batch, EmailDetail, Need, TextCriterion
from gateway.account.uploads import OpenUpload
from gateway.store.api import Lease, Mirror
from tests.fakes.writes import IndexWrites


class FakeBackend(IndexWrites):
    """Answers of one account. Fill `details`, `sections` and `matches`."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.account = account
        self.details: dict[str, EmailDetail] = {}
        self.sizes: dict[str, EmailDetail] = {}  # the same with decoded_octets known
        self.sections: dict[tuple[str, str], bytes] = {}
        self.matches: dict[TextCriterion, set[str]] = {}
        self.needs: list[Need] = []
        self.searched: list[tuple[TextCriterion, frozenset[str] | None]] = []
        self.loaded: list[list[str]] = []
        self.is_closed = False
        self.watching = 0

    def is_filling(self) -> bool:
        return False

    async def refresh(self, need: Need) -> None:
        self.needs.append(need)

    async def load_details(self, email_ids: Sequence[str]) -> None:
        self.loaded.append(list(email_ids))
        found = [self.details[id] for id in email_ids if id in self.details]
        await self.account.apply(Batch(details=found))

    async def load_sizes(self, email_ids: Sequence[str]) -> None:
        await self.account.apply(Batch(details=[self.sizes[id] for id in email_ids if id in self.sizes]))

    async def load_sections(self, requests: Sequence[SectionRequest]) -> Mapping[tuple[str, str], bytes]:
        out: dict[tuple[str, str], bytes] = {}
        for request in requests:
            key = (request.email_id, request.section)
            if key in self.sections:
                out[key] = self.sections[key][: request.max_octets]
        return out

    async def stream_section(self, email_id: str, section: str) -> AsyncIterator[bytes]:
        data = self.sections.get((email_id, section))
        if data is None:
            raise SectionVanished
        for at in range(0, len(data), 4096):
            yield data[at : at + 4096]

    async def search(self, criterion: TextCriterion, mailbox_ids: frozenset[str] | None) -> set[str]:
        self.searched.append((criterion, mailbox_ids))
        return set(self.matches.get(criterion, ()))

    def watch(self) -> Callable[[], None]:
        """Count who watches."""
        self.watching += 1

        def end() -> None:
            self.watching -= 1

        return end

    def stored(self, email_id: str, octets: bytes) -> None:
        self.sections[email_id, WHOLE] = octets

    async def close(self) -> None:
        self.is_closed = True


class Stored(NamedTuple):
    digest: str
    size_octets: int
    type: str


class FakeUploads:
    """Uploads in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], tuple[bytes, str]] = {}

    async def put(self, account_id: str, chunks: AsyncIterable[bytes], type: str = "") -> Stored:
        data = b"".join([chunk async for chunk in chunks])
        digest = sha256(data).hexdigest()
        self.kept[account_id, digest] = (data, type)
        return Stored(digest, len(data), type)

    async def open(self, account_id: str, digest: str) -> OpenUpload | None:
        kept = self.kept.get((account_id, digest))
        return None if kept is None else FakeUpload(*kept)


class FakeUpload:
    def __init__(self, data: bytes, type: str) -> None:
        self._data = data
        self.size_octets = len(data)
        self.type = type

    async def chunks(self, offset_octets: int = 0) -> AsyncIterator[bytes]:
        yield self._data[offset_octets:]


def make_account(
    path: Path,
    *,
    id: str = "A1",
    uploads: FakeUploads | None = None,
    mirror: Mirror | None = None,
    lease: Lease | None = None,
    lost: Callable[[], None] = lambda: None,
) -> Account:
    """Return an account on a `FakeBackend`, not open yet."""
    return Account(
        id=id,
        name="me@example.org",
        login="me",
        path=path,
        make_backend=FakeBackend,
        uploads=uploads or FakeUploads(),
        mirror=mirror,
        lease=lease,
        lost=lost,
    )


def backend_of(account: Account) -> FakeBackend:
    backend = account.backend
    assert isinstance(backend, FakeBackend)
    return backend
