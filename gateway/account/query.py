"""Email/query and Email/queryChanges as values (RFC 8620 sections 5.5 and 5.6, RFC 8621 sections 4.4 and 4.5).

Rule 1: a filter is a tree of `Operator` and `Condition`; in a `Condition` every field that is not None must hold.
Rule 2: values are checked for their types by whoever builds them; what cannot be evaluated is refused by
`check_query`, never ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.jmap.errors import MethodError

MAX_CONDITIONS = 500  # of one filter: each becomes a term of one SQL statement
MAX_DEPTH = 30  # of operators: SQLite's own limit is an expression depth of 1,000
MAX_WORDS = 50  # of one text: each is a substring test, or a key of a SEARCH
MAX_COMPARATORS = 20
KEYWORD_SORTS = frozenset({"hasKeyword", "allInThreadHaveKeyword", "someInThreadHaveKeyword"})
STRING_SORTS = frozenset({"from", "to", "subject"})
SORT_PROPERTIES = frozenset({"receivedAt", "sentAt", "size"}) | STRING_SORTS | KEYWORD_SORTS
COLLATIONS = frozenset({"i;ascii-casemap", "i;octet", "i;unicode-casemap"})
DEFAULT_COLLATION = "i;unicode-casemap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A FilterCondition of Email (RFC 8621 section 4.4.1). Times are seconds since 1970, sizes octets."""

    in_mailbox: str | None = None
    in_mailbox_other_than: tuple[str, ...] | None = None
    before_s: int | None = None
    after_s: int | None = None
    min_size: int | None = None
    max_size: int | None = None
    all_in_thread_have_keyword: str | None = None
    some_in_thread_have_keyword: str | None = None
    none_in_thread_have_keyword: str | None = None
    has_keyword: str | None = None
    not_keyword: str | None = None
    has_attachment: bool | None = None
    text: str | None = None
    from_: str | None = None
    to: str | None = None
    cc: str | None = None
    bcc: str | None = None
    subject: str | None = None
    body: str | None = None
    header: tuple[str, ...] | None = None  # (name,) or (name, text)


@dataclass(frozen=True, slots=True)
class Operator:
    """A FilterOperator. NOT means that none of the conditions holds."""

    operator: Literal["AND", "OR", "NOT"]
    conditions: tuple[EmailFilter, ...]


EmailFilter: TypeAlias = Operator | Condition


@dataclass(frozen=True, slots=True)
class Comparator:
    """One key of a sort. `keyword` belongs to the three keyword properties."""

    property: str
    is_ascending: bool = True
    collation: str | None = None
    keyword: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailQuery:
    """The arguments of Email/query; those that choose a page mean nothing to queryChanges."""

    filter: EmailFilter | None = None
    sort: tuple[Comparator, ...] = ()
    collapse_threads: bool = False
    calculate_total: bool = False
    position: int = 0
    anchor: str | None = None
    anchor_offset: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A page of a query."""

    ids: list[str]
    position: int
    total: int | None  # only when asked for
    query_state: str
    can_calculate_changes: bool
    limit: int | None = None  # only when it is smaller than the one asked for


@dataclass(frozen=True, slots=True)
class QueryChanges:
    """What changed in a query's result: splice `removed` out, then `added` in, lowest index first."""

    old_query_state: str
    new_query_state: str
    total: int | None
    removed: list[str]
    added: list[tuple[str, int]]


def conditions_of(tree: EmailFilter | None) -> Iterator[Condition]:
    """Yield every condition of a filter."""
    stack = [tree] if tree is not None else []
    while stack:
        node = stack.pop()
        if isinstance(node, Operator):
            stack.extend(node.conditions)
        else:
            yield node


def check_query(query: EmailQuery) -> None:
    """Raise `unsupportedFilter`, `unsupportedSort` or `invalidArguments` for a query that cannot be evaluated."""
    _check_filter(query.filter)
    if len(query.sort) > MAX_COMPARATORS:
        raise MethodError("unsupportedSort", f"more than {MAX_COMPARATORS} comparators")
    for comparator in query.sort:
        if comparator.property not in SORT_PROPERTIES:
            raise MethodError("unsupportedSort", f"cannot sort by {comparator.property[:80]}")
        if comparator.property in KEYWORD_SORTS and comparator.keyword is None:
            raise MethodError("invalidArguments", f"a sort by {comparator.property} needs a keyword")
        if comparator.property in STRING_SORTS and comparator.collation not in COLLATIONS | {None}:
            raise MethodError("unsupportedSort", "unknown collation")
    if query.limit is not None and query.limit < 0:
        raise MethodError("invalidArguments", "limit must not be negative")


def _check_filter(tree: EmailFilter | None) -> None:
    count = 0
    level: list[EmailFilter] = [tree] if tree is not None else []
    for _depth in range(MAX_DEPTH):
        count += len(level)
        if count > MAX_CONDITIONS:
            raise MethodError("unsupportedFilter", f"more than {MAX_CONDITIONS} conditions")
        level = [child for node in level if isinstance(node, Operator) for child in node.conditions]
        if not level:
            break
    else:
        raise MethodError("unsupportedFilter", f"operators are nested more than {MAX_DEPTH} deep")
    for condition in conditions_of(tree):
        texts = [condition.text, condition.body, condition.from_, condition.to, condition.cc, condition.bcc]
        texts += [condition.subject, *(condition.header or ())[1:]]
        for text in texts:
            if text is not None and len(split_words(text)) > MAX_WORDS:
                raise MethodError("unsupportedFilter", f"more than {MAX_WORDS} words")


def split_words(text: str) -> tuple[str, ...]:
    r"""Return the words and phrases that must all occur (RFC 8621 section 4.4.1).

    A quote opens a phrase at the start of a word only (`don't` is a word) and only when it is closed; inside, a
    backslash escapes ' " and \.
    """
    words: list[str] = []
    at, end = 0, len(text)
    while at < end:
        if text[at].isspace():
            at += 1
            continue
        if text[at] in "'\"" and (phrase := _phrase(text, at)) is not None:
            word, at = phrase
            if word.strip():
                words.append(word)
            continue
        start = at
        while at < end and not text[at].isspace():
            at += 1
        words.append(text[start:at])
    return tuple(dict.fromkeys(words))


def _phrase(text: str, start: int) -> tuple[str, int] | None:
    quote, at, out = text[start], start + 1, []
    while at < len(text):
        character = text[at]
        if character == "\\" and at + 1 < len(text) and text[at + 1] in "'\"\\":
            out.append(text[at + 1])
            at += 2
            continue
        if character == quote:
            return "".join(out), at + 1
        out.append(character)
        at += 1
    return None
