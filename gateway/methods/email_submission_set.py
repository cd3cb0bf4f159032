"""EmailSubmission/set (RFC 8621 section 7.5): a message is sent, or taken back; the Email is changed or destroyed then.

Rule 1: everything is checked before the server for sending hears of the message. After it has taken it, no failure is
        reported.
Rule 2: the one thing that a client may change is `undoStatus`, from pending to canceled.
Rule 3: what `onSuccess…` asks is one Email/set at the end, for those submissions whose part of the call succeeded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.account.submitting import Prepared, Submitter
from gateway.account.user_records import Record
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.method import Arguments, Context, Registry, Responses
from gateway.jmap.objects.email_submission import EMAIL_SUBMISSION
from gateway.jmap.objects.identity import IDENTITY
from gateway.jmap.reference import resolve_id
from gateway.message.headers import as_message_ids
from gateway.methods import envelope, standard, standard_query
from gateway.methods.creations import Creation, Faults, invalid
from gateway.methods.email_rows import load_rows
from gateway.methods.email_set import EmailSetSource
from gateway.methods.email_submission import EmailSubmissionSource
from gateway.methods.identity import ensure_identities
from gateway.methods.outcomes import Attempts
from gateway.methods.reach import KNOWN
from gateway.methods.standard_records import RecordWrites
from gateway.methods.standard_set import SET, Call, Update, set_records

# A submission is a few hundred octets, and each /query reads them all: the oldest that are done make room.
MAX_SUBMISSIONS = 2000


class EmailSubmissionSetSource(EmailSubmissionSource):
    """Submissions for /set."""

    set_arguments: Mapping[str, Argument] = {
        "onSuccessUpdateEmail": Argument(types.nullable(types.map_of(types.is_id_or_reference, types.is_object))),
        "onSuccessDestroyEmail": Argument(types.nullable(types.is_ids_or_references)),
    }

    def writes(self, call: Call) -> EmailSubmissionWrites:
        return EmailSubmissionWrites(call)


class EmailSubmissionWrites(RecordWrites):
    """The writes of one EmailSubmission/set."""

    def __init__(self, call: Call) -> None:
        super().__init__(EMAIL_SUBMISSION, call)

    # ------------------------------------------------------------ create

    def check_create(self, creation: Creation) -> Faults:
        return {"undoStatus": "is set by the server on creation"} if creation.given("undoStatus") else {}

    async def create(self, creations: Sequence[Creation]) -> Mapping[str, Arguments | SetError]:
        submitter = self.account.submitter
        if submitter is None:
            raise SetError("forbiddenToSend", "this account has no server for sending")
        await self._make_room(len(creations))
        await self.account.fresh(KNOWN)
        await ensure_identities(self.account)
        identities = (await self.account.user_records.look(IDENTITY.name, None)).by_id
        attempts = Attempts()
        # Side by side: a server may take its time over each.
        made = await asyncio.gather(
            *(attempts.one(self._create(submitter, identities, creation)) for creation in creations)
        )
        return {creation.id: one for creation, one in zip(creations, made, strict=True)}

    async def _create(self, submitter: Submitter, identities: Mapping[str, Record], creation: Creation) -> Arguments:
        given = creation.properties
        _state, rows = await load_rows(self.account, [given["emailId"]])
        row, identity = rows.get(given["emailId"]), identities.get(given["identityId"])
        faults: Faults = {}
        if row is None:
            faults["emailId"] = "is of no Email"
        if identity is None:
            faults["identityId"] = "is of no Identity"
        if row is None or identity is None:
            raise invalid(faults)
        if given["envelope"] is not None:  # before the message is read
            envelope.check(given["envelope"], submitter.offers, self.account.own_addresses)
        prepared = await submitter.prepare(row.id)
        try:
            checked = self._checked(submitter, identity, given["envelope"], prepared)
            now_s = time.time()
            release_s = max(now_s, _release_s(checked, now_s))
            if release_s > now_s + submitter.offers.max_delay_s:
                text = f"envelope: a message is held for at most {submitter.offers.max_delay_s} s"
                raise SetError("invalidProperties", text, properties=["envelope"])
            submission: Record = {
                "identityId": given["identityId"],
                "emailId": row.id,
                "threadId": row.thread_id,
                "envelope": checked.envelope,
                "sendAt": _date(release_s),
                "dsnBlobIds": [],
                "mdnBlobIds": [],
                "messageId": _message_id(prepared),
            }
        except BaseException:
            await submitter.discard(prepared)
            raise
        record = await submitter.submit(prepared, submission, checked.sending, release_s=release_s)
        shown = {name: record[name] for name in EMAIL_SUBMISSION.properties if name in record}
        return {"id": prepared.id} | {
            name: value for name, value in shown.items() if not (creation.given(name) and given[name] == value)
        }

    def _checked(
        self, submitter: Submitter, identity: Record, given: Mapping[str, Any] | None, prepared: Prepared
    ) -> envelope.CheckedEnvelope:
        own = self.account.own_addresses
        senders = envelope.from_addresses(prepared.fields)
        if not senders:
            raise SetError("invalidEmail", "the message has no From", properties=["from"])
        if given is None:
            given = envelope.generate(prepared.fields, identity["email"], own)
        if any(sender not in own for sender in senders) and not envelope.is_redirected(prepared.fields, own):
            raise SetError("forbiddenFrom", "this is not an address that you may send from")
        return envelope.check(given, submitter.offers, own)

    # ------------------------------------------------------------ update, destroy

    def check_update(self, update: Update[Record]) -> Faults:
        status = update.changes.get("undoStatus")
        if status is None:
            return {}
        if status != "canceled":
            return {"undoStatus": "can be changed to canceled only"}
        if update.record["undoStatus"] != "pending":
            raise SetError("cannotUnsend", "the message has left already")
        return {}

    async def update(self, updates: Sequence[Update[Record]]) -> Mapping[str, Arguments | SetError | None]:
        attempts = Attempts()
        return {update.id: await attempts.one(self._cancel(update.id)) for update in updates}

    async def _cancel(self, id: str) -> Arguments | None:
        if self.account.submitter is None:
            raise SetError("cannotUnsend", "this account has no server for sending")
        record = await self.account.submitter.cancel(id)
        return {"deliveryStatus": record["deliveryStatus"]}

    async def destroy(self, records: Mapping[str, Record]) -> Mapping[str, SetError]:
        async with self.account.user_records.lock:
            return await super().destroy(records)

    async def _make_room(self, wanted: int) -> None:
        """Destroy the oldest submissions that are done (section 7 allows it), where there are too many."""
        records = self.account.user_records
        async with records.lock:
            all_of_them = (await records.look(EMAIL_SUBMISSION.name, None)).by_id
            done = [id for id, record in all_of_them.items() if record["undoStatus"] != "pending"]
            excess = len(all_of_them) + wanted - MAX_SUBMISSIONS
            if excess > 0 and done:
                await records.write(EMAIL_SUBMISSION.name, dict.fromkeys(done[:excess]))


_SOURCE = EmailSubmissionSetSource()
_EMAILS = EmailSetSource()


async def set_submissions(context: Context, arguments: Arguments) -> Arguments | Responses:
    """EmailSubmission/set, and the Email/set that it implies."""
    checked = check_arguments(arguments, {**SET, **_SOURCE.set_arguments})
    account = standard.account_of(context, checked["accountId"], EMAIL_SUBMISSION.capability)
    before: Mapping[str, Record] = {}
    if _asks_for_more(checked) and (checked["destroy"] or checked["update"]):
        before = (await account.user_records.look(EMAIL_SUBMISSION.name, None)).by_id
    answer = await set_records(_SOURCE, context, arguments)
    if not _asks_for_more(arguments):
        return answer
    done = {key: made["id"] for key, made in (answer["created"] or {}).items()}
    emails: dict[str, str] = {}
    after = (await account.user_records.look(EMAIL_SUBMISSION.name, None)).by_id
    for id in {*done.values(), *(answer["updated"] or ()), *(answer["destroyed"] or ())}:
        record = after.get(id) or before.get(id)
        if record is not None:
            emails[id] = record["emailId"]
    implied = _implied(context, arguments, emails)
    if implied is None:
        return answer
    try:
        response = await set_records(_EMAILS, context, {"accountId": answer["accountId"], **implied})
    except MethodError as error:
        return Responses((("EmailSubmission/set", answer), ("error", error.arguments())))
    return Responses((("EmailSubmission/set", answer), ("Email/set", response)))


def _asks_for_more(arguments: Arguments) -> bool:
    return bool(arguments.get("onSuccessUpdateEmail")) or bool(arguments.get("onSuccessDestroyEmail"))


def _implied(context: Context, arguments: Arguments, emails: Mapping[str, str]) -> Arguments | None:
    """Return the arguments of the implied Email/set; None where nothing succeeded."""
    update: dict[str, Any] = {}
    for key, patch in (arguments.get("onSuccessUpdateEmail") or {}).items():
        if (email_id := emails.get(resolve_id(context, key))) is not None:
            update[email_id] = {**update.get(email_id, {}), **patch}
    keys = [resolve_id(context, key) for key in arguments.get("onSuccessDestroyEmail") or ()]
    destroy = list(dict.fromkeys(emails[key] for key in keys if key in emails))
    return {"update": update or None, "destroy": destroy or None} if update or destroy else None


def _release_s(checked: envelope.CheckedEnvelope, now_s: float) -> float:
    if checked.until_s is not None:
        return checked.until_s
    return now_s + (checked.delay_s or 0.0)


def _message_id(prepared: Prepared) -> str | None:
    values = [value for name, value in prepared.fields if name.lower() == "message-id"]
    ids = as_message_ids(values[-1]) if values else None
    return ids[0] if ids else None


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def register(registry: Registry) -> None:
    standard.register(
        registry,
        EmailSubmissionSource(),
        {
            "get": standard.get,
            "changes": standard.changes,
            "query": standard_query.query,
            "queryChanges": standard_query.query_changes,
        },
    )
    registry.add("EmailSubmission/set", EMAIL_SUBMISSION.capability, set_submissions)
