"""What an account asks of the store of uploaded blobs (RFC 8620 section 6)."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol


class Upload(Protocol):
    """What has been stored."""

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the octets, in hex."""

    @property
    def size_octets(self) -> int: ...
    @property
    def type(self) -> str: ...


class OpenUpload(Protocol):
    """One upload, open for reading."""

    @property
    def size_octets(self) -> int: ...
    @property
    def type(self) -> str: ...

    def chunks(self, offset_octets: int = 0) -> AsyncIterator[bytes]:
        """Yield the octets in order, from an offset on. What comes before it is not read."""


class Uploads(Protocol):
    """Uploaded blobs of all accounts, kept until they expire."""

    async def put(self, account_id: str, chunks: AsyncIterable[bytes], type: str = ...) -> Upload:
        """Store the octets durably. Raise `MethodError` or `RequestError` where they are too many."""

    async def open(self, account_id: str, digest: str) -> OpenUpload | None:
        """Return the upload of this account; None when there is none or it has expired."""
