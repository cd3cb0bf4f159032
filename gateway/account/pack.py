"""An email as it is kept: its summary and structure as JSON text, its words for filters, its keys for sorts.

Rule 1: JSON text, because many rows can be joined inside SQLite, handed over as one value, and parsed in one go.
Rule 2: words are decoded and case-folded; a filter folds its own words the same way (RFC 8621 section 4.4.1).
Rule 3: of the sort keys the key of `i;unicode-casemap` is kept only where it differs from upper-case ASCII.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from gateway.account.records import EmailRow
from gateway.message.part import Part
from gateway.message.subject import base_subject, unicode_casemap
from gateway.message.summary import Address, Summary, summarize

MAX_WORDS_CHARACTERS = 8_000  # of one field: what a filter by substring can see of it
MAX_SORT_CHARACTERS = 200  # what a sort can see of a name or subject
MAX_PREVIEW_CHARACTERS = 256  # RFC 8621 section 4.1.4

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

WordsRow = tuple[str | None, ...]  # the columns of `words` after `email`


def fold(text: str) -> str:
    """Return text as filters compare it."""
    return text.casefold()


def dumps(value: object) -> str:
    """Return JSON text; what UTF-8 cannot say (a lone surrogate) becomes a question mark."""
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError):
        return orjson.dumps(_clean(value)).decode()


def pack_summary(summary: Summary) -> str:
    return dumps(summary[:])


def pack_words(summary: Summary) -> WordsRow:
    """Return the words and sort keys of an email."""
    from_sort, to_sort = _first_name(summary.from_), _first_name(summary.to)
    subject_sort = base_subject(summary.subject)[:MAX_SORT_CHARACTERS] if summary.subject else ""
    return (
        _addresses(summary.from_),
        _addresses(summary.to),
        _addresses(summary.cc),
        _addresses(summary.bcc),
        summary.subject[:MAX_WORDS_CHARACTERS].casefold() if summary.subject else None,
        from_sort,
        None if from_sort.isascii() else unicode_casemap(from_sort),
        to_sort,
        None if to_sort.isascii() else unicode_casemap(to_sort),
        subject_sort,
        None if subject_sort.isascii() else unicode_casemap(subject_sort),
    )


def sent_at_s(summary: Summary) -> int | None:
    """Return the instant of sentAt in seconds since 1970."""
    if summary.sent_at is None:
        return None
    try:
        return (datetime.fromisoformat(summary.sent_at) - _EPOCH) // _SECOND
    except (ValueError, OverflowError, TypeError):  # TypeError: a date without a zone
        return None


def pack_preview(preview: str) -> str:
    return dumps(preview[:MAX_PREVIEW_CHARACTERS])


def pack_structure(part: Part) -> str:
    return dumps(_part_values(part))


def unpack_structure(values: list[Any]) -> Part:
    """Return the tree that `pack_structure` was given."""
    language = values[6]
    return Part(
        values[0],
        values[1],
        values[2],
        values[3],
        values[4],
        values[5],
        tuple(language) if language is not None else None,
        values[7],
        values[8],
        values[9],
        values[10],
        tuple([unpack_structure(child) for child in values[11]]),
    )


# The order of EmailRow's columns in the JSON text that `Snapshot.emails` reads.
def unpack_email(
    values: list[Any],
    mailbox_ids: dict[int, str],
    keywordsets: dict[int, tuple[str, ...]],
    header: bytes | None,
    *,
    with_structure: bool,
) -> EmailRow:
    """Return the row of one email from its parsed columns, and its header where it is not digested."""
    id, thread_id, mailboxes, keywords, size, received, has_attachment, preview, summary, *structure = values
    return EmailRow(
        id,
        thread_id,
        tuple([mailbox_ids[num] for num in mailboxes]),
        keywordsets[keywords],
        size,
        received,
        summarize(header) if header is not None else Summary(*summary),
        preview,
        None if has_attachment is None else has_attachment == 1,
        unpack_structure(structure[0]) if with_structure and structure[0] is not None else None,
    )


def _addresses(addresses: list[Address] | None) -> str | None:
    if not addresses:
        return None
    if len(addresses) == 1:
        name, email = addresses[0]["name"], addresses[0]["email"]
        return (f"{name} {email}" if name else email)[:MAX_WORDS_CHARACTERS].casefold()
    parts = [f"{name} {one['email']}" if (name := one["name"]) else one["email"] for one in addresses]
    return "\n".join(parts)[:MAX_WORDS_CHARACTERS].casefold()


def _first_name(addresses: list[Address] | None) -> str:
    if not addresses:
        return ""
    name: str = addresses[0]["name"] or addresses[0]["email"] or ""
    return name[:MAX_SORT_CHARACTERS]


def _part_values(part: Part) -> list[Any]:
    return [
        part.section,
        part.type,
        part.charset,
        part.name,
        part.disposition,
        part.cid,
        part.language,
        part.location,
        part.encoding,
        part.encoded_octets,
        part.decoded_octets,
        [_part_values(child) for child in part.subparts],
    ]


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value
