"""Blob/copy (RFC 8620 section 6.3): blobs of one account become uploads of another.

Rule 1: octets are streamed from the one into the other. What one call moves is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from gateway.account.account import Account
from gateway.account.ids import upload_blob_id
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.failure import failure_of
from gateway.jmap.method import Arguments, Context
from gateway.jmap.reference import resolve_id
from gateway.methods.blob_range import Allowance, BlobRange, ReadTooMuch
from gateway.methods.blob_source import BlobNotFound, find_blob
from gateway.methods.blob_upload import DEFAULT_TYPE
from gateway.unavailable import Unavailable

BLOB_COPY: Mapping[str, Argument] = {
    "fromAccountId": Argument(types.is_id, required=True),
    "accountId": Argument(types.is_id, required=True),
    "blobIds": Argument(types.is_ids_or_references, required=True),
}


async def copy(context: Context, arguments: Arguments) -> Arguments:
    """Blob/copy."""
    checked = check_arguments(arguments, BLOB_COPY)
    source: Account | None = context.accounts.get(checked["fromAccountId"])
    target: Account | None = context.accounts.get(checked["accountId"])
    if source is None:
        raise MethodError("fromAccountNotFound")
    if target is None:
        raise MethodError("accountNotFound")
    if source is target:
        raise MethodError("invalidArguments", "fromAccountId and accountId are the same")
    if len(checked["blobIds"]) > context.limits.max_objects_in_set:
        raise MethodError("requestTooLarge", f"blobIds: more than {context.limits.max_objects_in_set} blobs")
    copied: dict[str, str] = {}
    not_copied: dict[str, Any] = {}
    allowance = Allowance()
    for blob_id in dict.fromkeys(resolve_id(context, id) for id in checked["blobIds"]):
        try:
            copied[blob_id] = await _copy(source, target, blob_id, allowance)
        except SetError as error:
            not_copied[blob_id] = error.object()
    return {
        "fromAccountId": source.id,
        "accountId": target.id,
        "copied": copied or None,
        "notCopied": not_copied or None,
    }


async def _copy(source: Account, target: Account, blob_id: str, allowance: Allowance) -> str:
    """Copy one blob; return its id in the account it was copied to. Raise SetError."""
    try:
        found = await find_blob(source, blob_id)
        async with aclosing(BlobRange(found, allowance).chunks()) as chunks:
            stored = await target.uploads.put(target.id, chunks, found.type or DEFAULT_TYPE)
    except BlobNotFound:
        raise SetError("notFound") from None
    except ReadTooMuch:
        raise SetError("rateLimit", "one call may not copy so much; copy in several") from None
    except Unavailable:
        raise
    except OSError as fault:  # the disk is full, or fails
        error = failure_of("Blob/copy", fault)
        raise SetError(error.kind, error.description) from None
    return upload_blob_id(stored.digest)
