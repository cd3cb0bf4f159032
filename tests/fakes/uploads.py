"""A store of uploads that has none."""

from __future__ import annotations

from collections.abc import AsyncIterable

from gateway.account.uploads import OpenUpload, Upload


class NoUploads:
    """For accounts whose tests upload nothing."""

    async def put(self, account_id: str, chunks: AsyncIterable[bytes], type: str = "") -> Upload:
        raise AssertionError("nothing is uploaded here")

    async def open(self, account_id: str, digest: str) -> OpenUpload | None:
        return None
