"""MDN/send (RFC 9007 section 2.1): receipts for messages whose senders have asked for them.

Rule 1: without `$mdnsent` in what `onSuccessUpdateEmail` sets of each Email the whole call is refused: nobody is sent
a second receipt.
Rule 2: a receipt goes to whom the message names, from an address of the identity, with an empty return path
(RFC 8098 section 3). None is sent for a receipt, none by a program that RFC 8098 section 2.1 wants a person to ask.
Rule 3: what is sent stays sent: the implicit Email/set is a response of its own, and an error of it is one too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.account.account import Account
from gateway.account.backend import HEADER, WHOLE, SectionRequest, SectionVanished
from gateway.account.own_addresses import matches
from gateway.account.records import EmailRow
from gateway.account.submitting import Submitter
from gateway.account.user_records import Record
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.capability import MAIL
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.method import Arguments, Context, Registry, Responses
from gateway.jmap.objects.identity import IDENTITY
from gateway.jmap.objects.mdn import MDN
from gateway.jmap.reference import resolve_id, resolve_ids
from gateway.message.build import NewMessage, Octets
from gateway.message.build_header import HeaderValueError
from gateway.message.build_notification import Notification, build_notification
from gateway.message.disposition import FIELDS
from gateway.message.headers import parse_fields
from gateway.message.receipt import ReceiptRequest, read_request
from gateway.message.report import typed_address
from gateway.methods import envelope, mdn_parse
from gateway.methods.creations import Creation, Faults, check_creation, invalid
from gateway.methods.email_create import new_message_id
from gateway.methods.email_rows import load_rows
from gateway.methods.email_set import EmailSetSource
from gateway.methods.email_shape import utc_date
from gateway.methods.email_store import Mailboxes
from gateway.methods.identity import ensure_identities
from gateway.methods.outcomes import Attempts, Outcomes
from gateway.methods.reach import KNOWN
from gateway.methods.standard_set import check_size, check_writable, set_records

MDN_SEND: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "identityId": Argument(types.is_id_or_reference, required=True),
    "send": Argument(types.map_of(types.is_id, types.is_object), required=True),
    "onSuccessUpdateEmail": Argument(types.nullable(types.map_of(types.is_id_or_reference, types.is_object))),
}
SENT_KEYWORD = "$mdnsent"

_SUBJECTS = {"deleted": "Not read", "displayed": "Read", "dispatched": "Forwarded", "processed": "Processed"}
_TEXTS = {
    "deleted": "The message was deleted. Whether it was read is not known.",
    "displayed": "The message was displayed. There is no guarantee that it was read or understood.",
    "dispatched": "The message was sent on to somewhere else.",
    "processed": "The message was processed without being displayed.",
}
# Of one receipt: a message must not make us write to crowds.
MAX_RECIPIENTS = 10
# What a server for sending refuses, in the words that section 2.1 has for it.
_FORBIDDEN = frozenset(("forbiddenToSend", "forbiddenMailFrom"))
_EMAILS = EmailSetSource()


class Sending:
    """MDN/send, and what is being sent just now: two calls at once must not send two receipts for one Email."""

    def __init__(self) -> None:
        self._under_way: set[tuple[str, str]] = set()

    async def send(self, context: Context, arguments: Arguments) -> Arguments | Responses:
        """Send, then make the Email/set that is implied."""
        checked = check_arguments(arguments, MDN_SEND)
        account = mdn_parse.mdn_account(context, checked["accountId"])
        if MAIL not in context.using:
            raise MethodError("unknownMethod", f"MDN/send needs {MAIL} in `using`")
        check_size(context, checked["send"])
        check_writable(account)
        _check_marks(checked["send"], checked["onSuccessUpdateEmail"] or {})
        submitter = account.submitter
        if submitter is None:
            raise MethodError("accountNotSupportedByMethod", "this account has no server for sending")
        await ensure_identities(account)
        identity_id = resolve_id(context, checked["identityId"])
        identity = (await account.user_records.look(IDENTITY.name, [identity_id])).by_id.get(identity_id)
        if identity is None:
            raise MethodError("invalidArguments", "identityId is of no Identity")
        outcomes, emails = Outcomes(), dict[str, str]()
        attempts = Attempts()
        await account.fresh(KNOWN)
        for key, given in checked["send"].items():
            work = self._one(context, account, submitter, identity, key, given)
            outcome = await attempts.one(work)
            if isinstance(outcome, SetError):
                outcomes.add(key, outcome)
            else:
                emails[key], told = outcome
                outcomes.add(key, told)
        response: Arguments = {
            "accountId": account.id,
            "sent": outcomes.done or None,
            "notSent": outcomes.errors(),
        }
        if not emails:
            return response
        update = {emails[key[1:]]: patch for key, patch in checked["onSuccessUpdateEmail"].items() if key[1:] in emails}
        try:
            implied = await set_records(_EMAILS, context, {"accountId": account.id, "update": update})
        except MethodError as error:
            return Responses((("MDN/send", response), ("error", error.arguments())))
        return Responses((("MDN/send", response), ("Email/set", implied)))

    async def _one(
        self, context: Context, account: Account, submitter: Submitter, identity: Record, key: str, given: Any
    ) -> tuple[str, Arguments]:
        """Send one; return the Email's id and what the client did not say. Raise SetError."""
        creation, faults = check_creation(
            MDN, key, given, context.using, lambda _name, value: resolve_ids(context, value)
        )
        faults |= _extension_faults(creation)
        if faults:
            raise invalid(faults)
        email_id = creation.properties["forEmailId"]
        claim = account.id, email_id
        if claim in self._under_way:
            raise _already_sent()
        self._under_way.add(claim)
        try:
            row, request = await _requested(account, email_id)
            final_recipient, sender = _final_recipient(account, identity, creation)
            notification = _notification(account, creation, row, request, final_recipient, sender)
            message = await _built(notification)
            try:
                await submitter.send(message.octets(), _envelope(account, submitter, request))
            except SectionVanished:
                raise SetError("notFound", "the Email is gone") from None
            except SetError as error:
                if error.kind in _FORBIDDEN:
                    raise SetError("forbidden", error.description) from None
                raise
        finally:
            self._under_way.discard(claim)
        told = {
            "originalMessageId": _enclosed(request.message_id),
            "originalRecipient": request.original_recipient,
            "finalRecipient": final_recipient,
            "subject": notification.subject,
            "textBody": notification.text,
            "mdnGateway": None,
            "error": None,
        }
        said = {name for name in creation.properties if creation.given(name) and creation.properties[name] is not None}
        return email_id, {name: value for name, value in {**creation.defaults, **told}.items() if name not in said}


