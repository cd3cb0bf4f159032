"""POST to the uploadUrl: octets in, a blob id out (RFC 8620 section 6.1)."""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from gateway.account.ids import upload_blob_id
from gateway.jmap.encode import encode
from gateway.jmap.errors import RequestError
from gateway.web.answers import json_answer
from gateway.web.body import chunks
from gateway.web.problems import NotFound
from gateway.web.site import SITE

DEFAULT_TYPE = "application/octet-stream"
_TYPE = re.compile(r"[!-~][ -~]{0,254}")  # what a header may hold; the type is the client's word, kept as it is


async def post_upload(request: web.Request) -> web.StreamResponse:
    site = request.app[SITE]
    caller, account = await site.account(request, request.match_info["account_id"])
    if account is None:
        raise NotFound("There is no such account.")
    with site.uploads.slot(caller.account_id):
        maximum = site.limits.max_size_upload
        detail = f"An upload may have at most {maximum} octets."
        too_large = RequestError("limit", detail, status=413, limit="maxSizeUpload")
        media_type = request.headers.get(hdrs.CONTENT_TYPE, "").strip()
        if not _TYPE.fullmatch(media_type):
            media_type = DEFAULT_TYPE
        stored = await account.uploads.put(account.id, chunks(request, too_large, maximum), media_type)
    answer = {
        "accountId": account.id,
        "blobId": upload_blob_id(stored.digest),
        "type": stored.type,
        "size": stored.size_octets,
    }
    return await json_answer(request, encode(answer), status=201)
