"""Email/query and Email/queryChanges (RFC 8621 sections 4.4 and 4.5): the account's index answers, this translates.

Rule 1: a query waits for the mailboxes its filter can match and for no others. Keywords of a thread are those of the
Emails seen so far; what turns up later reaches the client by queryChanges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from gateway.account.query import (
    KEYWORD_SORTS,
    STRING_SORTS,
    Condition,
    EmailFilter,
    EmailQuery,
    Operator,
)
from gateway.account.records import Need
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.method import Arguments, Context
from gateway.jmap.objects.email import EMAIL
from gateway.jmap.reference import resolve_id
from gateway.methods.criteria import QUERY, QUERY_CHANGES, fold_filter, parse_sort
from gateway.methods.reach import EVERYTHING
from gateway.methods.standard import account_of

_COLLAPSE: Mapping[str, Argument] = {"collapseThreads": Argument(types.is_boolean, default=False)}
EMAIL_QUERY = {**QUERY, **_COLLAPSE}
EMAIL_QUERY_CHANGES = {**QUERY_CHANGES, **_COLLAPSE}


def _whole_seconds(value: str) -> int:
    # receivedAt has whole seconds: it is before (or not before) 12.5 s exactly if it is before (or not) 13 s.
    return math.ceil(types.date_to_seconds(value))


def _same(value: Any) -> Any:
    return value


# The FilterCondition's properties (RFC 8621 section 4.4.1): the field of a `Condition`, and how its value is written.
_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "inMailbox": ("in_mailbox", _same),
    "inMailboxOtherThan": ("in_mailbox_other_than", tuple),
    "before": ("before_s", _whole_seconds),
    "after": ("after_s", _whole_seconds),
    "minSize": ("min_size", _same),
    "maxSize": ("max_size", _same),
    "allInThreadHaveKeyword": ("all_in_thread_have_keyword", str.lower),
    "someInThreadHaveKeyword": ("some_in_thread_have_keyword", str.lower),
    "noneInThreadHaveKeyword": ("none_in_thread_have_keyword", str.lower),
    "hasKeyword": ("has_keyword", str.lower),
    "notKeyword": ("not_keyword", str.lower),
    "hasAttachment": ("has_attachment", _same),
    "text": ("text", _same),
    "from": ("from_", _same),
    "to": ("to", _same),
    "cc": ("cc", _same),
    "bcc": ("bcc", _same),
    "subject": ("subject", _same),
    "body": ("body", _same),
    "header": ("header", tuple),
}


def email_filter(filter: Mapping[str, Any] | None) -> EmailFilter | None:
    """Return a checked filter as the account takes it."""
    if filter is None:
        return None
    return fold_filter(filter, EMAIL.filter_conditions, condition=_condition, operator=_operator)


def _condition(properties: Mapping[str, Any]) -> EmailFilter:
    fields = {}
    for name, value in properties.items():
        field, write = _FIELDS[name]
        fields[field] = write(value)
    return Condition(**fields)


def _operator(operator: str, conditions: list[EmailFilter]) -> EmailFilter:
    return Operator(cast(Any, operator), tuple(conditions))  # fold_filter knows the three operators


def mailboxes_of(filter: EmailFilter | None) -> frozenset[str] | None:
    """Return the only mailboxes whose Emails can match; None: any mailbox."""
    if filter is None:
        return None
    if isinstance(filter, Condition):
        return None if filter.in_mailbox is None else frozenset({filter.in_mailbox})
    if filter.operator == "NOT":
        return None
    parts = [mailboxes_of(part) for part in filter.conditions]
    known = [part for part in parts if part is not None]
    if filter.operator == "AND":
        return frozenset.intersection(*known) if known else None
    return frozenset[str]().union(*known) if len(known) == len(parts) else None


async def query(context: Context, arguments: Arguments) -> Arguments:
    """Email/query."""
    checked = check_arguments(arguments, EMAIL_QUERY)
    account = account_of(context, checked["accountId"], EMAIL.capability)
    wanted = _query(context, checked)
    await account.fresh(_need(wanted))
    result = await account.query_emails(wanted)
    response: Arguments = {
        "accountId": account.id,
        "queryState": result.query_state,
        "canCalculateChanges": result.can_calculate_changes,
        "position": result.position,
        "ids": result.ids,
    }
    if checked["calculateTotal"]:
        response["total"] = result.total
    if result.limit is not None:
        response["limit"] = result.limit
    return response


async def query_changes(context: Context, arguments: Arguments) -> Arguments:
    """Email/queryChanges."""
    checked = check_arguments(arguments, EMAIL_QUERY_CHANGES)
    account = account_of(context, checked["accountId"], EMAIL.capability)
    wanted = _query(context, checked)
    up_to_id = checked["upToId"]
    await account.fresh(_need(wanted))
    result = await account.email_query_changes(
        wanted,
        checked["sinceQueryState"],
        max_changes=checked["maxChanges"],
        up_to_id=None if up_to_id is None else resolve_id(context, up_to_id),
    )
    response: Arguments = {
        "accountId": account.id,
        "oldQueryState": result.old_query_state,
        "newQueryState": result.new_query_state,
        "removed": result.removed,
        "added": [{"id": id, "index": index} for id, index in result.added],
    }
    if checked["calculateTotal"]:
        response["total"] = result.total
    return response


def _query(context: Context, checked: Arguments) -> EmailQuery:
    sort = parse_sort(checked["sort"], EMAIL.sort_properties, strings=STRING_SORTS, with_keyword=KEYWORD_SORTS)
    anchor = checked.get("anchor")
    return EmailQuery(
        filter=email_filter(checked["filter"]),
        sort=sort,
        collapse_threads=checked["collapseThreads"],
        calculate_total=checked["calculateTotal"],
        position=0 if anchor is not None else checked.get("position", 0),
        anchor=None if anchor is None else resolve_id(context, anchor),
        anchor_offset=checked.get("anchorOffset", 0),
        limit=checked.get("limit"),
    )


def _need(query: EmailQuery) -> Need:
    mailbox_ids = mailboxes_of(query.filter)
    return EVERYTHING if mailbox_ids is None else Need(known=True, mailbox_ids=mailbox_ids)
