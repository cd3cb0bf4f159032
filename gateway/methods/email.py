"""Email/get and Email/changes (RFC 8621 sections 4.2 and 4.3).

Rule 1: a list view is one look at the index: no await but `fresh`, no header, no structure.
Rule 2: what is not in the index yet is loaded for all the Emails of the call at once: details, then sizes, then
sections; a few IMAP commands, however many Emails.
Rule 3: an Email that vanishes meanwhile is `notFound`, not half an object.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.account.account import Account
from gateway.account.backend import HEADER, SectionRequest
from gateway.account.ids import part_blob_id
from gateway.account.records import Changes, EmailRow
from gateway.account.snapshot import Snapshot
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.declare import DataType
from gateway.jmap.errors import MethodError
from gateway.jmap.method import Arguments, Context
from gateway.jmap.objects.email import EMAIL
from gateway.methods import standard
from gateway.methods.email_body import (
    BodyPlan,
    ValueOptions,
    header_properties,
    lacks_sizes,
    plan_body,
    render_body,
)
from gateway.methods.email_rows import every_id, load_rows
from gateway.methods.email_shape import PartShape, Shape, email_shape, part_shape
from gateway.methods.reach import KNOWN

# Of sections, as sent, that one call may bring into memory: some clients ask for the bodies of a whole screen.
MAX_SECTION_OCTETS = 100_000_000

# Decoding more than this takes longer than the event loop may stand still; less is not worth a thread.
RENDERED_AT_ONCE_OCTETS = 256 * 1024

BODY_ARGUMENTS: Mapping[str, Argument] = {
    # Null for "the default": not in its type, but there is only one thing it can mean.
    "bodyProperties": Argument(types.nullable(types.is_strings)),
    "fetchTextBodyValues": Argument(types.is_boolean, default=False),
    "fetchHTMLBodyValues": Argument(types.is_boolean, default=False),
    "fetchAllBodyValues": Argument(types.is_boolean, default=False),
    "maxBodyValueBytes": Argument(types.is_unsigned_int, default=0),
}
EMAIL_GET = {**standard.GET, **BODY_ARGUMENTS}


async def get(context: Context, arguments: Arguments) -> Arguments:
    """Email/get."""
    checked = check_arguments(arguments, EMAIL_GET)
    account = standard.account_of(context, checked["accountId"], EMAIL.capability)
    names = checked["properties"]
    shape = email_shape(EMAIL.default_properties() if names is None else ["id", *names], context.using)
    wanted = Wanted(shape, part_shape(checked["bodyProperties"]), ValueOptions.of(checked))
    ids = standard.requested_ids(context, checked["ids"])
    if ids is None:
        at_most = context.limits.max_objects_in_get
        ids = await every_id(account, at_most)
        if len(ids) > at_most:
            raise standard.too_large(context, "ids")
    else:
        await account.fresh(KNOWN)
    state, rows = await load_rows(account, ids, details=shape.needs_details, structure=bool(shape.body))
    if wanted.is_row_only:
        columns = shape.columns
        shown = [{name: of(row) for name, of in columns} for row in rows.values()]
    else:
        shown = await _show(account, rows, wanted)
    found = {email["id"] for email in shown}
    return {
        "accountId": account.id,
        "state": state,
        "list": shown,
        "notFound": [id for id in ids if id not in found],
    }


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be shown of each Email."""

    shape: Shape
    parts: PartShape
    values: ValueOptions

    @property
    def is_row_only(self) -> bool:
        return not self.shape.body and not self.shape.needs_header


async def _show(account: Account, rows: Mapping[str, EmailRow], wanted: Wanted) -> list[dict[str, Any]]:
    """Return the Emails with headers and bodies; those that vanished meanwhile are left out."""
    plans = _plans(rows, wanted)
    if short := [id for id, plan in plans.items() if lacks_sizes(plan, wanted.shape, wanted.parts)]:
        await account.backend.load_sizes(short)
        with account.snapshot() as snapshot:
            plans.update(_plans(snapshot.emails(short, with_structure=True), wanted))
    requests = _requests(rows, plans, wanted)
    sections = await account.backend.load_sections(requests) if requests else {}
    asked = {request.email_id for request in requests}
    answered = {email_id for email_id, _section in sections}
    present = {
        id: row
        for id, row in rows.items()
        if (id in plans or not wanted.shape.body) and (id in answered or id not in asked)
    }

    def render_all() -> list[dict[str, Any]]:
        return [render(row, plans.get(id), wanted, _of(sections, id), _blob_ids(id)) for id, row in present.items()]

    if sum(map(len, sections.values())) <= RENDERED_AT_ONCE_OCTETS:
        return render_all()
    return await asyncio.to_thread(render_all)


def render(
    row: EmailRow,
    plan: BodyPlan | None,
    wanted: Wanted,
    section: Callable[[str], bytes | None],
    blob_id: Callable[[str], str],
) -> dict[str, Any]:
    """Return one Email as asked for."""
    email = {name: of(row) for name, of in wanted.shape.columns}
    if wanted.shape.needs_header:
        email |= header_properties(section(HEADER) or b"", wanted.shape.headers, with_headers=wanted.shape.all_headers)
    if plan is not None:
        email |= render_body(plan, wanted.shape, wanted.parts, wanted.values, section=section, blob_id=blob_id)
    return email


def _plans(rows: Mapping[str, EmailRow], wanted: Wanted) -> dict[str, BodyPlan]:
    if not wanted.shape.body:
        return {}
    return {
        id: plan_body(row.structure, wanted.shape, wanted.parts, wanted.values)
        for id, row in rows.items()
        if row.structure is not None
    }


def _requests(rows: Mapping[str, EmailRow], plans: Mapping[str, BodyPlan], wanted: Wanted) -> list[SectionRequest]:
    requests: dict[tuple[str, str], SectionRequest] = {}
    octets = 0
    for id in rows:
        if wanted.shape.needs_header:
            requests[id, HEADER] = SectionRequest(id, HEADER)
        plan = plans.get(id)
        if plan is None:
            continue
        for section, asked in plan.sections.items():
            requests[id, section] = SectionRequest(id, section, asked)
        octets += sum(min(part.encoded_octets, plan.sections[part.section] or 0) for part in plan.values)
    if octets > MAX_SECTION_OCTETS:
        raise MethodError("requestTooLarge", "ids: their body values are too large for one call")
    return list(requests.values())


def _of(sections: Mapping[tuple[str, str], bytes], id: str) -> Callable[[str], bytes | None]:
    return lambda section: sections.get((id, section))


def _blob_ids(id: str) -> Callable[[str], str]:
    return lambda section: part_blob_id(id, section)


class EmailSource:
    """Emails for Email/changes; /get and /query are their own."""

    data_type: DataType = EMAIL
    getters: Mapping[str, Callable[[EmailRow], Any]] = {}
    tells_updated_properties = False

    @asynccontextmanager
    async def look(self, account: Account, ids: Sequence[str] | None = ()) -> AsyncIterator[EmailView]:
        await account.fresh(KNOWN)
        with account.snapshot() as snapshot:
            yield EmailView(snapshot)


class EmailView:
    """The Emails of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def state(self) -> str:
        return self._snapshot.state("Email")

    def records(self, ids: Sequence[str] | None, *, at_most: int) -> Mapping[str, EmailRow]:
        return self._snapshot.emails(self._snapshot.email_ids(at_most + 1) if ids is None else ids)

    def changes(self, since: str, *, at_most: int) -> Changes:
        return self._snapshot.changes("Email", since, at_most)
