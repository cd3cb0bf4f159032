"""A selected range of a blob, read once, within what one method call may read (RFC 9404 sections 4.1 and 4.2).

Rule 1: octets are streamed and counted as they come, those before the range too where they have to be read.
Rule 2: whether the range ends past the blob is decided by the octets that came, where they came; the announced size of
a message may be wrong.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.methods.blob_source import FoundBlob

# Of octets that one call reads: four of the largest uploads. On a slow upstream that is a minute of one connection.
MAX_READ_OCTETS = 200_000_000


class ReadTooMuch(Exception):
    """The call has read all that one call may."""


class Allowance:
    """What one method call may still read."""

    def __init__(self, octets: int = MAX_READ_OCTETS) -> None:
        self._octets_left = octets

    def take(self, octets: int) -> None:
        self._octets_left -= octets
        if self._octets_left < 0:
            raise ReadTooMuch


class BlobRange:
    """The octets of a blob from `offset_octets` on, `length_octets` of them or (None) the rest."""

    def __init__(
        self, blob: FoundBlob, allowance: Allowance, *, offset_octets: int = 0, length_octets: int | None = None
    ) -> None:
        self._blob, self._allowance = blob, allowance
        self._first = offset_octets
        self._end = None if length_octets is None else offset_octets + length_octets
        self.size_octets = blob.size_octets  # of the whole blob; exact when its end was seen

    @property
    def is_short(self) -> bool:
        """Tell whether the range begins or extends past the end of the blob; only where the size is known."""
        return self.size_octets is not None and max(self._first, self._end or 0) > self.size_octets

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the octets. Raise BlobNotFound or ReadTooMuch."""
        if self.size_octets is not None and self._end is not None and self._end == self._first:
            return
        at = min(self._first, self._blob.size_octets or 0) if self._blob.can_seek else 0
        async with aclosing(self._blob.chunks(at)) as source:
            async for chunk in source:
                self._allowance.take(len(chunk))
                low = max(self._first - at, 0)
                high = len(chunk) if self._end is None else self._end - at
                at += len(chunk)
                if low < min(high, len(chunk)):
                    yield chunk[low:high]
                if self._end is not None and at >= self._end:
                    if self.size_octets is not None:
                        self.size_octets = max(self.size_octets, at)
                    return
        self.size_octets = at

    async def drain(self) -> None:
        """Read what is left only to know the size."""
        async with aclosing(self.chunks()) as chunks:
            async for _chunk in chunks:
                pass
