"""How Mailbox/set writes (RFC 8621 section 2.5); `standard_set` does the rest.

Rule 1: rights (`myRights`) are checked here, before the upstream is asked; the upstream has the last word.
Rule 2: what counts is the tree at the end of the call: mailboxes that take one another's names or places are changed
in the order that makes it possible, in a ring by way of a name that nobody has.
Rule 3: children are destroyed before their parents. A parent that was nothing but the path to a child goes with it.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gateway.account.account import Account
from gateway.account.backend import MailboxChange, NewMailbox
from gateway.account.principals import PRINCIPALS, principal_id
from gateway.account.records import MailboxRow
from gateway.jmap import types
from gateway.jmap.arguments import Argument
from gateway.jmap.capability import MAIL, MAX_SIZE_MAILBOX_NAME, PRINCIPALS_OWNER
from gateway.jmap.errors import SetError
from gateway.jmap.method import Arguments, Context, Registry
from gateway.jmap.objects.mailbox import MAILBOX
from gateway.methods.creations import Creation, Faults
from gateway.methods.mailbox import GETTERS, SHARE_GETTERS, MailboxSource
from gateway.methods.outcomes import Attempts
from gateway.methods.standard_set import Call, Update, set_records

# What a client may hear of when it changes without being asked for; counts move by themselves.
_TOLD = ("name", "parentId", "role", "sortOrder", "isSubscribed", "myRights")
_NO_CHILD = "no Mailbox may be created there, or moved there"


class MailboxSetSource(MailboxSource):
    """Mailboxes for /set."""

    set_arguments: Mapping[str, Argument] = {"onDestroyRemoveEmails": Argument(types.is_boolean, default=False)}

    async def state(self, account: Account) -> str:
        with account.snapshot() as snapshot:
            return snapshot.state("Mailbox")

    def writes(self, call: Call) -> MailboxWrites:
        return MailboxWrites(call)


class MailboxWrites:
    """The writes of one Mailbox/set."""

    def __init__(self, call: Call) -> None:
        self._account, self._backend, self._context = call.account, call.account.backend, call.context
        self._removes_emails: bool = call.arguments["onDestroyRemoveEmails"]

    async def current(self, record: MailboxRow, names: Collection[str]) -> Mapping[str, Any]:
        return {}  # a Mailbox has no properties that must be loaded

    # ------------------------------------------------------------ create

    def check_create(self, creation: Creation) -> Faults:
        given, rows = creation.properties, self._rows()
        faults = self._place_faults(rows, given)
        if "name" in given and (fault := _name_fault(given["name"])) is not None:
            faults["name"] = fault
        if (role := given.get("role")) is not None and _has_role(rows, role):
            faults["role"] = "is that of another Mailbox"
        return faults

    async def create(self, creations: Sequence[Creation]) -> Mapping[str, Arguments | SetError]:
        attempts = Attempts()
        return {creation.id: await attempts.one(self._create(creation)) for creation in creations}

    async def _create(self, creation: Creation) -> Arguments:
        given = creation.properties
        id = await self._backend.create_mailbox(
            NewMailbox(
                name=given["name"],
                parent_id=given["parentId"],
                role=given["role"],
                is_subscribed=given["isSubscribed"],
                sort_order=given["sortOrder"] if creation.given("sortOrder") else None,
            )
        )
        row = self._rows().get(id)
        if row is None:
            raise SetError("serverFail", "the Mailbox was created and is gone again")
        if given.get("shareWith"):
            try:
                await self._share(row, given["shareWith"])
            except SetError:
                await self._backend.destroy_mailbox(id)
                raise
        made = {name: of(row) for name, of in GETTERS.items()}
        return {"id": id} | {
            name: value for name, value in made.items() if not (creation.given(name) and given[name] == value)
        }

    # ------------------------------------------------------------ update

    def check_update(self, update: Update[MailboxRow]) -> Faults:
        rows, facts, changes = self._rows(), update.record.facts, update.changes
        faults: Faults = {}
        if "name" in changes or "parentId" in changes:
            if "mayRename" not in facts.rights:
                raise SetError("forbidden", "this Mailbox may not be renamed or moved")
            if "parentId" in changes:
                faults = self._place_faults(rows, changes)
            if changes.get("parentId") == update.id:
                faults["parentId"] = "is the Mailbox itself"
        if "name" in changes and (fault := _name_fault(changes["name"])) is not None:
            faults["name"] = fault
        if (role := changes.get("role")) is not None and _has_role(rows, role):
            faults["role"] = "is that of another Mailbox"
        if "shareWith" in changes and "mayShare" not in facts.rights:
            raise SetError("forbidden", "whom this Mailbox is shared with may not be changed")
        return faults

    async def update(self, updates: Sequence[Update[MailboxRow]]) -> Mapping[str, Arguments | SetError | None]:
        attempts = Attempts()
        answers: dict[str, Arguments | SetError | None] = {}
        pending = {update.id: update for update in updates}
        aside: set[str] = set()  # their names are not their own at present
        while pending:
            rows = self._rows()
            update = next((one for one in pending.values() if not _is_blocked(one, pending, rows)), None)
            if update is None and (ring := next((id for id in pending if id not in aside), None)) is not None:
                aside.add(ring)
                change = MailboxChange(mailbox_id=ring, name=_free_name())
                if isinstance(error := await attempts.one(self._backend.change_mailbox(change)), SetError):
                    answers[ring] = error
                    del pending[ring]
                continue
            if update is None:
                update = next(iter(pending.values()))
            del pending[update.id]
            name = update.changes.get("name", update.record.facts.name if update.id in aside else None)
            answers[update.id] = await attempts.one(self._update(update, name))
            if isinstance(answers[update.id], SetError) and update.id in aside:
                # Its old name may be taken by now; then it keeps the one it was given, and says so.
                change = MailboxChange(mailbox_id=update.id, name=update.record.facts.name)
                await attempts.one(self._backend.change_mailbox(change))
        return answers

    async def _update(self, update: Update[MailboxRow], name: str | None) -> Arguments | None:
        changes = update.changes
        if "shareWith" in changes:
            await self._share(update.record, changes["shareWith"] or {})
        if name is not None or changes.keys() - {"shareWith"}:
            await self._backend.change_mailbox(
                MailboxChange(
                    mailbox_id=update.id,
                    name=name,
                    moves="parentId" in changes,
                    parent_id=changes.get("parentId"),
                    is_subscribed=changes.get("isSubscribed"),
                    sort_order=changes.get("sortOrder"),
                    sets_role="role" in changes,
                    role=changes.get("role"),
                )
            )
        row = self._rows().get(update.id)
        if row is None:
            raise SetError("notFound")
        told = {}
        getters, names = (SHARE_GETTERS, (*_TOLD, "shareWith")) if "shareWith" in changes else (GETTERS, _TOLD)
        for property in names:
            now = getters[property](row)
            if now != changes.get(property, getters[property](update.record)):
                told[property] = now
        return told or None

    async def _share(self, row: MailboxRow, wanted: Mapping[str, Mapping[str, bool]]) -> None:
        """Make a Mailbox shared with these Principals and no others. Raise SetError."""
        now = {principal_id(identifier): (identifier, frozenset(rights)) for identifier, rights in row.facts.shares}
        changes: dict[str, frozenset[str] | None] = {now[id][0]: None for id in now if id not in wanted}
        unknown = [id for id in wanted if id not in now]
        names = {id: name for id, (name, _rights) in now.items()} | await self._principals(unknown)
        for id, given in wanted.items():
            if id not in names:
                raise SetError("invalidProperties", "shareWith names no Principal", properties=["shareWith"])
            rights = frozenset(right for right, is_given in given.items() if is_given)
            if id not in now or now[id][1] != rights:
                changes[names[id]] = rights or None
        if changes:
            await self._backend.change_shares(row.facts.id, changes)

    async def _principals(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the names of Principals that exist, by id."""
        owner = self._account.capabilities.get(PRINCIPALS_OWNER, {})
        home: Account | None = self._context.accounts.get(owner.get("accountIdForPrincipal", ""))
        if home is None or not ids:
            return {}
        view = await home.user_records.look(PRINCIPALS, ids)
        return {id: record["name"] for id, record in view.by_id.items()}

    # ------------------------------------------------------------ destroy

    async def destroy(self, records: Mapping[str, MailboxRow]) -> Mapping[str, SetError]:
        attempts = Attempts()
        rows = self._rows()
        failed: dict[str, SetError] = {}
        for id in sorted(records, key=lambda id: -_depth(rows, id)):
            outcome = await attempts.one(self._destroy(id, records[id]))
            if isinstance(outcome, SetError):
                failed[id] = outcome
        return failed

    async def _destroy(self, id: str, record: MailboxRow) -> None:
        row = self._rows().get(id)
        if row is None:
            if record.facts.is_selectable:
                raise SetError("notFound")
            return
        if "mayDelete" not in row.facts.rights:
            raise SetError("forbidden", "this Mailbox may not be destroyed")
        if any(other.facts.parent_id == id for other in self._rows().values()):
            raise SetError("mailboxHasChild")
        if row.total_emails and self._removes_emails and "mayRemoveItems" not in row.facts.rights:
            raise SetError("forbidden", "Emails may not be removed from this Mailbox")
        await self._backend.destroy_mailbox(id, remove_emails=self._removes_emails)

    # ------------------------------------------------------------ what all share

    def _rows(self) -> dict[str, MailboxRow]:
        with self._account.snapshot() as snapshot:
            return {row.facts.id: row for row in snapshot.mailboxes()}

    def _place_faults(self, rows: Mapping[str, MailboxRow], given: Mapping[str, Any]) -> Faults:
        """Return what is wrong with a parentId, or raise `forbidden`."""
        parent_id = given.get("parentId")
        if parent_id is None:
            if not self._account.capabilities.get(MAIL, {}).get("mayCreateTopLevelMailbox", True):
                raise SetError("forbidden", "no Mailbox may be created at the top level")
        elif parent_id not in rows:
            return {"parentId": "is of no Mailbox"}
        elif "mayCreateChild" not in rows[parent_id].facts.rights:
            raise SetError("forbidden", _NO_CHILD)
        return {}


