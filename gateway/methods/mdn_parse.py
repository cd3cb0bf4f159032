"""MDN/parse (RFC 9007 section 2.2): blobs as disposition notifications.

Rule 1: what has a disposition that section 2 has no word for is not parsable.
Rule 2: `forEmailId` is looked for where the login keeps what it has sent, by Message-ID; two with the same are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.account.account import Account
from gateway.account.records import Need, TextCriterion
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.errors import MethodError
from gateway.jmap.method import Arguments, Context
from gateway.jmap.objects.mdn import DISPOSITION_TYPES, MDN
from gateway.message.disposition import DispositionReport, disposition_report_of
from gateway.methods import standard
from gateway.methods.blob_source import BlobNotFound, BlobTooLarge, parse_blob

MDN_PARSE: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "blobIds": Argument(types.is_ids_or_references, required=True),
}
# Of one call: each is a search upstream. What is past it has no forEmailId, as section 2.2 allows.
MAX_LOOKED_UP = 50


def mdn_account(context: Context, account_id: str) -> Account:
    """Return the account; one that is not there is `invalidArguments` here (sections 2.1 and 2.2)."""
    try:
        return standard.account_of(context, account_id, MDN.capability)
    except MethodError as error:
        if error.kind != "accountNotFound":
            raise
        raise MethodError("invalidArguments", "accountId: there is no such account") from None


async def parse(context: Context, arguments: Arguments) -> Arguments:
    """MDN/parse."""
    checked = check_arguments(arguments, MDN_PARSE)
    account = mdn_account(context, checked["accountId"])
    parsed: dict[str, Any] = {}
    not_parsable: list[str] = []
    not_found: list[str] = []
    sources = _Sources(account)
    for blob_id in standard.requested_ids(context, checked["blobIds"], argument="blobIds") or ():
        try:
            message, _size_octets = await parse_blob(account, blob_id)
        except BlobNotFound:
            not_found.append(blob_id)
            continue
        except BlobTooLarge:
            not_parsable.append(blob_id)
            continue
        report = disposition_report_of(message)
        if report is None or report.type not in DISPOSITION_TYPES:
            not_parsable.append(blob_id)
        else:
            parsed[blob_id] = shown(report, await sources.email_id(report.message_id))
    return {
        "accountId": account.id,
        "parsed": parsed or None,
        "notParsable": not_parsable or None,
        "notFound": not_found or None,
    }


def shown(report: DispositionReport, email_id: str | None) -> dict[str, Any]:
    """Return the MDN object."""
    return {
        "forEmailId": email_id,
        "subject": report.subject,
        "textBody": report.text,
        "includeOriginalMessage": report.has_whole_message,
        "reportingUA": report.reporting_ua,
        "disposition": {
            "actionMode": report.action_mode,
            "sendingMode": report.sending_mode,
            "type": report.type,
        },
        "mdnGateway": report.gateway,
        "originalRecipient": report.original_recipient,
        "finalRecipient": report.final_recipient,
        "originalMessageId": report.original_message_id,
        "error": list(report.errors) or None,
        "extensionFields": dict(report.extension_fields) or None,
    }


class _Sources:
    """Finds the Emails that notifications are about, for one call."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._found: dict[str, str | None] = {}

    async def email_id(self, message_id: str | None) -> str | None:
        """Return the id of the one Email that was sent with this Message-ID."""
        if message_id is None:
            return None
        if message_id not in self._found:
            is_allowed = len(self._found) < MAX_LOOKED_UP
            self._found[message_id] = await self._look(message_id) if is_allowed else None
        return self._found[message_id]

    async def _look(self, message_id: str) -> str | None:
        await self._account.fresh(Need())
        with self._account.snapshot() as snapshot:
            sent = frozenset(row.facts.id for row in snapshot.mailboxes() if row.facts.role == "sent")
        if not sent:
            return None
        await self._account.fresh(Need(mailbox_ids=sent))
        criterion = TextCriterion("header", (message_id,), "Message-ID")
        ids = await self._account.backend.search(criterion, sent)
        with self._account.snapshot() as snapshot:
            rows = snapshot.emails(ids)
        exact = [id for id, row in rows.items() if row.summary.message_id == [message_id]]
        return exact[0] if len(exact) == 1 else None
