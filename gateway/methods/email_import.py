"""Email/import (RFC 8621 section 4.8): blobs that are messages become Emails.

Rule 1: a message is stored as it is, but for bare line ends and NULs, which no mail store keeps.
Rule 2: imports go one after another: one message is under way at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.account.account import Account
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.errors import SetError
from gateway.jmap.method import Arguments, Context
from gateway.jmap.objects.email import EMAIL
from gateway.jmap.reference import resolve_id, resolve_ids
from gateway.message.measure import measure
from gateway.methods.blob_source import BlobNotFound, find_blob, prepare_blobs
from gateway.methods.creations import Creation, check_creation, invalid
from gateway.methods.email_store import Mailboxes, new_email, store
from gateway.methods.outcomes import Attempts, Outcomes
from gateway.methods.reach import KNOWN
from gateway.methods.standard import account_of
from gateway.methods.standard_set import check_size, check_state, check_writable

EMAIL_IMPORT: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "ifInState": Argument(types.nullable(types.is_string)),
    "emails": Argument(types.map_of(types.is_id, types.is_object), required=True),
}
# The EmailImport object, in the words of a data type, so that it is checked like one.
_IMPORT = DataType(
    name="EmailImport",
    capability=EMAIL.capability,
    properties={
        "blobId": Property(types.is_id_or_reference, default=REQUIRED, is_reference=True),
        "mailboxIds": EMAIL.properties["mailboxIds"],
        "keywords": EMAIL.properties["keywords"],
        "receivedAt": Property(types.nullable(types.is_utc_date), is_nullable=True),
    },
)


async def import_emails(context: Context, arguments: Arguments) -> Arguments:
    """Email/import."""
    checked = check_arguments(arguments, EMAIL_IMPORT)
    account = account_of(context, checked["accountId"], EMAIL.capability)
    emails: Mapping[str, Any] = checked["emails"]
    check_size(context, emails)
    check_writable(account)
    await account.fresh(KNOWN)
    old_state = _state(account)
    check_state(checked["ifInState"], old_state, account, EMAIL.name)
    await prepare_blobs(account, [resolve_id(context, id) for id in _blob_ids(emails)], sizes=False)
    mailboxes, attempts, outcomes = Mailboxes(account), Attempts(), Outcomes()
    for key, given in emails.items():
        try:
            creation = _checked(context, mailboxes, key, given)
        except SetError as error:
            outcomes.add(key, error)
            continue
        outcome = await attempts.one(_import(account, creation))
        outcomes.add(key, outcome)
        if not isinstance(outcome, SetError):
            context.created_ids[key] = outcome["id"]
    return {
        "accountId": account.id,
        "oldState": old_state,
        "newState": _state(account),
        "created": outcomes.done or None,
        "notCreated": outcomes.errors(),
    }


def _state(account: Account) -> str:
    with account.snapshot() as snapshot:
        return snapshot.state("Email")


def _blob_ids(emails: Mapping[str, Any]) -> list[str]:
    ids = [given.get("blobId") for given in emails.values()]
    return [id for id in ids if types.is_id_or_reference(id) is None]


def _checked(context: Context, mailboxes: Mailboxes, key: str, given: Mapping[str, Any]) -> Creation:
    creation, faults = check_creation(
        _IMPORT, key, given, context.using, lambda _name, value: resolve_ids(context, value)
    )
    if "mailboxIds" in creation.properties and "keywords" in creation.properties:
        faults |= mailboxes.check_new(creation.properties["mailboxIds"], creation.properties["keywords"])
    if faults:
        raise invalid(faults)
    return creation


async def _import(account: Account, creation: Creation) -> Arguments:
    try:
        blob = await find_blob(account, creation.properties["blobId"])
        message = await measure(partial(blob.chunks, 0))
    except BlobNotFound:
        raise invalid({"blobId": "names no blob"}) from None
    if not message.is_message:
        raise SetError("invalidEmail", "the blob is not a message")
    return await store(account, new_email(message, creation.properties, received_at_s=message.received_at_s))
