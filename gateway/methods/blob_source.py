"""Any blob id opened: a whole message, a part without its transfer encoding, an upload (RFC 8620 section 6.2).

Rule 1: octets are streamed. Only a blob inside a parsed message is taken into memory, with that message, bounded.
Rule 2: a blob is found by the index and the store alone, without an octet of it; it opens or is not found, and the
first octets are there before it counts as open.

A part of a message that is itself a blob (an attached message, an upload) is named "p<section>_<blob id>"; one of a
message in a mailbox "p<section>_<email id>". So every part that Email/parse shows can be downloaded and parsed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from gateway.account.account import Account
from gateway.account.backend import WHOLE, SectionVanished
from gateway.account.ids import BlobRef, parse_blob_id
from gateway.account.scripts import SCRIPT
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


@dataclass(frozen=True, slots=True)
class FoundBlob:
    """A blob that exists as far as we know.

    `chunks` streams it from an offset on, as often as wanted. The first of them is empty: the octets are there.
    """

    id: str
    chunks: Callable[[int], AsyncGenerator[bytes, None]]
    can_seek: bool  # else `chunks` takes no offset but 0
    size_octets: int | None = None
    type: str | None = None
    name: str | None = None
    email_id: str | None = None  # of the Email that holds it


async def open_blob(account: Account, blob_id: str) -> Blob | None:
    """Open a blob of this account for a download; None: there is no such blob."""
    try:
        return await _open(await find_blob(account, blob_id))
    except BlobNotFound:
        return None


async def read_blob(account: Account, blob_id: str, *, max_octets: int) -> bytes:
    """Return a whole blob. Raise BlobNotFound, or BlobTooLarge past `max_octets`."""
    return await _read(await find_blob(account, blob_id), max_octets)


async def find_blob(account: Account, blob_id: str) -> FoundBlob:
    """Look a blob up without opening it. Raise BlobNotFound."""
    return await _find(account, blob_id, depth=0)


async def prepare_blobs(account: Account, blob_ids: Iterable[str], *, sizes: bool) -> None:
    """Load at once what finding each of many blobs needs: rows and structures, and the `sizes` of parts."""
    refs = [ref for ref in map(parse_blob_id, blob_ids) if ref is not None and not _is_blob(ref.email_id)]
    ids = list(dict.fromkeys(ref.email_id for ref in refs if ref.kind != "upload"))
    if not ids:
        return
    _state, rows = await load_rows(account, ids, structure=any(ref.kind == "part" for ref in refs))
    if not sizes:
        return
    lacking: dict[str, None] = {}
    for ref in refs:
        row = rows.get(ref.email_id)
        part = _part(row.structure, ref.section) if row is not None and ref.kind == "part" else None
        if part is not None and size_of(part) is None:
            lacking[ref.email_id] = None
    if lacking:
        await account.backend.load_sizes(list(lacking))


def parts_of(blob_id: str) -> str:
    """Return what stands for this blob, as a message, in the blob ids of its parts."""
    ref = parse_blob_id(blob_id)
    return ref.email_id if ref is not None and ref.kind == "message" else blob_id


async def parse_blob(account: Account, blob_id: str) -> tuple[ParsedMessage, int]:
    """Parse a blob as a message; return it with its size in octets. Raise BlobNotFound or BlobTooLarge."""
    octets = await read_blob(account, blob_id, max_octets=MAX_PARSED_OCTETS)
    return await _parse(octets), len(octets)


async def _find(account: Account, blob_id: str, *, depth: int) -> FoundBlob:
    ref = parse_blob_id(blob_id)
    if ref is None or depth > MAX_NESTING:
        raise BlobNotFound(blob_id)
    if ref.kind == "upload":
        return await _find_upload(account, blob_id, ref)
    if ref.kind == "part" and _is_blob(ref.email_id):
        return await _find_nested(account, blob_id, ref, depth)
    _state, rows = await load_rows(account, [ref.email_id], structure=ref.kind == "part")
    row = rows.get(ref.email_id)
    if row is None:
        raise BlobNotFound(blob_id)
    email_id, section, encoding = row.id, WHOLE, "binary"
    size_octets: int | None = row.size_octets
    type, name = "message/rfc822", None
    if ref.kind == "part":
        part = _part(row.structure, ref.section)
        if part is None:
            raise BlobNotFound(blob_id)
        section, encoding, type, name = part.section, part.encoding, part.type, part.name
        size_octets = size_of(part)

    def chunks(_offset_octets: int) -> AsyncGenerator[bytes, None]:
        return _stream(account.backend.stream_section(email_id, section), encoding, blob_id)

    return FoundBlob(blob_id, chunks, False, size_octets, type, name, email_id)


async def _find_upload(account: Account, blob_id: str, ref: BlobRef) -> FoundBlob:
    upload = await account.uploads.open(account.id, ref.digest)
    if upload is None:
        return await _find_script(account, blob_id, ref)

    def chunks(offset_octets: int) -> AsyncGenerator[bytes, None]:
        return _stream(upload.chunks(offset_octets), "binary", blob_id)

    return FoundBlob(blob_id, chunks, True, upload.size_octets, upload.type)


async def _find_script(account: Account, blob_id: str, ref: BlobRef) -> FoundBlob:
    """Find what was an upload, or looks like one, as the content of a SieveScript (RFC 9661 section 2.2)."""
    # What no script was ever known to hold is not asked of a server, which may be away.
    known = (await account.user_records.look(SCRIPT, None)).by_id if account.scripts is not None else {}
    if account.scripts is None or all(record["digest"] != ref.digest for record in known.values()):
        raise BlobNotFound(blob_id)
    if (content := await account.scripts.content(ref.digest)) is None:
        raise BlobNotFound(blob_id)
    octets = content

    async def chunks(offset_octets: int) -> AsyncGenerator[bytes, None]:
        yield b""
        yield octets[offset_octets:]

    return FoundBlob(blob_id, chunks, True, len(octets), "application/sieve")


async def _find_nested(account: Account, blob_id: str, ref: BlobRef, depth: int) -> FoundBlob:
    """Find a part of a message that is a blob itself."""
    outer = await _find(account, ref.email_id, depth=depth + 1)
    try:
        message = await _parse(await _read(outer, MAX_PARSED_OCTETS))
    except BlobTooLarge:
        raise BlobNotFound(blob_id) from None
    part = _part(message.root, ref.section)
    if part is None:
        raise BlobNotFound(blob_id)
    octets, _problem = decode_transfer(message.section(part.section), part.encoding)

    async def chunks(offset_octets: int) -> AsyncGenerator[bytes, None]:
        yield b""
        yield octets[offset_octets:]

    return FoundBlob(blob_id, chunks, True, len(octets), part.type, part.name, outer.email_id)


async def _open(found: FoundBlob) -> Blob:
    """Wait for the first octets, so that a message that is gone is an answer and not a broken one."""
    chunks = found.chunks(0)
    await anext(chunks)
    return Blob(found.id, chunks, found.size_octets, found.type, found.name)


def _is_blob(id: str) -> bool:
    """Tell whether an id in an email's place is a blob's. No upstream's EMAILID looks like one of ours."""
    return parse_blob_id(id) is not None


def _part(root: Part | None, section: str) -> Part | None:
    """Return the leaf with this section."""
    if root is None:
        return None
    return next((part for part in root.walk() if part.section == section and not part.is_multipart), None)


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
    except (SectionVanished, FileNotFoundError):  # an upload that expires meanwhile is a file that is gone
        raise BlobNotFound(blob_id) from None
    finally:
        # It may hold a connection to the upstream; garbage collection would give that back too late.
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _read(blob: FoundBlob, max_octets: int) -> bytes:
    if blob.size_octets is not None and blob.size_octets > max_octets:
        raise BlobTooLarge(blob.id)
    octets = bytearray()
    async with aclosing(blob.chunks(0)) as chunks:
        async for chunk in chunks:
            octets += chunk
            if len(octets) > max_octets:
                raise BlobTooLarge(blob.id)
    return bytes(octets)


async def _parse(octets: bytes) -> ParsedMessage:
    if len(octets) <= PARSED_AT_ONCE_OCTETS:
        return parse_message(octets)
    return await asyncio.to_thread(parse_message, octets)