def _check_marks(send: Mapping[str, Any], updates: Mapping[str, Any]) -> None:
    """Refuse a call that does not mark each Email as one that a receipt was sent for (section 2.1)."""
    for key in updates:
        if not key.startswith("#") or key[1:] not in send:
            raise MethodError("invalidArguments", "onSuccessUpdateEmail: a key is not `#` and a creation id of `send`")
    for key in send:
        patch = updates.get(f"#{key}", {})
        whole = patch.get("keywords")
        names = [name for name, value in whole.items() if value is True] if type(whole) is dict else []
        names += [name.removeprefix("keywords/") for name, value in patch.items() if value is True]
        if SENT_KEYWORD not in [name.lower() for name in names]:
            text = f"onSuccessUpdateEmail: does not set the keyword {SENT_KEYWORD} of each Email"
            raise MethodError("invalidArguments", text)


def _extension_faults(creation: Creation) -> Faults:
    names = [name.lower() for name in creation.properties.get("extensionFields") or ()]
    if FIELDS.intersection(names):
        return {"extensionFields": "has a field that is not an extension"}
    return {"extensionFields": "has a field twice"} if len(set(names)) < len(names) else {}


async def _requested(account: Account, email_id: str) -> tuple[EmailRow, ReceiptRequest]:
    """Return the Email and what its sender asks for, if a receipt may be sent. Raise SetError."""
    _state, rows = await load_rows(account, [email_id])
    row = rows.get(email_id)
    if row is None:
        raise SetError("notFound", "forEmailId is of no Email")
    if SENT_KEYWORD in row.keywords:
        raise _already_sent()
    headers = await account.backend.load_sections([SectionRequest(email_id, HEADER)])
    request = read_request(parse_fields(headers.get((email_id, HEADER), b"")))
    addresses = [address for address in request.addresses if envelope.is_address(address)]
    if not addresses or len(addresses) < len(request.addresses):
        raise SetError("notFound", "the Email has no valid Disposition-Notification-To")
    if len(addresses) > MAX_RECIPIENTS:
        raise SetError("forbidden", f"its sender asks for receipts to more than {MAX_RECIPIENTS} addresses")
    if request.is_receipt:
        raise SetError("forbidden", "the Email is a receipt itself (RFC 8098 section 2.1)")
    if request.demands:
        raise SetError("forbidden", "its sender demands something that is not known here (RFC 8098 section 2.2)")
    mailboxes = Mailboxes(account)
    mailboxes.need("maySetKeywords", row.mailbox_ids)  # else the Email cannot be marked
    return row, request


