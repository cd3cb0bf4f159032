"""GET the downloadUrl: the octets of a blob, streamed (RFC 8620 section 6.2, RFC 9110 section 14).

Rule 1: Content-Type is what the client asked for, and the octets are a stranger's: a browser is told to save them and,
        should it show them, to run nothing.
Rule 2: a blob up to `HELD_OCTETS` is read whole, so its length is exact. A larger one announces its length only where
        that is known for sure: servers exist whose RFC822.SIZE is wrong, and a wrong length is a broken download.
Rule 3: a stream that fails half-way ends the connection, so that nobody takes a part for the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from urllib.parse import quote, unquote

from aiohttp import hdrs, web

from gateway.account.ids import parse_blob_id
from gateway.web.problems import NotFound, problem
from gateway.web.ranges import Unsatisfiable, parse_range
from gateway.web.site import SITE

HELD_OCTETS = 256 * 1024
SEND_TIMEOUT_S = 120.0  # a client that takes nothing of a chunk: it must not keep an IMAP connection for ever
MAX_NAME_CHARS = 255  # what file systems take
FOREVER = "private, immutable, max-age=31536000"  # RFC 8620 section 6.2
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
DEFAULT_TYPE = "application/octet-stream"

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf'{_TOKEN}/{_TOKEN}(?:\s*;\s*{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\\x00-\x1f\x7f-\uffff]|\\[ -~])*"))*')
_NOT_PLAIN = re.compile(r"[^ !#-$&-.0-9:-\[\]-~]")  # not in a quoted string that every browser reads alike

log = logging.getLogger("gateway.web")


async def get_download(request: web.Request) -> web.StreamResponse:
    site = request.app[SITE]
    account_id, blob_id = request.match_info["account_id"], request.match_info["blob_id"]
    _caller, account = await site.account(request, account_id)
    if account is None:
        raise NotFound("There is no such account.")
    etag = f'"{blob_id}"'
    ref = parse_blob_id(blob_id)
    if ref is None:
        raise NotFound("There is no such blob.")
    if request.if_none_match and any(tag.value in (blob_id, "*") for tag in request.if_none_match):
        return web.Response(status=304, headers={hdrs.ETAG: etag, hdrs.CACHE_CONTROL: FOREVER})
    blob = await site.open_blob(account, blob_id)
    if blob is None:
        raise NotFound("There is no such blob.")
    headers = {
        hdrs.CONTENT_TYPE: _type(request.query.get("type") or request.query.get("accept") or ""),
        hdrs.CONTENT_DISPOSITION: disposition(_name(request)),
        hdrs.CACHE_CONTROL: FOREVER,
        hdrs.ETAG: etag,
        hdrs.ACCEPT_RANGES: "bytes",
        "Content-Security-Policy": SANDBOX,
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    async with _closing(blob.chunks) as chunks:
        return await _send(request, headers, chunks, None if ref.kind == "message" else blob.size_octets)


async def _send(
    request: web.Request, headers: dict[str, str], chunks: AsyncIterator[bytes], size_octets: int | None
) -> web.StreamResponse:
    held = bytearray()
    is_whole = True
    async for chunk in chunks:
        held += chunk
        if len(held) > HELD_OCTETS:
            is_whole = False
            break
    if is_whole:
        size_octets = len(held)
    first, last = 0, None if size_octets is None else size_octets - 1
    status = 200
    if size_octets is not None and _range_holds(request, headers[hdrs.ETAG]):
        try:
            wanted = parse_range(request.headers.get(hdrs.RANGE, ""), size_octets)
        except Unsatisfiable:
            return problem(
                416, "The blob ends before this range.", headers={hdrs.CONTENT_RANGE: f"bytes */{size_octets}"}
            )
        if wanted is not None:
            (first, last), status = wanted, 206
            headers[hdrs.CONTENT_RANGE] = f"bytes {first}-{last}/{size_octets}"
    response = web.StreamResponse(status=status, headers=headers)
    if last is not None:
        response.content_length = last - first + 1
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        try:
            await _pour(response, bytes(held), chunks, first, last)
        except (ConnectionError, TimeoutError):
            _hang_up(request)
        except Exception as error:
            log.warning("download ended half-way", exc_info=error)
            _hang_up(request)
    return response


async def _pour(
    response: web.StreamResponse, held: bytes, chunks: AsyncIterator[bytes], first: int, last: int | None
) -> None:
    """Write the octets from `first` to `last`; raise when there are fewer than announced."""
    at = 0

    async def write(chunk: bytes) -> None:
        nonlocal at
        low, high = max(first - at, 0), len(chunk) if last is None else min(last + 1 - at, len(chunk))
        at += len(chunk)
        if low < high:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await response.write(chunk[low:high])

    await write(held)
    while last is None or at <= last:
        chunk = await anext(chunks, None)
        if chunk is None:
            break
        await write(chunk)
    if last is not None and at <= last:
        raise EOFError("the blob is shorter than announced")
    await response.write_eof()


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _range_holds(request: web.Request, etag: str) -> bool:
    """Tell whether Range is to be looked at: If-Range must name what we would send (RFC 9110 section 13.1.5)."""
    return hdrs.RANGE in request.headers and request.headers.get(hdrs.IF_RANGE, etag) == etag


@contextlib.asynccontextmanager
async def _closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Close the stream whatever happens: it may hold an IMAP connection."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def _type(asked: str) -> str:
    return asked if len(asked) <= 255 and _TYPE.fullmatch(asked) else DEFAULT_TYPE


def _name(request: web.Request) -> str:
    """Return the name in the URL, which may be empty and may hold encoded slashes."""
    pieces = request.rel_url.raw_path.partition("/jmap/download/")[2].split("/", 2)
    return unquote(pieces[2], errors="replace") if len(pieces) == 3 else ""


def disposition(name: str) -> str:
    """Return a Content-Disposition that saves under this name (RFC 6266, RFC 8187); no name can leave its place."""
    name = name[:MAX_NAME_CHARS].encode("utf-8", "replace").decode("utf-8")
    if not name:
        return "attachment"
    plain = _NOT_PLAIN.sub("_", name)
    if plain == name:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='!#$&+-.^_`|~')}"
