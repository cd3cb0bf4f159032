"""Clients that read, write and listen while nodes come and go, and know afterwards what must be true.

A client asks any node, as behind a proxy; one that cannot be reached is left out for a moment. It never repeats a write
that may have been carried out. What it was told is the truth that the end is compared with:

- an email whose creation was acknowledged is there once; one whose creation failed or was cut off, at most once;
- a keyword that was acknowledged is as it was set;
- the ids that it has followed by Email/changes alone, told by push when to look, are those that a query finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.nodes.running import Node
from tests.server.conftest import USING, JmapClient

ANSWER_S = 40.0  # a client's own patience
AGAIN_S = 1.0  # a client that got no answer asks again
LONG_GAP_S = 12.0  # from the first of its requests without an answer: it is told with what came instead
AVOID_S = 0.5  # a node that refused a connection
SETTLE_S = 60.0  # for the last push to come, on a busy machine


@dataclass
class Told:
    """What all clients saw."""

    requests: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    longest_gap_s: float = 0.0
    reloads: int = 0  # cannotCalculateChanges
    streams: int = 0
    faults: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)  # the long ones, with what came instead of answers

    def count(self, what: str) -> None:
        self.failed[what] = self.failed.get(what, 0) + 1


class Balancer:
    """Which nodes there are, for a client that wants one."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self._avoided: dict[int, float] = {}

    def pick(self) -> Node:
        now = time.monotonic()
        good = [node for node in self.nodes if self._avoided.get(node.port, 0) < now]
        return random.choice(good or list(self.nodes))

    def avoid(self, node: Node) -> None:
        self._avoided[node.port] = time.monotonic() + AVOID_S


