"""SearchSnippet/get (RFC 8621 section 5): the words of a filter where they occur in subject and body.

Rule 1: words under a NOT are not looked for: an Email matches because they are absent.
Rule 2: bodies are read only for words that may stand in a body, the first part of each, a bounded lot at a time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resiliparse.extract.html2text import extract_plain_text

from gateway.account.account import Account
from gateway.account.backend import SectionRequest
from gateway.account.query import Condition, EmailFilter, EmailQuery, check_query, split_words
from gateway.account.records import EmailRow
from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.method import Arguments, Context
from gateway.jmap.objects.search_snippet import MAX_PREVIEW_OCTETS, SEARCH_SNIPPET
from gateway.message.body import flatten
from gateway.message.part import Part
from gateway.methods import standard
from gateway.methods.email_body import body_value, octets_to_ask
from gateway.methods.email_query import email_filter
from gateway.methods.email_rows import load_rows
from gateway.methods.highlight import excerpt, mark, matcher
from gateway.methods.reach import KNOWN

SNIPPET_GET: Mapping[str, Argument] = {
    "accountId": Argument(types.is_id, required=True),
    "filter": Argument(types.nullable(types.is_object)),
    "emailIds": Argument(types.is_ids_or_references, required=True),
}
# Of one part. A match further down is not shown: the client shows the beginning of the message instead.
MAX_TEXT_OCTETS = 128 * 1024
# Of sections in memory at a time, and so of the work that one thread does in one go.
MAX_LOT_OCTETS = 8 * 1024 * 1024

Words = re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What to look for where."""

    subject: Words
    body: Words


async def get(context: Context, arguments: Arguments) -> Arguments:
    """SearchSnippet/get."""
    checked = check_arguments(arguments, SNIPPET_GET)
    account = standard.account_of(context, checked["accountId"], SEARCH_SNIPPET.capability)
    terms = terms_of(email_filter(checked["filter"]))
    ids = standard.requested_ids(context, checked["emailIds"], argument="emailIds") or []
    await account.fresh(KNOWN)
    _state, rows = await load_rows(account, ids, structure=terms.body is not None)
    previews = await _previews(account, rows, terms.body)
    return {
        "accountId": account.id,
        "list": [
            {"emailId": id, "subject": mark(row.summary.subject or "", terms.subject), "preview": previews.get(id)}
            for id, row in rows.items()
        ],
        "notFound": [id for id in ids if id not in rows] or None,
    }


def terms_of(filter: EmailFilter | None) -> Terms:
    """Return the words of a filter that may stand in a subject and in a body."""
    check_query(EmailQuery(filter=filter))
    subject: list[str] = []
    body: list[str] = []
    for condition in _positive(filter):
        for text, places in (
            (condition.text, (subject, body)),
            (condition.subject, (subject,)),
            (condition.body, (body,)),
        ):
            for place in places:
                place.extend(split_words(text or ""))
    return Terms(matcher(subject), matcher(body))


def _positive(filter: EmailFilter | None) -> Iterator[Condition]:
    if isinstance(filter, Condition):
        yield filter
    elif filter is not None and filter.operator != "NOT":
        for part in filter.conditions:
            yield from _positive(part)


async def _previews(account: Account, rows: Mapping[str, EmailRow], words: Words) -> dict[str, str]:
    """Return the previews of those Emails whose body has one of the words."""
    if words is None:
        return {}
    previews: dict[str, str] = {}
    for lot in _lots(rows):
        sections = await account.backend.load_sections(
            [SectionRequest(id, part.section, octets_to_ask(part, MAX_TEXT_OCTETS)) for id, part in lot]
        )
        for id, found in await asyncio.to_thread(_search, lot, sections, words):
            previews.setdefault(id, found)
    return previews


def _lots(rows: Mapping[str, EmailRow]) -> Iterator[list[tuple[str, Part]]]:
    """Yield the text parts of these Emails, plain text before HTML, in lots of bounded size."""
    lot: list[tuple[str, Part]] = []
    octets = 0
    for id, row in rows.items():
        for part in _text_parts(row):
            size = min(part.encoded_octets, octets_to_ask(part, MAX_TEXT_OCTETS))
            if lot and octets + size > MAX_LOT_OCTETS:
                yield lot
                lot, octets = [], 0
            lot.append((id, part))
            octets += size
    if lot:
        yield lot


def _text_parts(row: EmailRow) -> Sequence[Part]:
    if row.structure is None:
        return ()
    lists = flatten(row.structure)
    parts = {part.section: part for part in (*lists.text, *lists.html) if part.type.startswith("text/")}
    return list(parts.values())


def _search(
    lot: Sequence[tuple[str, Part]], sections: Mapping[tuple[str, str], bytes], words: re.Pattern[str]
) -> list[tuple[str, str]]:
    """Return (email id, preview) for every part that has one of the words."""
    found = []
    for id, part in lot:
        encoded = sections.get((id, part.section))
        if encoded is None:
            continue
        value: dict[str, Any] = body_value(
            part, encoded, asked=octets_to_ask(part, MAX_TEXT_OCTETS), max_octets=MAX_TEXT_OCTETS
        )
        text = _shown(value["value"]) if part.type == "text/html" else value["value"]
        preview = excerpt(text, words, max_octets=MAX_PREVIEW_OCTETS)
        if preview is not None:
            found.append((id, preview))
    return found


def _shown(html: str) -> str:
    """Return what a reader sees of an HTML text: no markup, no style, but the texts that stand for images."""
    try:
        return str(extract_plain_text(html, preserve_formatting=False, alt_texts=True, skip_elements=["head"]))
    except (ValueError, RuntimeError):
        return re.sub(r"<[^<>]*+>", " ", html)
