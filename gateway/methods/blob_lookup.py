"""Blob/lookup (RFC 9404 section 4.3): the Emails, Threads and Mailboxes in which a blob can be found.

Rule 1: a blob id says which Email it is in (`account.ids`), so nothing is searched; what is in no Email, an upload,
is in nothing. That an Email holds the same octets as an upload is not known.
Rule 2: every blob asked for is in the list, with an empty array for each type in which it was not found: a blob that
does not exist looks like one that nothing refers to. What cannot be the id of a blob is in `notFound` as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.account.account import Account
from gateway.account.ids import parse_blob_id
from gateway.account.records import EmailRow
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.capability import BLOB_TYPE_NAMES, MAIL
from gateway.jmap.errors import MethodError
from gateway.jmap.method import Arguments, Context
from gateway.jmap.objects.blob import BLOB
from gateway.methods import standard
from gateway.methods.blob_source import BlobNotFound, find_blob, prepare_blobs
from gateway.methods.email_rows import load_rows

BLOB_LOOKUP: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "typeNames": Argument(types.is_strings, required=True),
    "ids": Argument(types.is_ids_or_references, required=True),
}


async def lookup(context: Context, arguments: Arguments) -> Arguments:
    """Blob/lookup."""
    checked = check_arguments(arguments, BLOB_LOOKUP)
    account = standard.account_of(context, checked["accountId"], BLOB.capability)
    names: Sequence[str] = checked["typeNames"]
    for name in names:
        # All of them are of one capability, which the request must name (section 4.3).
        if name not in BLOB_TYPE_NAMES or MAIL not in context.using:
            raise MethodError("unknownDataType", f"typeNames: {name!r:.80}")
    ids = standard.requested_ids(context, checked["ids"]) or []
    holders = await _holders(account, ids)
    return {
        "accountId": account.id,
        "list": [{"id": id, "matchedIds": _matched(holders.get(id), names)} for id in ids],
        "notFound": [id for id in ids if parse_blob_id(id) is None],
    }


async def _holders(account: Account, blob_ids: Sequence[str]) -> dict[str, EmailRow]:
    """Return the Email that holds each blob, by blob id; those in none are left out."""
    await prepare_blobs(account, blob_ids, sizes=False)
    email_ids: dict[str, str] = {}
    for blob_id in blob_ids:
        try:
            found = await find_blob(account, blob_id)
        except BlobNotFound:
            continue
        if found.email_id is not None:
            email_ids[blob_id] = found.email_id
    _state, rows = await load_rows(account, list(dict.fromkeys(email_ids.values())))
    return {blob_id: rows[email_id] for blob_id, email_id in email_ids.items() if email_id in rows}


def _matched(row: EmailRow | None, names: Sequence[str]) -> dict[str, Any]:
    matched: dict[str, list[str]] = {name: [] for name in names}
    if row is not None:
        ids = {"Email": [row.id], "Thread": [row.thread_id], "Mailbox": list(row.mailbox_ids)}
        matched.update((name, ids[name]) for name in names)
    return matched
