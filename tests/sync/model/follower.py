"""A JMAP client that gets everything once and from then on only ever follows /changes and /queryChanges."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.account.account import Account
from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.errors import MethodError
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context
from gateway.sync.imap_backend import ImapBackend
from gateway.sync.link import translated
from tests.methods.world import registry

AT_ONCE = 100  # ids in one /get
EMAIL_PROPERTIES = ["threadId", "mailboxIds", "keywords", "size", "receivedAt", "subject", "messageId"]
TYPES = ("Mailbox", "Thread", "Email")
NEWEST = [{"property": "receivedAt", "isAscending": False}]

Objects = dict[str, dict[str, Any]]


def email_queries(inbox: str) -> list[dict[str, Any]]:
    """What clients ask for: every kind of filter and sort that the index evaluates."""
    in_inbox = {"inMailbox": inbox}
    return [
        {},
        {"sort": NEWEST},
        {"filter": in_inbox, "sort": NEWEST},
        {"filter": in_inbox, "sort": NEWEST, "collapseThreads": True},
        {"filter": {"inMailboxOtherThan": [inbox]}, "sort": [{"property": "subject"}, {"property": "receivedAt"}]},
        {"filter": {"notKeyword": "$seen"}, "sort": NEWEST, "collapseThreads": True},
        {
            "filter": {"operator": "OR", "conditions": [{"hasKeyword": "$flagged"}, {"subject": "topic 1"}]},
            "sort": [{"property": "hasKeyword", "keyword": "$flagged"}, {"property": "receivedAt"}],
        },
        {
            "filter": {"operator": "AND", "conditions": [in_inbox, {"someInThreadHaveKeyword": "$seen"}]},
            "sort": [{"property": "someInThreadHaveKeyword", "keyword": "$answered"}, *NEWEST],
            "collapseThreads": True,
        },
        {"filter": {"operator": "NOT", "conditions": [{"allInThreadHaveKeyword": "$seen"}]}, "sort": NEWEST},
        {"filter": {"from": "s2@example.com"}, "sort": [{"property": "size"}, {"property": "sentAt"}]},
    ]


MAILBOX_QUERIES: list[dict[str, Any]] = [
    {"sort": [{"property": "name"}]},
    {"filter": {"hasAnyRole": False}, "sort": [{"property": "sortOrder"}, {"property": "name"}]},
]


@dataclass
class Listing:
    """A query and what the client believes its result to be."""

    method: str
    arguments: dict[str, Any]
    ids: list[str] = field(default_factory=list)
    state: str = ""


class Follower:
    """Call `start` once, then `follow` whenever, then `check` when nothing changes any more."""

    def __init__(self, account: Account, seed: int, *, looks_once: bool = False) -> None:
        """`looks_once`: all that one `start` or `follow` asks for is answered from one look at the upstream."""
        self.account = account  # another one after a restart
        self.looks_once = looks_once
        self.random = random.Random(seed)
        self.objects: dict[str, Objects] = {type: {} for type in TYPES}
        self.states: dict[str, str] = {}
        self.listings: list[Listing] = []

    async def call(self, name: str, **arguments: Any) -> Any:
        registered = registry().get(name)
        assert registered is not None
        context = Context("someone", {"A1": self.account}, frozenset({CORE, MAIL}), Limits())
        return await registered.method(context, {"accountId": "A1", **arguments})

    # ------------------------------------------------------------ what a client does

    async def start(self) -> None:
        """Get everything."""
        async with self._looking():
            await self._start()

    async def follow(self) -> None:
        """Catch up: with each type, and with each listing, in any order."""
        async with self._looking():
            await self._follow()

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        """Ask the upstream at each call, or only now: a look at all flags of all mailboxes is dear."""
        if not self.looks_once:
            yield
            return
        assert isinstance(self.account.backend, ImapBackend)
        refresher = self.account.backend._refresher
        refresh = refresher.refresh
        with translated():
            await refresh()

        async def not_again() -> None:
            """The index is as fresh as it has to be."""

        refresher.refresh = not_again  # type: ignore[method-assign] # until the end of the block
        try:
            yield
        finally:
            refresher.refresh = refresh  # type: ignore[method-assign] # as above

    async def _start(self) -> None:
        answer = await self.call("Mailbox/get", ids=None)
        self.objects["Mailbox"] = {one["id"]: one for one in answer["list"]}
        self.states["Mailbox"] = answer["state"]
        (inbox,) = (one["id"] for one in answer["list"] if one["role"] == "inbox")
        queries = [("Email", query) for query in email_queries(inbox)]
        queries += [("Mailbox", query) for query in MAILBOX_QUERIES]
        self.listings = [Listing(type, query) for type, query in queries]
        for listing in self.listings:
            await self._list(listing)
        self.states["Email"] = (await self.call("Email/get", ids=[]))["state"]
        self.states["Thread"] = (await self.call("Thread/get", ids=[]))["state"]
        await self._get("Email", self.listings[0].ids)
        await self._get("Thread", {one["threadId"] for one in self.objects["Email"].values()})

    async def _follow(self) -> None:
        jobs: list[str | Listing] = [*TYPES, *self.listings]
        self.random.shuffle(jobs)
        for job in jobs:
            await (self._follow_listing(job) if isinstance(job, Listing) else self._follow_type(job))

    async def _follow_type(self, type: str) -> None:
        max_changes = self.random.choice([None, None, 1, 2, 7])
        while True:
            answer = await self.call(f"{type}/changes", sinceState=self.states[type], maxChanges=max_changes)
            changed = [*answer["created"], *answer["updated"]]
            assert max_changes is None or len(changed) + len(answer["destroyed"]) <= max_changes
            assert not {*changed} & {*answer["destroyed"]}
            for id in answer["destroyed"]:
                self.objects[type].pop(id, None)
            await self._get(type, changed, answer.get("updatedProperties"))
            self.states[type] = answer["newState"]
            if not answer["hasMoreChanges"]:
                return

    async def _get(self, type: str, ids: Iterable[str], properties: list[str] | None = None) -> None:
        if properties is None and type == "Email":
            properties = EMAIL_PROPERTIES
        wanted = list(ids)
        for at in range(0, len(wanted), AT_ONCE):
            answer = await self.call(f"{type}/get", ids=wanted[at : at + AT_ONCE], properties=properties)
            for one in answer["list"]:
                self.objects[type][one["id"]] = {**self.objects[type].get(one["id"], {}), **one}
            for id in answer["notFound"]:  # gone since: a later change tells of it
                self.objects[type].pop(id, None)

    async def _list(self, listing: Listing) -> None:
        answer = await self.call(f"{listing.method}/query", **listing.arguments)
        assert answer["canCalculateChanges"]
        listing.ids, listing.state = answer["ids"], answer["queryState"]

    async def _follow_listing(self, listing: Listing) -> None:
        max_changes = self.random.choice([None, None, None, 5])
        try:
            answer = await self.call(
                f"{listing.method}/queryChanges",
                **listing.arguments,
                sinceQueryState=listing.state,
                maxChanges=max_changes,
                calculateTotal=True,
            )
        except MethodError as error:
            if error.kind != "tooManyChanges" or max_changes is None:
                raise
            await self._list(listing)
            return
        removed = set(answer["removed"])
        ids = [id for id in listing.ids if id not in removed]
        for added in sorted(answer["added"], key=lambda added: added["index"]):
            assert added["id"] not in ids, "added and not removed"
            ids.insert(added["index"], added["id"])
        assert answer["total"] == len(ids), (listing.arguments, answer)
        listing.ids, listing.state = ids, answer["newQueryState"]

    # ------------------------------------------------------------ what it must have come to

    def check(self, truth: Follower) -> None:
        """Compare with a client that got everything just now."""
        for type in TYPES:
            _compare(type, self.objects[type], truth.objects[type])
            assert self.states[type] == truth.states[type], type
        for mine, theirs in zip(self.listings, truth.listings, strict=True):
            assert mine.ids == theirs.ids, mine.arguments


def _compare(type: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    phantom, lost = mine.keys() - theirs.keys(), theirs.keys() - mine.keys()
    assert not phantom, f"{type}: phantom {sorted(phantom)}"
    assert not lost, f"{type}: lost {sorted(lost)}"
    differing = {id: (mine[id], theirs[id]) for id in mine if mine[id] != theirs[id]}
    assert not differing, f"{type}: {differing}"
