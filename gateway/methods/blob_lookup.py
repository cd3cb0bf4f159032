"""Blob/lookup (RFC 9404 section 4.3): the Emails, Threads, Mailboxes and SieveScripts in which a blob can be found.

Rule 1: a blob id says which Email it is in (`account.ids`), so nothing is searched; what is in no Email, an upload,
is in the SieveScripts that hold its octets. That an Email holds the same octets as an upload is not known.
Rule 2: every blob asked for is in the list, with an empty array for each type in which it was not found: a blob that
does not exist looks like one that nothing refers to. What cannot be the id of a blob is in `notFound` as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.account.account import Account
from gateway.account.ids import parse_blob_id, upload_blob_id
from gateway.account.records import EmailRow
from gateway.account.scripts import SCRIPT
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.capability import BLOB_TYPE_NAMES, MAIL, SIEVE
from gateway.jmap.errors import MethodError
from gateway.jmap.method import Arguments, Context
from gateway.jmap.objects.blob import BLOB
from gateway.methods import standard
from gateway.methods.blob_source import BlobNotFound, find_blob, prepare_blobs
from gateway.methods.email_rows import load_rows
from gateway.methods.sieve_script import scripts_of

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
    # The request must name the capability of each type (section 4.3).
    known = set(BLOB_TYPE_NAMES) if MAIL in context.using else set()
    if SIEVE in context.using and SIEVE in account.capabilities:
        known.add(SCRIPT)
    for name in names:
        if name not in known:
            raise MethodError("unknownDataType", f"typeNames: {name!r:.80}")
    ids = standard.requested_ids(context, checked["ids"]) or []
    holders = await _holders(account, ids)
    scripts = await _scripts(account) if SCRIPT in names else {}
    return {
        "accountId": account.id,
        "list": [{"id": id, "matchedIds": _matched(holders.get(id), scripts.get(id, []), names)} for id in ids],
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


async def _scripts(account: Account) -> dict[str, list[str]]:
    """Return the ids of the SieveScripts by their blob ids."""
    await scripts_of(account).refresh()
    found: dict[str, list[str]] = {}
    for id, record in (await account.user_records.look(SCRIPT, None)).by_id.items():
        found.setdefault(upload_blob_id(record["digest"]), []).append(id)
    return found


def _matched(row: EmailRow | None, scripts: list[str], names: Sequence[str]) -> dict[str, Any]:
    ids = {SCRIPT: scripts}
    if row is not None:
        ids |= {"Email": [row.id], "Thread": [row.thread_id], "Mailbox": list(row.mailbox_ids)}
    return {name: ids.get(name, []) for name in names}
