"""A filter and a sort of Email/query become SQL (RFC 8621 sections 4.4.1 and 4.4.2).

Rule 1: a condition on keywords is a set of combination numbers: `keywords IN (…)`.
Rule 2: a mailbox that every match must be in is the table that is walked, in order of receivedAt; without one all
emails are.
Rule 3: what only the upstream can decide (`text`, `body`, `header`) was asked before, once for each set of mailboxes
that can match, and comes in as a list of ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.account.pack import fold
from gateway.account.query import Comparator, Condition, EmailFilter, Operator, split_words
from gateway.account.records import TextCriterion
from gateway.account.sql import json_of

Scope = frozenset[str] | None  # the mailboxes that can match; None: all
Found = Mapping[tuple[TextCriterion, Scope], set[str]]
FIELDS = ("from", "to", "cc", "bcc", "subject")  # columns of `words`
THREAD_SORTS = frozenset({"allInThreadHaveKeyword", "someInThreadHaveKeyword"})


@dataclass(slots=True)
class View:
    """What the index knows when SQL is made: its mailboxes and combinations of keywords, and search results."""

    mailboxes: Mapping[str, int]  # id -> num
    keywordsets: Mapping[int, tuple[str, ...]]
    found: Found = field(default_factory=dict)

    def having(self, keyword: str) -> str:
        """Return the numbers of the combinations that hold a keyword, for `IN (…)`."""
        lower = keyword.lower()  # RFC 8621 section 4.1.1: keywords are case-insensitive
        return ", ".join(str(num) for num, keywords in self.keywordsets.items() if lower in keywords)


@dataclass(slots=True)
class Statement:
    """A SELECT of num and thread, in parts."""

    source: str
    num: str
    thread: str
    received: str
    keywords: str
    where: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)
    needs_email: bool = False
    needs_words: bool = False

    def text(self, order: str, columns: str | None = None, limit: str = "-1") -> str:
        """Return the statement; `columns` are num and thread when not given."""
        joins = ""
        if self.needs_email and self.num == "d.email":
            joins += " CROSS JOIN email e ON e.num = d.email"
        if self.needs_words:
            joins += f" CROSS JOIN words w ON w.email = {self.num}"
        where = " AND ".join(self.where) or "1"
        selected = columns or f"{self.num} AS num, {self.thread} AS thread"
        # LIMIT keeps the order: without it an outer aggregate may drop it.
        return f"SELECT {selected} FROM {self.source}{joins} WHERE {where} ORDER BY {order} LIMIT {limit}"


def scope_of(tree: EmailFilter | None) -> Scope:
    """Return the mailboxes that every match is in one of; None when the filter does not say."""
    if tree is None:
        return None
    if isinstance(tree, Condition):
        return None if tree.in_mailbox is None else frozenset({tree.in_mailbox})
    if tree.operator == "NOT":
        return None
    scopes = [scope_of(child) for child in tree.conditions]
    if tree.operator == "AND":
        scope: Scope = None
        for one in scopes:
            scope = _both(scope, one)
        return scope
    known = [one for one in scopes if one is not None]
    return frozenset().union(*known) if known and len(known) == len(scopes) else None


def _both(a: Scope, b: Scope) -> Scope:
    if a is None or b is None:
        return b if a is None else a
    return a & b


def criteria_of(condition: Condition) -> Iterator[TextCriterion]:
    """Yield what the upstream has to decide of one condition."""
    if condition.text is not None and (words := split_words(condition.text)):
        yield TextCriterion("text", words)
    if condition.body is not None and (words := split_words(condition.body)):
        yield TextCriterion("body", words)
    if condition.header is not None:
        words = split_words(condition.header[1]) if len(condition.header) > 1 else ()
        yield TextCriterion("header", words, condition.header[0])


def searches(tree: EmailFilter | None, scope: Scope = None) -> Iterator[tuple[TextCriterion, Scope]]:
    """Yield each question to the upstream, with the mailboxes that can match there."""
    if tree is None:
        return
    inner = _both(scope, scope_of(tree))
    if isinstance(tree, Condition):
        for criterion in criteria_of(tree):
            yield criterion, inner
        return
    for child in tree.conditions:
        yield from searches(child, inner)


def weakened(tree: EmailFilter | None) -> EmailFilter | None:
    """Return a filter that every match passes and that asks neither the upstream nor for attachments."""
    if tree is None:
        return None
    if isinstance(tree, Condition):
        return replace(tree, has_attachment=None, text=None, body=None, header=None)
    if tree.operator == "NOT":
        is_exact = all(weakened(child) == child for child in tree.conditions)
        return tree if is_exact else Condition()
    return Operator(tree.operator, tuple(weakened(child) or Condition() for child in tree.conditions))


def structural(tree: EmailFilter | None) -> EmailFilter | None:
    """Return a filter that every match passes and that looks at nothing that is made from headers."""
    if tree is None:
        return None
    if isinstance(tree, Condition):
        return replace(
            tree, has_attachment=None, text=None, body=None, header=None, from_=None, to=None, cc=None, bcc=None,
            subject=None,
        )  # fmt: skip
    if tree.operator == "NOT":
        is_exact = all(structural(child) == child for child in tree.conditions)
        return tree if is_exact else Condition()
    return Operator(tree.operator, tuple(structural(child) or Condition() for child in tree.conditions))


def compile_filter(tree: EmailFilter | None, view: View) -> Statement:
    """Return the statement that selects what matches; its order is still open."""
    driver = _driver(tree)
    if driver is None:
        statement = Statement("email e", "e.num", "e.thread", "e.received", "e.keywords", ["e.is_visible"])
    else:
        statement = Statement("member d", "d.email", "d.thread", "d.received", "d.keywords", ["d.mailbox = ?"])
        statement.parameters.append(view.mailboxes.get(driver, -1))
    if tree is not None and tree != Condition(in_mailbox=driver):
        statement.where.append(_Compiler(statement, view).filter(tree, None))
    return statement


def _driver(tree: EmailFilter | None) -> str | None:
    """Return a mailbox that every match must be in."""
    if isinstance(tree, Condition):
        return tree.in_mailbox
    if isinstance(tree, Operator) and tree.operator == "AND":
        return next((found for child in tree.conditions if (found := _driver(child)) is not None), None)
    return None


class _Compiler:
    """Writes the terms of one statement; parameters are appended in the order of the text."""

    def __init__(self, statement: Statement, view: View) -> None:
        self._to = statement
        self._view = view

    def filter(self, tree: EmailFilter, scope: Scope) -> str:
        inner = _both(scope, scope_of(tree))
        if isinstance(tree, Condition):
            return self._condition(tree, inner)
        terms = [self.filter(child, inner) for child in tree.conditions]
        if tree.operator == "AND":
            return f"({' AND '.join(terms) or '1'})"
        together = f"({' OR '.join(terms) or '0'})"
        return together if tree.operator == "OR" else f"(NOT {together})"

    def _condition(self, one: Condition, scope: Scope) -> str:
        terms = [*self._places(one), *self._numbers(one), *self._keywords(one), *self._texts(one, scope)]
        return f"({' AND '.join(terms) or '1'})"

    def _parameter(self, value: Any) -> str:
        self._to.parameters.append(value)
        return "?"

    def _places(self, one: Condition) -> Iterator[str]:
        to = self._to
        if one.in_mailbox is not None:
            num = self._view.mailboxes.get(one.in_mailbox, -1)
            yield (
                f"EXISTS (SELECT 1 FROM member x WHERE x.mailbox = {num} AND x.received = {to.received}"
                f" AND x.email = {to.num})"
            )
        if one.in_mailbox_other_than is not None:
            mailboxes = self._view.mailboxes
            nums = ", ".join(str(mailboxes[id]) for id in one.in_mailbox_other_than if id in mailboxes)
            yield (
                f"EXISTS (SELECT 1 FROM member x WHERE x.thread = {to.thread} AND x.email = {to.num}"
                f" AND x.mailbox NOT IN ({nums}))"
            )

    def _numbers(self, one: Condition) -> Iterator[str]:
        to = self._to
        if one.before_s is not None:
            yield f"{to.received} < {one.before_s:d}"
        if one.after_s is not None:
            yield f"{to.received} >= {one.after_s:d}"
        for sign, size in ((">=", one.min_size), ("<", one.max_size)):
            if size is not None:
                to.needs_email = True
                yield f"e.size {sign} {size:d}"
        if one.has_attachment is not None:
            to.needs_email = True
            yield f"coalesce(e.has_attachment, 0) = {one.has_attachment:d}"

    def _keywords(self, one: Condition) -> Iterator[str]:
        to, having = self._to, self._view.having
        if one.has_keyword is not None:
            yield f"{to.keywords} IN ({having(one.has_keyword)})"
        if one.not_keyword is not None:
            yield f"{to.keywords} NOT IN ({having(one.not_keyword)})"
        in_thread = f"SELECT 1 FROM member x WHERE x.thread = {to.thread} AND x.keywords"
        if one.all_in_thread_have_keyword is not None:
            yield f"NOT EXISTS ({in_thread} NOT IN ({having(one.all_in_thread_have_keyword)}))"
        if one.some_in_thread_have_keyword is not None:
            yield f"EXISTS ({in_thread} IN ({having(one.some_in_thread_have_keyword)}))"
        if one.none_in_thread_have_keyword is not None:
            yield f"NOT EXISTS ({in_thread} IN ({having(one.none_in_thread_have_keyword)}))"

    def _texts(self, one: Condition, scope: Scope) -> Iterator[str]:
        texts = {"from": one.from_, "to": one.to, "cc": one.cc, "bcc": one.bcc, "subject": one.subject}
        for name, text in texts.items():
            for word in split_words(text or ""):
                yield self._word(word, (name,))
        for criterion in criteria_of(one):
            ids = json_of(self._view.found.get((criterion, scope), ()))
            term = (
                f"{self._to.num} IN (SELECT f.num FROM json_each({self._parameter(ids)}) j"
                " CROSS JOIN email f ON f.id = j.value)"
            )
            if criterion.kind == "text":
                # These fields as they are decoded here: not every upstream decodes what it searches.
                own = " AND ".join(self._word(word, FIELDS) for word in criterion.words)
                term = f"({term} OR {own})"
            yield term

    def _word(self, word: str, names: tuple[str, ...]) -> str:
        self._to.needs_words = True
        folded = fold(word)
        terms = [f"instr(coalesce(w.\"{name}\", ''), {self._parameter(folded)})" for name in names]
        return f"({' OR '.join(terms)})"


def compile_sort(sort: tuple[Comparator, ...], statement: Statement, view: View) -> str:
    """Return the terms of ORDER BY; ties go to the email that was received, then seen, last."""
    terms: list[str] = []
    tie = "DESC"
    is_by_received = False
    for one in sort:
        direction = "ASC" if one.is_ascending else "DESC"
        terms.append(f"{_key(one, statement, view)} {direction}")
        if one.property == "receivedAt" and not is_by_received:
            is_by_received, tie = True, direction
    if not is_by_received:
        terms.append(f"{statement.received} DESC")
    return ", ".join([*terms, f"{statement.num} {tie}"])


def _key(one: Comparator, statement: Statement, view: View) -> str:
    if one.property == "receivedAt":
        return statement.received
    if one.property in ("sentAt", "size"):
        statement.needs_email = True
        return "e.sent" if one.property == "sentAt" else "e.size"
    if one.property in ("from", "to", "subject"):
        statement.needs_words = True
        raw, key = f"w.{one.property}_sort", f"w.{one.property}_key"
        if one.collation == "i;octet":
            return raw
        # SQLite's upper() knows ASCII only: that is i;ascii-casemap, and i;unicode-casemap of an ASCII text.
        return f"upper({raw})" if one.collation == "i;ascii-casemap" else f"coalesce({key}, upper({raw}))"
    having = view.having(one.keyword or "")
    if one.property == "hasKeyword":
        return f"({statement.keywords} IN ({having}))"
    in_thread = f"SELECT 1 FROM member x WHERE x.thread = {statement.thread} AND x.keywords"
    if one.property == "allInThreadHaveKeyword":
        return f"(NOT EXISTS ({in_thread} NOT IN ({having})))"
    return f"(EXISTS ({in_thread} IN ({having})))"