def _final_recipient(account: Account, identity: Record, creation: Creation) -> tuple[str, str]:
    """Return the Final-Recipient with its type, and its address. Raise `forbiddenFrom`."""
    email = str(identity["email"])
    given = creation.properties["finalRecipient"]
    if given is None:
        if email.startswith("*"):
            text = "finalRecipient must be given: the identity has many addresses"
            raise SetError("invalidProperties", text, properties=["finalRecipient"])
        given = email
    kind, address = typed_address(given)
    if kind not in ("rfc822", "utf-8") or not envelope.is_address(address):
        raise SetError("invalidProperties", "finalRecipient is not an address", properties=["finalRecipient"])
    if not matches(email, address) or address not in account.own_addresses:
        raise SetError("forbiddenFrom", "finalRecipient is not an address of the identity")
    kind = "rfc822" if address.isascii() else "utf-8"
    return (given if ";" in given else f"{kind}; {address}"), address


def _notification(
    account: Account,
    creation: Creation,
    row: EmailRow,
    request: ReceiptRequest,
    final_recipient: str,
    sender: str,
) -> Notification:
    given = creation.properties
    disposition = given["disposition"]
    if disposition["sendingMode"] == "mdn-sent-automatically" and not request.may_be_automatic:
        text = "RFC 8098 section 2.1 wants a person to be asked: the address is not that of the Return-Path alone"
        raise SetError("forbidden", text)
    original = None
    if given["includeOriginalMessage"]:
        original = Octets(partial(_whole, account, row.id))
    subject = f"{_SUBJECTS[disposition['type']]}: {row.summary.subject or ''}".rstrip(": ")
    address = {"name": None, "email": sender}
    return Notification(
        sender=address,
        recipients=request.addresses,
        date=utc_date(int(time.time())),
        message_id=new_message_id({"from": [address]}),
        subject=subject if given["subject"] is None else given["subject"],
        text=_TEXTS[disposition["type"]] if given["textBody"] is None else given["textBody"],
        action_mode=disposition["actionMode"],
        sending_mode=disposition["sendingMode"],
        type=disposition["type"],
        final_recipient=final_recipient,
        original_recipient=request.original_recipient,
        original_message_id=request.message_id,
        reporting_ua=given["reportingUA"],
        extension_fields=given["extensionFields"] or {},
        original=original,
    )


def _envelope(account: Account, submitter: Submitter, request: ReceiptRequest) -> Mapping[str, Any]:
    """Return an envelope that no report comes back to (RFC 8098 section 3, RFC 3461 section 4.1)."""
    parameters = {"NOTIFY": "NEVER"} if "DSN" in submitter.offers.extensions else None
    recipients = [{"email": address, "parameters": parameters} for address in request.addresses]
    asked = {"mailFrom": {"email": "", "parameters": None}, "rcptTo": recipients}
    return envelope.check(asked, submitter.offers, account.own_addresses).sending


async def _built(notification: Notification) -> NewMessage:
    try:
        return await build_notification(notification)
    except HeaderValueError as error:
        raise SetError("invalidProperties", f"a value {error}", properties=["extensionFields", "subject"]) from None
    except SectionVanished:
        raise SetError("notFound", "the Email is gone") from None


def _whole(account: Account, email_id: str) -> Any:
    return account.backend.stream_section(email_id, WHOLE)


def _already_sent() -> SetError:
    return SetError("mdnAlreadySent", f"the keyword {SENT_KEYWORD} is set")


def _enclosed(message_id: str | None) -> str | None:
    return None if message_id is None else f"<{message_id}>"


def register(registry: Registry) -> None:
    registry.add("MDN/send", MDN.capability, Sending().send)
    registry.add("MDN/parse", MDN.capability, mdn_parse.parse)
