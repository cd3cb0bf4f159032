"""What an account asks of the store of uploaded blobs (RFC 8620 section 6)."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import NamedTuple, Protocol


class Upload(NamedTuple):
    digest: str  # SHA-256 of the octets, in hex
    size_octets: int
    type: str


class OpenUpload(Protocol):
    """One upload, open for reading."""

    size_octets: int
    type: str

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the octets in order."""


class Uploads(Protocol):
    """Uploaded blobs of all accounts, kept until they expire."""

    async def put(self, account_id: str, chunks: AsyncIterable[bytes], type: str = ...) -> Upload:
        """Store the octets durably. Raise `MethodError` or `RequestError` where they are too many."""

    async def open(self, account_id: str, digest: str) -> OpenUpload | None:
        """Return the upload of this account; None when there is none or it has expired."""
