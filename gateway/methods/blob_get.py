"""Blob/get (RFC 9404 section 4.2): the octets of blobs, or a range of them, in JSON; digests and sizes.

Rule 1: blobs are read one after another; what is shown of all of them together is bounded, and so is what is read.
Rule 2: a size alone costs no octet of the blob, where the index or the store knows it.
Rule 3: octets that are UTF-8 but may not stand in I-JSON (RFC 7493 section 2.1) are an encoding problem: anything else
would show other octets than there are.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from gateway.account.account import Account
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.errors import MethodError
from gateway.jmap.method import Arguments, Context
from gateway.jmap.objects.blob import BLOB, DIGEST
from gateway.jmap.strict_json import has_noncharacter
from gateway.methods import standard
from gateway.methods.blob_range import Allowance, BlobRange, ReadTooMuch
from gateway.methods.blob_source import BlobNotFound, find_blob, prepare_blobs

BLOB_GET: Mapping[str, Argument] = {
    **standard.GET,
    "offset": Argument(types.nullable(types.is_unsigned_int)),
    "length": Argument(types.nullable(types.is_unsigned_int)),
}
# Of octets shown by one call: as much as a request may hold. A client that wants more has the downloadUrl, or ranges.
MAX_SHOWN_OCTETS = 10_000_000
# Less than this is put into JSON's form at once; for more a thread is worth its price.
SHOWN_AT_ONCE_OCTETS = 256 * 1024

_ALGORITHMS = {"sha": hashlib.sha1, "sha-256": hashlib.sha256}
_DATA = frozenset({"data", "data:asText", "data:asBase64"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be shown of each blob."""

    names: frozenset[str]
    digests: tuple[str, ...]  # the algorithms
    offset_octets: int
    length_octets: int | None

    @property
    def has_data(self) -> bool:
        return not _DATA.isdisjoint(self.names)


async def get(context: Context, arguments: Arguments) -> Arguments:
    """Blob/get."""
    checked = check_arguments(arguments, BLOB_GET)
    account = standard.account_of(context, checked["accountId"], BLOB.capability)
    names = standard.requested_properties(BLOB, checked["properties"], context.using)
    ids = standard.requested_ids(context, checked["ids"])
    if ids is None:
        raise MethodError("invalidArguments", "ids: blobs cannot be listed")
    wanted = Wanted(
        frozenset(names),
        tuple(name.removeprefix(DIGEST) for name in names if name.startswith(DIGEST)),
        checked["offset"] or 0,
        checked["length"],
    )
    await prepare_blobs(account, ids, sizes="size" in wanted.names or wanted.length_octets is not None)
    shown: list[dict[str, Any]] = []
    not_found: list[str] = []
    allowance, left_octets = Allowance(), MAX_SHOWN_OCTETS
    for id in ids:
        try:
            blob, octets = await _show(account, id, wanted, allowance, left_octets)
        except BlobNotFound:
            not_found.append(id)
        except ReadTooMuch:
            raise MethodError("requestTooLarge", "ids: the blobs are too large for one call") from None
        else:
            shown.append(blob)
            left_octets -= octets
    return {"accountId": account.id, "list": shown, "notFound": not_found}


async def _show(
    account: Account, id: str, wanted: Wanted, allowance: Allowance, max_octets: int
) -> tuple[dict[str, Any], int]:
    """Return one blob as asked for, and how many octets of it are shown."""
    found = await find_blob(account, id)
    selected = BlobRange(found, allowance, offset_octets=wanted.offset_octets, length_octets=wanted.length_octets)
    digests = {name: _ALGORITHMS[name](usedforsecurity=False) for name in wanted.digests}
    held = bytearray()
    if wanted.has_data or digests:
        async with aclosing(selected.chunks()) as chunks:
            async for chunk in chunks:
                for digest in digests.values():
                    digest.update(chunk)
                if wanted.has_data:
                    held += chunk
                if len(held) > max_octets:
                    fault = f"ids: more than {MAX_SHOWN_OCTETS} octets of data; ask for ranges, or download them"
                    raise MethodError("requestTooLarge", fault)
    if selected.size_octets is None:
        whole = BlobRange(found, allowance)
        await whole.drain()
        selected.size_octets = whole.size_octets
    shown: dict[str, Any] = {"id": id}
    if len(held) <= SHOWN_AT_ONCE_OCTETS:
        shown |= _data(bytes(held), wanted.names)
    else:
        shown |= await asyncio.to_thread(_data, bytes(held), wanted.names)
    for name, digest in digests.items():
        shown[f"{DIGEST}{name}"] = b64encode(digest.digest()).decode()
    if "size" in wanted.names:
        shown["size"] = selected.size_octets
    if selected.is_short or "isTruncated" in wanted.names:
        shown["isTruncated"] = selected.is_short
    return shown, len(held)


def _data(octets: bytes, names: frozenset[str]) -> dict[str, Any]:
    """Return the data properties asked for."""
    shown: dict[str, Any] = {}
    as_text, as_base64 = not names.isdisjoint({"data", "data:asText"}), "data:asBase64" in names
    if as_text:
        text = _text(octets)
        shown["data:asText"] = text
        if text is None:
            shown["isEncodingProblem"] = True
            as_base64 = as_base64 or "data" in names
    if as_base64:
        shown["data:asBase64"] = b64encode(octets).decode()
    if "isEncodingProblem" in names:
        shown.setdefault("isEncodingProblem", False)
    return shown


def _text(octets: bytes) -> str | None:
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return None
    return None if has_noncharacter(octets) else text
