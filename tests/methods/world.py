"""An account with mail for the tests of methods: the real index over an upstream that is a dictionary."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from gateway.account.account import Account
from gateway.account.backend import HEADER, WHOLE, SectionRequest, SectionVanished
from gateway.account.ids import upload_blob_id
from gateway.account.records import (
    Batch,
    EmailDetail,
    FlagChange,
    MailboxDelta,
    MailboxFacts,
    Mark,
    Need,
    NewMessage,
    TextCriterion,
)
from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context, Registry
from gateway.jmap.objects.mailbox import RIGHTS
from gateway.message.body import has_attachment
from gateway.message.parse import ParsedMessage, parse_message
from gateway.message.part import Part
from gateway.message.preview import preview
from gateway.methods import register
from tests.fakes.writes import IndexWrites

RECEIVED_S = 1_600_000_000


class Upload:
    def __init__(self, octets: bytes, type: str) -> None:
        self.octets, self.type, self.size_octets = octets, type, len(octets)

    async def chunks(self, offset_octets: int = 0) -> AsyncIterator[bytes]:
        for at in range(offset_octets, len(self.octets), 1000):
            yield self.octets[at : at + 1000]


class Uploads:
    def __init__(self) -> None:
        self.kept: dict[str, Upload] = {}

    def add(self, octets: bytes, type: str = "application/octet-stream") -> str:
        digest = sha256(octets).hexdigest()
        self.kept[digest] = Upload(octets, type)
        return upload_blob_id(digest)

    async def put(self, account_id: str, chunks: Any, type: str = "") -> Any:
        raise AssertionError("nothing is uploaded by a method")

    async def open(self, account_id: str, digest: str) -> Upload | None:
        return self.kept.get(digest)


class World(IndexWrites):
    """The upstream, and what a test does to it. `calls` counts what the gateway asked."""

    account: Account

    def __init__(self) -> None:
        super().__init__()
        self.mailboxes: dict[str, MailboxFacts] = {}
        self.indexed: set[str] = set()
        self.messages: dict[str, bytes] = {}
        self.waiting: dict[str, list[NewMessage]] = {}  # in mailboxes that are not indexed yet
        self.gone: set[str] = set()  # vanished upstream, and the index does not know
        self.calls: Counter[str] = Counter()
        self.requests: list[SectionRequest] = []
        self.needs: list[Need] = []
        self.streaming = 0  # sections that are being read
        self.uploads = Uploads()
        self._uid = 0
        self._parsed: dict[str, ParsedMessage] = {}

    # ------------------------------------------------------------ what a test does

    async def add_mailbox(self, id: str, *, name: str | None = None, is_indexed: bool = True, **facts: Any) -> str:
        facts.setdefault("parent_id", None)
        facts.setdefault("role", None)
        facts.setdefault("rights", frozenset(RIGHTS))
        self.mailboxes[id] = MailboxFacts(id=id, path=id, name=name or id, **facts)
        if is_indexed:
            self.indexed.add(id)
        await self._tree([id] if is_indexed else [])
        return id

    async def alter_mailbox(self, id: str, **facts: Any) -> None:
        old = self.mailboxes[id]
        values = {name: getattr(old, name) for name in MailboxFacts.__slots__}
        self.mailboxes[id] = MailboxFacts(**(values | facts))
        await self._tree([])

    async def remove_mailbox(self, id: str) -> None:
        del self.mailboxes[id]
        await self._tree([])

    async def _tree(self, indexed: Sequence[str]) -> None:
        mark = Mark(uidvalidity=1, uidnext=1, is_indexed=True)
        deltas = [MailboxDelta(id, mark=mark) for id in indexed]
        await self.account.apply(Batch(mailboxes=list(self.mailboxes.values()), deltas=deltas))

    async def deliver(
        self,
        octets: bytes | str,
        *mailbox_ids: str,
        id: str | None = None,
        flags: Sequence[str] = (),
        at_s: int | None = None,
    ) -> str:
        """Put a message into mailboxes. LF becomes CRLF."""
        if isinstance(octets, str):
            octets = octets.encode()
        octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self._uid += 1
        id = id or f"M{self._uid}"
        self.messages[id] = octets
        parsed = self.parsed(id)
        message = NewMessage(
            uid=self._uid,
            flags=tuple(flags),
            modseq=self._uid,
            received_at_s=RECEIVED_S + self._uid if at_s is None else at_s,
            size_octets=len(octets),
            email_id=id,
            thread_id=None,
            header=parsed.header_block,
        )
        deltas = []
        for mailbox_id in mailbox_ids or ("inbox",):
            if mailbox_id in self.indexed:
                deltas.append(MailboxDelta(mailbox_id, arrived=[message]))
            else:
                self.waiting.setdefault(mailbox_id, []).append(message)
        if deltas:
            await self.account.apply(Batch(deltas=deltas))
        return id

    async def flag(self, id: str, *flags: str) -> None:
        deltas = [
            MailboxDelta(place.mailbox_id, flagged=[FlagChange(place.uid, flags, 0)]) for place in self._places(id)
        ]
        await self.account.apply(Batch(deltas=deltas))

    async def expunge(self, id: str) -> None:
        deltas = [MailboxDelta(place.mailbox_id, vanished=[(place.uid, place.uid)]) for place in self._places(id)]
        await self.account.apply(Batch(deltas=deltas))
        self.gone.add(id)

    def _places(self, id: str) -> Sequence[Any]:
        with self.account.snapshot() as snapshot:
            return snapshot.locations([id])[id]

    def parsed(self, id: str) -> ParsedMessage:
        if id not in self._parsed:
            self._parsed[id] = parse_message(self.messages[id])
        return self._parsed[id]

    async def call(self, name: str, *, using: frozenset[str] = frozenset({CORE, MAIL}), **arguments: Any) -> Any:
        """Call a method on the account; `accountId` need not be said."""
        return await self.call_in(self.context(using), name, **arguments)

    async def call_in(self, context: Context, name: str, **arguments: Any) -> Any:
        """Call a method of a request that may have others."""
        registered = registry().get(name)
        assert registered is not None, name
        return await registered.method(context, {"accountId": "A1", **arguments})

    def context(self, using: frozenset[str] = frozenset({CORE, MAIL})) -> Context:
        return Context(
            login="someone",
            accounts={"A1": self.account},
            using=using,
            limits=Limits(max_objects_in_get=500),
            created_ids={"known": "M1"},
        )

    # ------------------------------------------------------------ what the gateway asks (account.backend.Backend)

    def is_filling(self) -> bool:
        return False

    async def refresh(self, need: Need) -> None:
        self.needs.append(need)
        wanted = [id for id in self.mailboxes if id not in self.indexed and (need.everything or id in need.mailbox_ids)]
        mark = Mark(uidvalidity=1, uidnext=1, is_indexed=True)
        self.indexed.update(wanted)
        if wanted:
            await self.account.apply(
                Batch(deltas=[MailboxDelta(id, arrived=self.waiting.pop(id, []), mark=mark) for id in wanted])
            )

    async def load_details(self, email_ids: Sequence[str]) -> None:
        self.calls["load_details"] += 1
        await self.account.apply(Batch(details=[self._detail(id, sized=False) for id in email_ids if self._has(id)]))

    async def load_sizes(self, email_ids: Sequence[str]) -> None:
        self.calls["load_sizes"] += 1
        await self.account.apply(Batch(details=[self._detail(id, sized=True) for id in email_ids if self._has(id)]))

    def _detail(self, id: str, *, sized: bool) -> EmailDetail:
        message = self.parsed(id)
        text = message.section("1").decode("utf-8", "replace")
        root = message.root if sized else _unsized(message.root)
        return EmailDetail(id, preview(text, is_html=False), root, has_attachment(root))

    async def load_sections(self, requests: Sequence[SectionRequest]) -> Mapping[tuple[str, str], bytes]:
        self.calls["load_sections"] += 1
        self.requests = list(requests)
        return {
            (request.email_id, request.section): self._section(request.email_id, request.section)[: request.max_octets]
            for request in requests
            if self._has(request.email_id)
        }

    async def stream_section(self, email_id: str, section: str) -> AsyncIterator[bytes]:
        self.calls["stream_section"] += 1
        if not self._has(email_id):
            raise SectionVanished
        octets = self._section(email_id, section)
        self.streaming += 1
        try:
            for at in range(0, len(octets), 7):
                yield octets[at : at + 7]
        finally:
            self.streaming -= 1

    async def search(self, criterion: TextCriterion, mailbox_ids: frozenset[str] | None) -> set[str]:
        self.calls["search"] += 1
        return {
            id
            for id, octets in self.messages.items()
            if all(word.encode().lower() in octets.lower() for word in criterion.words)
        }

    def stored(self, email_id: str, octets: bytes) -> None:
        self.messages[email_id] = octets

    def watch(self) -> Callable[[], None]:
        return lambda: None

    async def close(self) -> None:
        pass

    def _has(self, id: str) -> bool:
        return id in self.messages and id not in self.gone

    def _section(self, id: str, section: str) -> bytes:
        message = self.parsed(id)
        if section == WHOLE:
            return self.messages[id]
        if section == HEADER:
            return message.header_block
        if section.endswith(".MIME"):
            return message.part_header(section.removesuffix(".MIME"))
        return message.section(section)


def _unsized(part: Part) -> Part:
    """Return the structure as an IMAP server tells it."""
    values = {name: getattr(part, name) for name in Part.__slots__}
    values["decoded_octets"] = None
    values["subparts"] = tuple(_unsized(child) for child in part.subparts)
    return Part(**values)


_registry: Registry | None = None


def registry() -> Registry:
    global _registry
    if _registry is None:
        _registry = Registry()
        register(_registry)
    return _registry