def _name_fault(name: str) -> str | None:
    octets = len(unicodedata.normalize("NFC", name).encode("utf-8", "surrogatepass"))
    return f"is longer than {MAX_SIZE_MAILBOX_NAME} octets" if octets > MAX_SIZE_MAILBOX_NAME else None


def _has_role(rows: Mapping[str, MailboxRow], role: str) -> bool:
    return any(row.facts.role == role for row in rows.values())


def _is_blocked(
    update: Update[MailboxRow], pending: Mapping[str, Update[MailboxRow]], rows: Mapping[str, MailboxRow]
) -> bool:
    """Tell whether another update that is yet to come must make room, or move away from below, before this one."""
    row = rows.get(update.id)
    if row is None or not update.changes.keys() & {"name", "parentId"}:
        return False
    parent_id = update.changes.get("parentId", row.facts.parent_id)
    name = unicodedata.normalize("NFC", update.changes.get("name", update.record.facts.name))
    for id in pending:
        other = rows.get(id)
        if id != update.id and other and (other.facts.parent_id, other.facts.name) == (parent_id, name):
            return True
    above = _ancestors(rows, parent_id)
    return update.id in above and any("parentId" in pending[id].changes for id in above if id in pending)


def _ancestors(rows: Mapping[str, MailboxRow], id: str | None) -> list[str]:
    """Return a mailbox and what it is in, up to the top."""
    path: list[str] = []
    while id is not None and id in rows and id not in path:
        path.append(id)
        id = rows[id].facts.parent_id
    return path


def _depth(rows: Mapping[str, MailboxRow], id: str) -> int:
    return len(_ancestors(rows, id))


def _free_name() -> str:
    return f"moving {secrets.token_hex(8)}"


async def set_mailboxes(context: Context, arguments: Arguments) -> Arguments:
    """Mailbox/set; what may be set depends on what the request uses."""
    return await set_records(MailboxSetSource(context.using), context, arguments)


def register(registry: Registry) -> None:
    registry.add("Mailbox/set", MAILBOX.capability, set_mailboxes)
