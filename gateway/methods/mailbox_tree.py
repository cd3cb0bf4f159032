"""Mailbox/query as a tree (RFC 8621 section 2.3, sortAsTree and filterAsTree). Pure.

Rule 1: a parent that is not in the account is no parent: its children stand at the top level.
Rule 2: nothing recurses: a hostile hierarchy may be as deep as the server lets it be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gateway.account.records import MailboxRow

Rows = Mapping[str, MailboxRow]


def with_ancestors_only(rows: Rows, matching: Iterable[str]) -> list[str]:
    """Keep those of `matching` all of whose ancestors match too."""
    matches = set(matching)
    kept: list[str] = []
    for id in rows:
        at: str | None = id
        # The count bounds a loop of parents, which no server should have.
        for _ in range(len(rows)):
            if at is None or at not in matches:
                break
            at = _parent(rows, at)
        if at is None and id in matches:
            kept.append(id)
    return kept


def in_tree_order(rows: Rows, ids: Iterable[str], sort: Callable[[list[str]], list[str]]) -> list[str]:
    """Order `ids` so that each comes after its ancestors and siblings' subtrees are in the order of the siblings.

    Siblings that are not among `ids` take part too: the order of two cousins is that of their ancestors.
    """
    children: dict[str | None, list[str]] = {}
    for id in sort(list(rows)):
        children.setdefault(_parent(rows, id), []).append(id)
    wanted, ordered = set(ids), []
    waiting = children.get(None, [])[::-1]
    while waiting:
        id = waiting.pop()
        if id in wanted:
            ordered.append(id)
        waiting.extend(reversed(children.get(id, ())))
    return ordered


def with_descendants(rows: Rows, ids: set[str]) -> set[str]:
    """Add everything below these."""
    children: dict[str | None, list[str]] = {}
    for id in rows:
        children.setdefault(_parent(rows, id), []).append(id)
    found, waiting = set(ids), list(ids)
    while waiting:
        below = [id for id in children.get(waiting.pop(), ()) if id not in found]
        found.update(below)
        waiting.extend(below)
    return found


def _parent(rows: Rows, id: str) -> str | None:
    parent = rows[id].facts.parent_id
    return parent if parent in rows else None