class Simulated:
    """One login with one device."""

    def __init__(self, balancer: Balancer, http: aiohttp.ClientSession, login: str, password: str, told: Told) -> None:
        self._balancer, self._told = balancer, told
        self._client = JmapClient(http, "", login, password)
        # Each comes from an address of its own: what one address may try at once has a bound.
        self._client.headers["X-Forwarded-For"] = f"10.{'.'.join(map(str, random.randbytes(3)))}"
        self.login = login
        self._mailbox = ""
        self._serial = 0
        self._acked: dict[str, str] = {}  # subject -> id
        self._unknown: set[str] = set()
        self._flagged: dict[str, bool] = {}  # id -> what was acknowledged; gone where it is not known
        self._ids: set[str] = set()
        self._state: str | None = None
        self._pushed = asyncio.Event()
        self._is_measured = False
        self._trying_since: float | None = None  # the last answer, if something was asked then
        self._refused: list[str] = []  # what came instead

    async def begin(self) -> None:
        while not self._mailbox:
            answer = await self._ask("Mailbox/query", filter={"role": "inbox"})
            if answer is not None:
                self._mailbox = answer["ids"][0]
        while self._state is None:
            await self._reload()

    async def run(self, until: float, pause_s: float) -> None:
        """Work until then."""
        listening = asyncio.create_task(self._listen())
        self._is_measured = True
        try:
            while time.monotonic() < until:
                await random.choice((self._create, self._create, self._flag, self._read, self._follow))()
                wait_s = pause_s if self._trying_since is None else min(pause_s, AGAIN_S)
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))
            await self._settle()
        finally:
            self._is_measured = False
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def check(self) -> None:
        """Compare what is there with what was told; each difference is a fault."""
        self._pushed.set()
        await self._follow()  # a creation that was cut off may have been carried out since
        emails = await self._all()
        subjects: dict[str, int] = {}
        for email in emails.values():
            subjects[email["subject"]] = subjects.get(email["subject"], 0) + 1
        for subject, id in self._acked.items():
            if subjects.get(subject) != 1:
                self._fault(f"{subject} was created and is there {subjects.get(subject, 0)} times")
            elif id not in emails:
                self._fault(f"{subject} has another id")
        for subject in self._unknown:
            if subjects.get(subject, 0) > 1:
                self._fault(f"{subject} is doubled")
        for id, is_flagged in self._flagged.items():
            if id in emails and ("$flagged" in emails[id]["keywords"]) is not is_flagged:
                self._fault(f"{id} is {'not ' if is_flagged else ''}flagged")
        if self._ids != set(emails):
            missed, extra = set(emails) - self._ids, self._ids - set(emails)
            self._fault(f"Email/changes missed {len(missed)} and kept {len(extra)} of {len(emails)}")

    # ------------------------------------------------------------ what it does

    async def _create(self) -> None:
        self._serial += 1
        subject = f"{self.login} {self._serial}"
        body = {"mailboxIds": {self._mailbox: True}, "subject": subject, "keywords": {"$draft": True}}
        answer = await self._ask("Email/set", create={"e": body})
        if answer is None:
            self._unknown.add(subject)
        elif answer["created"]:
            self._acked[subject] = answer["created"]["e"]["id"]
            self._flagged[answer["created"]["e"]["id"]] = False
        else:
            self._unknown.add(subject)
            self._told.count(answer["notCreated"]["e"]["type"])

    async def _flag(self) -> None:
        if not self._flagged:
            return
        id = random.choice(list(self._flagged))
        wanted = not self._flagged.pop(id)
        answer = await self._ask("Email/set", update={id: {"keywords/$flagged": wanted or None}})
        if answer is not None and answer["updated"] is not None:
            self._flagged[id] = wanted

    async def _read(self) -> None:
        await self._ask("Email/query", filter={"inMailbox": self._mailbox}, limit=20)

    async def _follow(self) -> None:
        if not self._pushed.is_set():
            return
        self._pushed.clear()
        while True:
            answer = await self._ask("Email/changes", sinceState=self._state)
            if answer is None:
                self._pushed.set()
                return
            if "type" in answer:
                if answer["type"] == "cannotCalculateChanges":
                    self._told.reloads += 1
                    await self._reload()
                else:
                    self._pushed.set()
                return
            self._ids = (self._ids | set(answer["created"]) | set(answer["updated"])) - set(answer["destroyed"])
            self._state = answer["newState"]
            if not answer["hasMoreChanges"]:
                return

    async def _reload(self) -> None:
        answer = await self._ask("Email/get", ids=[])
        if answer is not None and "state" in answer:
            state, found = answer["state"], await self._all()
            self._ids, self._state = set(found), state
            self._pushed.set()

    async def _all(self) -> dict[str, Any]:
        while True:
            query = await self._ask("Email/query", filter={"inMailbox": self._mailbox}, limit=1000)
            if query is not None and "ids" in query:
                found = await self._ask("Email/get", ids=query["ids"], properties=["subject", "keywords"])
                if found is not None and "list" in found:
                    return {email["id"]: email for email in found["list"]}
            await asyncio.sleep(0.2)

    async def _settle(self) -> None:
        """Follow until push has told the newest state: nothing else makes the client look."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            await self._follow()
            answer = await self._ask("Email/get", ids=[])
            if answer is not None and answer.get("state") == self._state:
                return
            await asyncio.sleep(0.3)
        self._fault("push has not told the newest state")

    async def _listen(self) -> None:
        """Keep an event stream, with what was heard last."""
        last = ""
        while True:
            node = self._balancer.pick()
            headers = {**self._client.headers, **({"Last-Event-ID": last} if last else {})}
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                url = f"{node.url}/jmap/eventsource?types=Email&ping=30"
                async with self._client.http.get(url, headers=headers, timeout=_STREAM) as stream:
                    if stream.status == 200:
                        self._told.streams += 1
                        async for line in stream.content:
                            if line.startswith(b"id:"):
                                last = line[3:].strip().decode()
                            elif line.startswith(b"event: state"):
                                self._pushed.set()
            await asyncio.sleep(random.uniform(0.1, 0.5))

    # ------------------------------------------------------------ how it asks

    async def _ask(self, name: str, **arguments: Any) -> dict[str, Any] | None:
        """Make one call at any node; None where there was no answer to it. An error is its arguments."""
        node = self._balancer.pick()
        self._told.requests += 1
        began = time.monotonic()
        if self._trying_since is None:
            self._trying_since = began
        if not self._client.account_id and not await self._learn_account(node):
            return None
        body = {"using": USING, "methodCalls": [[name, {"accountId": self._client.account_id, **arguments}, "0"]]}
        try:
            async with self._client.http.post(
                f"{node.url}/jmap/api", json=body, headers=self._client.headers, timeout=_ANSWER
            ) as answer:
                response = await answer.json(content_type=None)
                if answer.status != 200:
                    self._count(f"HTTP {answer.status}", began)
                    await asyncio.sleep(0.2)
                    return None
        except (aiohttp.ClientError, TimeoutError) as error:
            self._count(type(error).__name__, began)
            self._balancer.avoid(node)
            return None
        answered, result, _id = response["methodResponses"][0]
        if answered == "error":
            self._count(f"{name}: {result['type']}", began)
            if result["type"] not in ("serverUnavailable", "cannotCalculateChanges"):
                self._fault(f"{name}: {result}")
            if result["type"] != "cannotCalculateChanges":
                return None
        self._note_answer()
        found: dict[str, Any] = result
        return found

    async def _learn_account(self, node: Node) -> bool:
        self._client.url = node.url
        try:
            return (await self._client.session())[0] == 200
        except aiohttp.ClientError:
            self._balancer.avoid(node)
            return False

    def _note_answer(self) -> None:
        if self._trying_since is not None and self._is_measured:
            gap_s = time.monotonic() - self._trying_since
            self._told.longest_gap_s = max(self._told.longest_gap_s, gap_s)
            if gap_s > LONG_GAP_S:
                self._told.gaps.append(f"{gap_s:.1f} s until {time.strftime('%X')}: {', '.join(self._refused)}")
        self._trying_since = None
        self._refused.clear()

    def _count(self, what: str, began: float) -> None:
        self._told.count(what)
        self._refused.append(f"{what} after {time.monotonic() - began:.1f} s")

    def _fault(self, text: str) -> None:
        self._told.faults.append(f"{self.login}: {text}")


_ANSWER = aiohttp.ClientTimeout(total=ANSWER_S)
_STREAM = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
