"""EmailSubmission/get, /changes, /query, /queryChanges (RFC 8621 section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.account.user_records import Record
from gateway.jmap.objects.email_submission import EMAIL_SUBMISSION
from gateway.jmap.types import date_to_seconds
from gateway.methods.standard_query import Rules
from gateway.methods.standard_records import RecordsSetSource


def _sent_at(record: Record) -> float:
    return date_to_seconds(record["sendAt"])


class EmailSubmissionSource(RecordsSetSource):
    """Submissions for the standard methods."""

    rules: Rules[Record] = Rules(
        conditions={
            "identityIds": lambda record, ids: record["identityId"] in ids,
            "emailIds": lambda record, ids: record["emailId"] in ids,
            "threadIds": lambda record, ids: record["threadId"] in ids,
            "undoStatus": lambda record, status: record["undoStatus"] == status,
            "before": lambda record, date: _sent_at(record) < date_to_seconds(date),
            "after": lambda record, date: _sent_at(record) >= date_to_seconds(date),
        },
        sort_keys={
            "emailId": lambda record, fold: record["emailId"],
            "threadId": lambda record, fold: record["threadId"],
            "sentAt": lambda record, fold: _sent_at(record),
            "sendAt": lambda record, fold: _sent_at(record),
        },
    )
    set_arguments: Mapping[str, Any] = {}

    def __init__(self) -> None:
        super().__init__(EMAIL_SUBMISSION)
