"""The index as a naive model: dictionaries, and the definitions of the RFC read literally."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.account.flags import keywords_of, union
from gateway.account.ids import digest_id, id_of, link_digest
from gateway.account.query import Comparator, Condition, EmailFilter, Operator, split_words
from gateway.account.records import Batch, MailboxFacts, NewMessage
from gateway.message.subject import ascii_casemap, base_subject, unicode_casemap
from gateway.message.summary import summarize


@dataclass
class Facts:
    """What never changes of an email."""

    message: NewMessage
    thread: str
    order: int  # of entering the index


@dataclass
class View:
    """What a client sees at one moment."""

    emails: dict[str, tuple[frozenset[str], tuple[str, ...]]] = field(default_factory=dict)
    threads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mailboxes: dict[str, tuple[str, str | None, tuple[int, int, int, int]]] = field(default_factory=dict)


class Model:
    def __init__(self) -> None:
        self.tree: dict[str, MailboxFacts] = {}
        self.places: dict[tuple[str, int], tuple[str, tuple[str, ...]]] = {}
        self.facts: dict[str, Facts] = {}
        self.links: dict[tuple[str, str], int] = {}
        self.thread_ids: list[str] = []
        self.count = 0

    def apply(self, batch: Batch) -> None:
        if batch.mailboxes is not None:
            self.tree = {one.id: one for one in batch.mailboxes}
            for key in [key for key in self.places if key[0] not in self.tree]:
                del self.places[key]
        deltas = [delta for delta in batch.deltas if delta.mailbox_id in self.tree]
        for delta in deltas:
            if delta.shelves:
                mine = [uid for mailbox, uid in self.places if mailbox == delta.mailbox_id]
                lowest = min([0, *mine])
                for uid in [uid for uid in mine if uid > 0]:
                    self.places[delta.mailbox_id, lowest - uid] = self.places.pop((delta.mailbox_id, uid))
        staying = {}
        for delta in deltas:
            for message in delta.arrived:
                flags = {one.uid: one.flags for one in delta.flagged}.get(message.uid, message.flags)
                if not any(low <= message.uid <= high for low, high in delta.vanished):
                    staying[delta.mailbox_id, message.uid] = message._replace(flags=flags)
        newcomers: dict[str, NewMessage] = {}
        for message in sorted(staying.values(), key=lambda one: (one.received_at_s, one.uid)):
            if message.email_id not in self.facts:
                newcomers.setdefault(message.email_id, message)
        for id, message in newcomers.items():
            self.count += 1
            self.facts[id] = Facts(message, self.thread_of(message), self.count)
        for (mailbox, uid), message in staying.items():
            self.places[mailbox, uid] = (message.email_id, message.flags)
        for delta in deltas:
            for change in delta.flagged:
                if (key := (delta.mailbox_id, change.uid)) in self.places:
                    self.places[key] = (self.places[key][0], change.flags)
        for delta in deltas:
            for mailbox, uid in list(self.places):
                is_gone = any(max(low, 1) <= uid <= high for low, high in delta.vanished)
                if mailbox == delta.mailbox_id and (is_gone or (delta.clears_shelf and uid < 0)):
                    del self.places[mailbox, uid]
        present = {id for id, _ in self.places.values()}
        self.facts = {id: facts for id, facts in self.facts.items() if id in present}

    def thread_of(self, message: NewMessage) -> str:
        if message.thread_id is not None:
            if message.thread_id not in self.thread_ids:
                self.thread_ids.append(message.thread_id)
            return message.thread_id
        summary = summarize(message.header)
        ids = [*(summary.references or []), *(summary.in_reply_to or []), *(summary.message_id or [])]
        base = "".join(base_subject(summary.subject or "").split()).casefold()
        known = [self.links[id, base] for id in ids if (id, base) in self.links]
        if known:
            thread = min(known)
        else:
            thread_id = (
                id_of("T", link_digest(f"{ids[0]}\0{base}".encode()))
                if ids
                else digest_id("T", "email", message.email_id)
            )
            if thread_id not in self.thread_ids:
                self.thread_ids.append(thread_id)
            thread = self.thread_ids.index(thread_id)
        for id in ids:
            self.links.setdefault((id, base), thread)
        return self.thread_ids[thread]

    def view(self) -> View:
        places: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for (mailbox, _), (id, flags) in self.places.items():
            if not any(flag.lower() == "\\deleted" for flag in flags):
                places.setdefault(id, []).append((mailbox, flags))
        view = View()
        for id, at in places.items():
            view.emails[id] = (
                frozenset(mailbox for mailbox, _ in at),
                union(keywords_of(flags) for _, flags in at),
            )
        for id in sorted(view.emails, key=lambda id: (self.facts[id].message.received_at_s, id)):
            thread = self.facts[id].thread
            view.threads[thread] = (*view.threads.get(thread, ()), id)
        for mailbox, facts in self.tree.items():
            view.mailboxes[mailbox] = (facts.name, facts.role, self.counts(view, mailbox))
        return view

    def counts(self, view: View, mailbox: str) -> tuple[int, int, int, int]:
        trash = next((one.id for one in self.tree.values() if one.role == "trash"), None)

        def is_unread(id: str) -> bool:
            return not {"$seen", "$draft"} & set(view.emails[id][1])

        inside = [id for id, (mailboxes, _) in view.emails.items() if mailbox in mailboxes]
        threads = {self.facts[id].thread for id in inside}
        unread_threads = 0
        for thread in threads:
            counted = [
                id
                for id in view.threads[thread]
                if (trash in view.emails[id][0] if mailbox == trash else view.emails[id][0] != {trash})
            ]
            unread_threads += any(is_unread(id) for id in counted)
        return len(inside), sum(is_unread(id) for id in inside), len(threads), unread_threads

    # ------------------------------------------------------------ queries

    def query(
        self, view: View, filter: EmailFilter | None, sort: tuple[Comparator, ...], collapse_threads: bool
    ) -> list[str]:
        ids = [id for id in view.emails if filter is None or self.matches(view, filter, id)]
        ids.sort(key=lambda id: self.facts[id].order)
        first = next((one for one in sort if one.property == "receivedAt"), None)
        is_tie_ascending = first is not None and first.is_ascending
        if not is_tie_ascending:
            ids.reverse()
        if first is None:
            ids.sort(key=lambda id: self.facts[id].message.received_at_s, reverse=True)
        for one in reversed(sort):
            keys: dict[str, Any] = {id: self.key(view, one, id) for id in ids}
            # reverse=True keeps equal elements in their order
            ids.sort(key=keys.__getitem__, reverse=not one.is_ascending)
        if collapse_threads:
            seen: set[str] = set()
            first_ids = []
            for id in ids:
                if self.facts[id].thread not in seen:
                    seen.add(self.facts[id].thread)
                    first_ids.append(id)
            ids = first_ids
        return ids

    def key(self, view: View, one: Comparator, id: str) -> object:
        message = self.facts[id].message
        summary = summarize(message.header)
        thread = [view.emails[other][1] for other in view.threads[self.facts[id].thread]]
        if one.property == "receivedAt":
            return message.received_at_s
        if one.property == "size":
            return message.size_octets
        if one.property == "sentAt":
            return summary.sent_at or ""  # of one zone in these tests
        if one.property == "hasKeyword":
            return one.keyword in view.emails[id][1]
        if one.property == "allInThreadHaveKeyword":
            return all(one.keyword in keywords for keywords in thread)
        if one.property == "someInThreadHaveKeyword":
            return any(one.keyword in keywords for keywords in thread)
        if one.property == "subject":
            text = base_subject(summary.subject or "")
        else:
            addresses = summary.from_ if one.property == "from" else summary.to
            text = (addresses[0]["name"] or addresses[0]["email"]) if addresses else ""
        if one.collation == "i;octet":
            return text.encode()
        return (ascii_casemap(text) if one.collation == "i;ascii-casemap" else unicode_casemap(text)).encode()

    def matches(self, view: View, tree: EmailFilter, id: str) -> bool:
        if isinstance(tree, Operator):
            results = [self.matches(view, child, id) for child in tree.conditions]
            return {"AND": all(results), "OR": any(results), "NOT": not any(results)}[tree.operator]
        return all(self.tests(view, tree, id))

    def tests(self, view: View, one: Condition, id: str) -> list[bool]:
        mailboxes, keywords = view.emails[id]
        message = self.facts[id].message
        summary = summarize(message.header)
        thread = [view.emails[other][1] for other in view.threads[self.facts[id].thread]]

        def says(addresses: list[dict[str, str]] | None, text: str) -> bool:
            held = " ".join(f"{one['name'] or ''} {one['email']}" for one in addresses or [])
            return all(word.casefold() in held.casefold() for word in split_words(text))

        tests = [
            one.in_mailbox is None or one.in_mailbox in mailboxes,
            one.in_mailbox_other_than is None or bool(mailboxes - set(one.in_mailbox_other_than)),
            one.before_s is None or message.received_at_s < one.before_s,
            one.after_s is None or message.received_at_s >= one.after_s,
            one.min_size is None or message.size_octets >= one.min_size,
            one.max_size is None or message.size_octets < one.max_size,
            one.has_keyword is None or one.has_keyword.lower() in keywords,
            one.not_keyword is None or one.not_keyword.lower() not in keywords,
        ]
        of_threads: tuple[tuple[str | None, Callable[[str], bool]], ...] = (
            (one.all_in_thread_have_keyword, lambda keyword: all(keyword in held for held in thread)),
            (one.some_in_thread_have_keyword, lambda keyword: any(keyword in held for held in thread)),
            (one.none_in_thread_have_keyword, lambda keyword: not any(keyword in held for held in thread)),
        )
        for keyword, is_so in of_threads:
            tests.append(keyword is None or is_so(keyword.lower()))
        if one.subject is not None:
            subject = (summary.subject or "").casefold()
            tests.append(all(word.casefold() in subject for word in split_words(one.subject)))
        tests += [one.from_ is None or says(summary.from_, one.from_), one.to is None or says(summary.to, one.to)]
        return tests
