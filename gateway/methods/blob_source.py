"""Any blob id opened: a whole message, a part without its transfer encoding, an upload (RFC 8620 section 6.2).

Rule 1: octets are streamed. Only a blob inside a parsed message is taken into memory, with that message, bounded.
Rule 2: a blob opens or is not found; the first octets are there before it counts as open.

A part of a message that is itself a blob (an attached message, an upload) is named "p<section>_<blob id>"; one of a
message in a mailbox "p<section>_<email id>". So every part that Email/parse shows can be downloaded and parsed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from gateway.account.account import Account
from gateway.account.backend import WHOLE, SectionVanished
from gateway.account.ids import BlobRef, parse_blob_id
from gateway.message.parse import ParsedMessage, parse_message
from gateway.message.part import Part
from gateway.message.transfer import decode_transfer, decoder
from gateway.methods.email_body import size_of
from gateway.methods.email_rows import load_rows

# A message parsed here is in memory once as it came and once more by its parts: twice the largest upload.
MAX_PARSED_OCTETS = 100_000_000
# Messages attached to attached messages: people reach three.
MAX_NESTING = 10
# Less than this is parsed at once; for more a thread is worth its price.
PARSED_AT_ONCE_OCTETS = 64 * 1024


class BlobNotFound(Exception):
    """No such blob in this account, or it is gone."""


class BlobTooLarge(Exception):
    """The blob is too large to be parsed."""


@dataclass(frozen=True, slots=True)
class Blob:
    """An open blob. `chunks` is iterated once, and closed; it raises BlobNotFound where the blob vanishes half-way."""

    id: str
    chunks: AsyncGenerator[bytes, None]
    size_octets: int | None = None  # None: not known before the end
    type: str | None = None  # what is known of its media type; a download says its own
    name: str | None = None


async def open_blob(account: Account, blob_id: str) -> Blob | None:
    """Open a blob of this account for a download; None: there is no such blob."""
    try:
        return await _open(account, blob_id, depth=0)
    except BlobNotFound:
        return None


async def read_blob(account: Account, blob_id: str, *, max_octets: int) -> bytes:
    """Return a whole blob. Raise BlobNotFound, or BlobTooLarge past `max_octets`."""
    return await _read(await _open(account, blob_id, depth=0), max_octets)


def parts_of(blob_id: str) -> str:
    """Return what stands for this blob, as a message, in the blob ids of its parts."""
    ref = parse_blob_id(blob_id)
    return ref.email_id if ref is not None and ref.kind == "message" else blob_id


async def parse_blob(account: Account, blob_id: str) -> tuple[ParsedMessage, int]:
    """Parse a blob as a message; return it with its size in octets. Raise BlobNotFound or BlobTooLarge."""
    octets = await read_blob(account, blob_id, max_octets=MAX_PARSED_OCTETS)
    return await _parse(octets), len(octets)


async def _open(account: Account, blob_id: str, *, depth: int) -> Blob:
    ref = parse_blob_id(blob_id)
    if ref is None or depth > MAX_NESTING:
        raise BlobNotFound(blob_id)
    if ref.kind == "upload":
        return await _open_upload(account, blob_id, ref)
    if ref.kind == "part" and _is_blob(ref.email_id):
        return await _open_nested(account, blob_id, ref, depth)
    _state, rows = await load_rows(account, [ref.email_id], structure=ref.kind == "part")
    row = rows.get(ref.email_id)
    if row is None:
        raise BlobNotFound(blob_id)
    if ref.kind == "message":
        chunks = await _begun(account.backend.stream_section(row.id, WHOLE), "binary", blob_id)
        return Blob(blob_id, chunks, row.size_octets, "message/rfc822")
    part = _part(row.structure, ref.section)
    if part is None:
        raise BlobNotFound(blob_id)
    chunks = await _begun(account.backend.stream_section(row.id, part.section), part.encoding, blob_id)
    return Blob(blob_id, chunks, size_of(part), part.type, part.name)


async def _open_upload(account: Account, blob_id: str, ref: BlobRef) -> Blob:
    upload = await account.uploads.open(account.id, ref.digest)
    if upload is None:
        raise BlobNotFound(blob_id)
    return Blob(blob_id, await _begun(upload.chunks(), "binary", blob_id), upload.size_octets, upload.type)


async def _open_nested(account: Account, blob_id: str, ref: BlobRef, depth: int) -> Blob:
    """Open a part of a message that is a blob itself."""
    outer = await _open(account, ref.email_id, depth=depth + 1)
    try:
        message = await _parse(await _read(outer, MAX_PARSED_OCTETS))
    except BlobTooLarge:
        raise BlobNotFound(blob_id) from None
    part = _part(message.root, ref.section)
    if part is None:
        raise BlobNotFound(blob_id)
    octets, _problem = decode_transfer(message.section(part.section), part.encoding)
    return Blob(blob_id, _one(octets), len(octets), part.type, part.name)


def _is_blob(id: str) -> bool:
    """Tell whether an id in an email's place is a blob's. No upstream's EMAILID looks like one of ours."""
    return parse_blob_id(id) is not None


def _part(root: Part | None, section: str) -> Part | None:
    """Return the leaf with this section."""
    if root is None:
        return None
    return next((part for part in root.walk() if part.section == section and not part.is_multipart), None)


async def _begun(source: AsyncIterator[bytes], encoding: str, blob_id: str) -> AsyncGenerator[bytes, None]:
    """Wait for the first octets, so that a message that is gone is an answer and not a broken one."""
    chunks = _stream(source, encoding, blob_id)
    await anext(chunks)
    return chunks


async def _stream(source: AsyncIterator[bytes], encoding: str, blob_id: str) -> AsyncGenerator[bytes, None]:
    """Yield b"" when the first octets are there, then all of them, decoded. Closing this closes the source."""
    decode, is_begun = decoder(encoding), False
    try:
        async for chunk in source:
            if not is_begun:
                is_begun = True
                yield b""
            if octets := decode.feed(chunk):
                yield octets
        if not is_begun:
            yield b""
        if octets := decode.finish():
            yield octets
    except SectionVanished:
        raise BlobNotFound(blob_id) from None
    finally:
        # It may hold a connection to the upstream; garbage collection would give that back too late.
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _one(octets: bytes) -> AsyncGenerator[bytes, None]:
    if octets:
        yield octets


async def _read(blob: Blob, max_octets: int) -> bytes:
    async with aclosing(blob.chunks) as chunks:
        if blob.size_octets is not None and blob.size_octets > max_octets:
            raise BlobTooLarge(blob.id)
        octets = bytearray()
        async for chunk in chunks:
            octets += chunk
            if len(octets) > max_octets:
                raise BlobTooLarge(blob.id)
        return bytes(octets)


async def _parse(octets: bytes) -> ParsedMessage:
    if len(octets) <= PARSED_AT_ONCE_OCTETS:
        return parse_message(octets)
    return await asyncio.to_thread(parse_message, octets)
