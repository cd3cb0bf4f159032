"""Blob/upload (RFC 9404 section 4.1): blobs made of texts, base64 and ranges of other blobs, one after the other.

Rule 1: a creation is checked whole before an octet is written. Nothing is guessed: what is not exactly right is
`invalidProperties`.
Rule 2: creations of one call may name each other in any order; those in a circle are refused.
Rule 3: octets are streamed into the store of uploads. What one call reads and writes is bounded.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from gateway.account.account import Account
from gateway.account.ids import upload_blob_id
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.capability import MAX_DATA_SOURCES
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.failure import failure_of
from gateway.jmap.method import Arguments, Context
from gateway.jmap.objects.blob import BLOB
from gateway.jmap.reference import resolve_id
from gateway.methods import standard
from gateway.methods.blob_range import Allowance, BlobRange, ReadTooMuch
from gateway.methods.blob_source import BlobNotFound, find_blob
from gateway.unavailable import Unavailable

BLOB_UPLOAD: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "create": Argument(types.map_of(types.is_id, types.is_object), required=True),
}
DEFAULT_TYPE = "application/octet-stream"

_TYPE = re.compile(r"[!-~][ -~]{0,254}")  # what a header may hold, as at the upload endpoint
_SOURCES = ("data:asText", "data:asBase64", "blobId")  # exactly one of them
_RANGE = ("offset", "length")


@dataclass(frozen=True, slots=True)
class Range:
    """A range of another blob as a data source."""

    blob_id: str  # or "#" and a creation id
    offset_octets: int
    length_octets: int | None


@dataclass(frozen=True, slots=True)
class Upload:
    """A blob to be made: `sources` one after the other."""

    sources: tuple[bytes | Range, ...]
    type: str

    def needs(self) -> frozenset[str]:
        """Return the creation ids that must be there first."""
        named = (source.blob_id for source in self.sources if isinstance(source, Range))
        return frozenset(blob_id[1:] for blob_id in named if blob_id.startswith("#"))


async def upload(context: Context, arguments: Arguments) -> Arguments:
    """Blob/upload."""
    checked = check_arguments(arguments, BLOB_UPLOAD)
    account = standard.account_of(context, checked["accountId"], BLOB.capability)
    if len(checked["create"]) > context.limits.max_objects_in_set:
        raise MethodError("requestTooLarge", f"create: more than {context.limits.max_objects_in_set} objects")
    created: dict[str, Any] = {}
    not_created: dict[str, Any] = {}
    uploads: dict[str, Upload] = {}
    for creation_id, given in checked["create"].items():
        try:
            uploads[creation_id] = _checked(given, context.limits.max_size_upload)
        except SetError as error:
            not_created[creation_id] = error.object()
    allowance = Allowance()
    for creation_id in _in_order(uploads):
        try:
            made = await _make(context, account, uploads.pop(creation_id), allowance, not_created.keys())
        except SetError as error:
            not_created[creation_id] = error.object()
        else:
            created[creation_id] = made
            context.created_ids[creation_id] = made["id"]
    not_created |= {id: _invalid("refers to itself by way of its sources").object() for id in uploads}
    return {"accountId": account.id, "created": created or None, "notCreated": not_created or None}


def _checked(given: Mapping[str, Any], max_octets: int) -> Upload:
    """Return what is to be made of an UploadObject. Raise SetError."""
    if unknown := [name for name in given if name not in ("data", "type")]:
        raise SetError("invalidProperties", "not properties of an UploadObject", properties=unknown)
    type = given.get("type")
    if type is None:
        type = DEFAULT_TYPE
    elif types.is_string(type) is not None or not _TYPE.fullmatch(type):
        raise SetError("invalidProperties", "type is no media type", properties=["type"])
    data = given.get("data")
    if not isinstance(data, list):
        raise _invalid("is not an array")
    if len(data) > MAX_DATA_SOURCES:
        raise _invalid(f"has more than {MAX_DATA_SOURCES} sources")
    sources = tuple(_source(source) for source in data)
    least_octets = sum(len(one) if isinstance(one, bytes) else one.length_octets or 0 for one in sources)
    if least_octets > max_octets:
        raise _too_large(max_octets)
    return Upload(sources, type)


def _source(given: Any) -> bytes | Range:
    """Return one DataSourceObject. Raise SetError."""
    if not isinstance(given, dict) or any(name not in (*_SOURCES, *_RANGE) for name in given):
        raise _invalid("has an item that is no DataSourceObject")
    kinds = [name for name in _SOURCES if given.get(name) is not None]
    if len(kinds) != 1:
        raise _invalid("has an item without exactly one of data:asText, data:asBase64 and blobId")
    (kind,) = kinds
    value, offset, length = given[kind], given.get("offset"), given.get("length")
    if kind == "blobId":
        if types.is_id_or_reference(value) is not None:
            raise _invalid("has a blobId that is no Id")
        if any(types.nullable(types.is_unsigned_int)(number) is not None for number in (offset, length)):
            raise _invalid("has an offset or a length that is no UnsignedInt")
        return Range(value, offset or 0, length)
    if offset is not None or length is not None:
        raise _invalid("has a range of something that is no blob")
    if not isinstance(value, str):
        raise _invalid(f"has a {kind} that is not a String")
    try:
        if kind == "data:asText":
            return value.encode()
        if len(value) % 4:  # padding that is too long passes for none
            raise ValueError
        return a2b_base64(value, strict_mode=True)
    except ValueError:
        raise _invalid(f"has a {kind} that is not what it says") from None


def _in_order(uploads: Mapping[str, Upload]) -> Iterable[str]:
    """Yield the creation ids, those first that others need; those in a circle, or behind one, never."""
    sorter = TopologicalSorter({id: upload.needs() & uploads.keys() for id, upload in uploads.items()})
    with suppress(CycleError):  # it goes on with the others
        sorter.prepare()
    while ready := sorter.get_ready():
        yield from ready
        sorter.done(*ready)


async def _make(
    context: Context, account: Account, upload: Upload, allowance: Allowance, failed: Iterable[str]
) -> dict[str, Any]:
    """Store one blob; return its properties. Raise SetError."""
    missing = [f"#{id}" for id in upload.needs() if id in failed]
    if missing:
        raise SetError("blobNotFound", notFound=missing)
    chunks = _octets(context, account, upload, allowance)
    try:
        async with aclosing(chunks):
            stored = await account.uploads.put(account.id, chunks, upload.type)
    except Unavailable:
        raise
    except OSError as fault:  # the disk is full, or fails
        error = failure_of("Blob/upload", fault)
        raise SetError(error.kind, error.description) from None
    blob_id = upload_blob_id(stored.digest)
    # "id" is Blob/upload's, "blobId" and "accountId" are the upload endpoint's.
    return {
        "id": blob_id,
        "accountId": account.id,
        "blobId": blob_id,
        "type": stored.type,
        "size": stored.size_octets,
    }


async def _octets(
    context: Context, account: Account, upload: Upload, allowance: Allowance
) -> AsyncGenerator[bytes, None]:
    """Yield the octets of all sources, in order. Raise SetError."""
    max_octets = context.limits.max_size_upload
    size_octets = 0
    for source in upload.sources:
        async with aclosing(_read(context, account, source, allowance)) as chunks:
            async for chunk in chunks:
                size_octets += len(chunk)
                if size_octets > max_octets:
                    raise _too_large(max_octets)
                yield chunk


async def _read(
    context: Context, account: Account, source: bytes | Range, allowance: Allowance
) -> AsyncGenerator[bytes, None]:
    """Yield the octets of one source. Raise SetError."""
    if isinstance(source, bytes):
        yield source
        return
    blob_id = resolve_id(context, source.blob_id)
    try:
        selected = BlobRange(
            await find_blob(account, blob_id),
            allowance,
            offset_octets=source.offset_octets,
            length_octets=source.length_octets,
        )
        async with aclosing(selected.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk
    except BlobNotFound:
        raise SetError("blobNotFound", notFound=[blob_id]) from None
    except ReadTooMuch:
        raise SetError("rateLimit", "one call may not read so much; upload in several") from None
    if selected.is_short:
        raise _invalid("has a range that is not within its blob")


def _invalid(fault: str) -> SetError:
    return SetError("invalidProperties", f"data {fault}", properties=["data"])


def _too_large(max_octets: int) -> SetError:
    return SetError("tooLarge", f"A blob may have at most {max_octets} octets.")
