"""SieveScript/get, /query, /set and /validate (RFC 9661 section 2).

Rule 1: the blobId of a script is that of an upload of the same octets: what a script holds can be downloaded as long as
    there is such a script, and a script made of an upload has the upload's blobId.
Rule 2: the vacation's own script is shown like any other. It may be switched on and off here, and neither changed nor
    destroyed (section 4).
Rule 3: switching is done when every creation, update and destruction has succeeded, and never undoes one. What it could
    not do is not reported as done.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from gateway.account.account import Account
from gateway.account.ids import upload_blob_id
from gateway.account.scripts import SCRIPT, Scripts
from gateway.account.user_records import Record, RecordsView
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.capability import MAX_SIZE_SCRIPT, SIEVE
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.method import Arguments, Context, Registry
from gateway.jmap.objects.sieve_script import SIEVE_SCRIPT
from gateway.jmap.reference import resolve_id
from gateway.message.subject import unicode_casemap
from gateway.methods import standard, standard_query
from gateway.methods.blob_source import BlobNotFound, BlobTooLarge, read_blob
from gateway.methods.creations import Creation, Faults, invalid
from gateway.methods.outcomes import Attempts
from gateway.methods.standard_query import Rules
from gateway.methods.standard_set import Call, Update, set_records

VALIDATE: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "blobId": Argument(types.is_id_or_reference, required=True),
}

GETTERS: Mapping[str, Callable[[Record], Any]] = {
    "name": lambda record: record["name"],
    "blobId": lambda record: upload_blob_id(record["digest"]),
    "isActive": lambda record: record["isActive"],
}

log = logging.getLogger(__name__)


class SieveScriptSource:
    """The scripts of an account, for the standard methods."""

    data_type = SIEVE_SCRIPT
    tells_updated_properties = False
    getters: Mapping[str, Callable[[Record], Any]] = GETTERS
    rules: Rules[Record] = Rules(
        conditions={
            "name": lambda record, value: unicode_casemap(value) in unicode_casemap(record["name"]),
            "isActive": lambda record, value: record["isActive"] is value,
        },
        sort_keys={
            "name": lambda record, fold: fold(record["name"]),
            "isActive": lambda record, fold: record["isActive"],
        },
        strings=frozenset({"name"}),
    )
    # An id that does not fit is to be ignored, not refused (section 2.4).
    set_arguments: Mapping[str, Argument] = {
        "onSuccessActivateScript": Argument(types.is_any),
        "onSuccessDeactivateScript": Argument(types.nullable(types.is_boolean)),
    }

    @asynccontextmanager
    async def look(self, account: Account, ids: Sequence[str] | None = ()) -> AsyncIterator[RecordsView]:
        await scripts_of(account).refresh()
        yield await account.user_records.look(SCRIPT, ids)

    async def state(self, account: Account) -> str:
        return await account.user_records.state(SCRIPT)

    def writes(self, call: Call) -> SieveScriptWrites:
        return SieveScriptWrites(call)


class SieveScriptWrites:
    """The writes of one SieveScript/set."""

    def __init__(self, call: Call) -> None:
        self._account, self._scripts = call.account, scripts_of(call.account)

    async def current(self, record: Record, names: Collection[str]) -> Mapping[str, Any]:
        return {}  # there is a getter for every property

    def check_create(self, creation: Creation) -> Faults:
        return {}

    def check_update(self, update: Update[Record]) -> Faults:
        if update.record["isVacation"] and update.changes:
            raise SetError("forbidden", "this SieveScript is changed by VacationResponse/set alone")
        if "name" in update.changes and update.changes["name"] is None:
            return {"name": "cannot be taken away"}
        return {}

    async def create(self, creations: Sequence[Creation]) -> Mapping[str, Arguments | SetError]:
        attempts = Attempts()
        return {creation.id: await attempts.one(self._create(creation)) for creation in creations}

    async def _create(self, creation: Creation) -> Arguments:
        given = creation.properties
        id = await self._scripts.create(given["name"], await self._content(given["blobId"]))
        made = await self._shown(id)
        return {"id": id} | {name: value for name, value in made.items() if given.get(name) != value}

    async def update(self, updates: Sequence[Update[Record]]) -> Mapping[str, Arguments | SetError | None]:
        attempts = Attempts()
        return {update.id: await attempts.one(self._update(update)) for update in updates}

    async def _update(self, update: Update[Record]) -> Arguments | None:
        changes = update.changes
        content = await self._content(changes["blobId"]) if "blobId" in changes else None
        await self._scripts.change(update.id, name=changes.get("name"), content=content)
        made = await self._shown(update.id)
        return {name: made[name] for name, value in changes.items() if made[name] != value} or None

    async def destroy(self, records: Mapping[str, Record]) -> Mapping[str, SetError]:
        attempts, failed = Attempts(), {}
        for id, record in records.items():
            outcome = await attempts.one(self._destroy(id, record))
            if isinstance(outcome, SetError):
                failed[id] = outcome
        return failed

    async def _destroy(self, id: str, record: Record) -> None:
        if record["isVacation"]:
            raise SetError("forbidden", "this SieveScript is the VacationResponse's")
        if record["isActive"]:
            raise SetError("sieveIsActive")
        await self._scripts.destroy(id)

    async def _content(self, blob_id: str) -> bytes:
        """Return what is to become a script (section 2.2). Raise SetError."""
        try:
            return checked(await read_blob(self._account, blob_id, max_octets=MAX_SIZE_SCRIPT))
        except BlobNotFound:
            raise invalid({"blobId": "is not the id of a blob of this account"}) from None
        except BlobTooLarge:
            raise SetError("tooLarge", f"a SieveScript may have at most {MAX_SIZE_SCRIPT} octets") from None

    async def _shown(self, id: str) -> Mapping[str, Any]:
        view = await self._account.user_records.look(SCRIPT, (id,))
        if id not in view.by_id:
            raise SetError("serverFail", "the SieveScript was stored and is gone again")
        return {name: of(view.by_id[id]) for name, of in GETTERS.items()}


async def set_scripts(source: SieveScriptSource, context: Context, arguments: Arguments) -> Arguments:
    """SieveScript/set (section 2.4)."""
    response = await set_records(source, context, arguments)
    activated, deactivates = arguments.get("onSuccessActivateScript"), arguments.get("onSuccessDeactivateScript")
    if any(response[name] for name in ("notCreated", "notUpdated", "notDestroyed")):
        return response
    account: Account = context.accounts[response["accountId"]]
    scripts, known = scripts_of(account), (await account.user_records.look(SCRIPT, None)).by_id
    chosen: str | None = None
    if types.is_id_or_reference(activated) is None:
        id = resolve_id(context, str(activated))
        chosen = id if id in known else None
    if chosen is None and not deactivates:
        return response
    try:
        switched = await scripts.activate(chosen)
    except (SetError, MethodError) as error:
        log.warning("sieve_not_switched", extra={"account": account.id, "error": error.kind})
        return response
    if switched.deactivated is not None:
        _report(response, switched.deactivated, is_active=False)
    if switched.activated is not None:
        _report(response, switched.activated, is_active=True)
    response["newState"] = await source.state(account)
    return response


def _report(response: Arguments, id: str, *, is_active: bool) -> None:
    """Tell in `created` or `updated` what has become of isActive."""
    made = next((one for one in (response["created"] or {}).values() if one["id"] == id), None)
    if made is None:
        response["updated"] = response["updated"] or {}
        made = response["updated"][id] = response["updated"].get(id) or {}
    made["isActive"] = is_active


async def validate(context: Context, arguments: Arguments) -> Arguments:
    """SieveScript/validate (section 2.6)."""
    given = check_arguments(arguments, VALIDATE)
    account = standard.account_of(context, given["accountId"], SIEVE)
    blob_id = resolve_id(context, given["blobId"])
    error: SetError | None = None
    try:
        await scripts_of(account).validate(checked(await read_blob(account, blob_id, max_octets=MAX_SIZE_SCRIPT)))
    except BlobNotFound:
        raise MethodError("invalidArguments", "blobId: is not the id of a blob of this account") from None
    except BlobTooLarge:
        error = SetError("invalidSieve", f"a SieveScript may have at most {MAX_SIZE_SCRIPT} octets")
    except SetError as refused:
        if refused.kind == "serverFail":
            raise MethodError("serverUnavailable", refused.description) from None
        error = SetError("invalidSieve", refused.description)
    return {"accountId": account.id, "error": None if error is None else error.object()}


def checked(content: bytes) -> bytes:
    """Return the octets of a script if they can be one (section 2.2). Raise `invalidSieve`."""
    if not content:
        raise SetError("invalidSieve", "a SieveScript has at least one character")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SetError("invalidSieve", f"line {line}: not UTF-8") from None
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise SetError("invalidSieve", f"line {line}: a NUL") from None
    return content


def scripts_of(account: Account) -> Scripts:
    """Return the scripts of an account that offers them."""
    if account.scripts is None:
        raise MethodError("accountNotSupportedByMethod")
    return account.scripts


def register(registry: Registry) -> None:
    source = SieveScriptSource()
    standard.register(registry, source, {"get": standard.get, "query": standard_query.query})
    registry.add("SieveScript/set", SIEVE, partial(set_scripts, source))
    registry.add("SieveScript/validate", SIEVE, validate)
