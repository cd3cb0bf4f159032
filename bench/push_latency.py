"""(g) How long after the upstream's own word a change stands in the index and is told to listeners.

    python -m bench.push_latency [--rounds 50]

Both hear of the same changes in the same run: a bare IMAP client that idles in the very mailbox (RFC 2177), and a
watched account. Dovecot gathers changes for half a second before it tells anybody.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.table import Row, Table
from gateway.account.account import Account
from gateway.account.records import Need
from gateway.secret import Secret
from gateway.sync.imap_backend import ImapBackend
from gateway.upstream.imap import Credentials, Endpoint, PasswordCredentials, Pool
from tests.fakes.uploads import NoUploads
from tests.upstreams import dovecot
from tests.upstreams.place import Place
from tests.upstreams.upstream import Upstream, expect_ok

ROUNDS = 50
MORE_MS = 100.0
HEARD_WITHIN_S = 10.0
BETWEEN_S = 0.7  # longer than Dovecot gathers: nothing that is told belongs to the change before
LOGIN = "pushed"
OTHER = "Elsewhere"
MESSAGE = b"Subject: latency %d\r\nMessage-ID: <%d@example.com>\r\n\r\nhello\r\n"


@dataclass
class Ear:
    """When something was heard first since `listen` was called."""

    heard: asyncio.Event = field(default_factory=asyncio.Event)
    at_s: float = 0.0

    def listen(self) -> None:
        self.heard.clear()

    def hear(self, *_: object) -> None:
        if not self.heard.is_set():
            self.at_s = time.perf_counter()
            self.heard.set()


class BareClient:
    """One connection that idles in one mailbox."""

    def __init__(self, ear: Ear) -> None:
        self.ear = ear

    async def open(self, server: Upstream, mailbox: str) -> None:
        self._reader, self._writer = await asyncio.open_connection(server.host, server.ports["imap"])
        await self._run(f"a LOGIN {LOGIN} {server.password}", b"a ")
        await self._run(f"b EXAMINE {mailbox}", b"b ")
        await self._run("c IDLE", b"+")
        self._task = asyncio.create_task(self._listen())

    async def _run(self, line: str, until: bytes) -> None:
        self._writer.write(line.encode() + b"\r\n")
        while not (await self._reader.readline()).startswith(until):
            pass

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            if not line.startswith(b"* OK Still here"):
                self.ear.hear()

    def close(self) -> None:
        self._task.cancel()
        self._writer.close()


def bench_push_latency(table: Table, rounds: int = ROUNDS) -> None:
    """Add the rows."""
    place = Place("bench")
    try:
        asyncio.run(_measure(dovecot.start(place), table, rounds))
    finally:
        place.close()


async def _measure(server: Upstream, table: Table, rounds: int) -> None:
    with server.imap(LOGIN) as imap, tempfile.TemporaryDirectory(prefix="jmap-bench-") as directory:
        expect_ok(imap.create(OTHER))
        account = await _watched(server, Path(directory))
        ours = Ear()
        account.subscribe(ours.hear)
        for mailbox in ("INBOX", OTHER):
            bare = Ear()
            client = BareClient(bare)
            await client.open(server, mailbox)
            took: dict[str, list[tuple[float, float]]] = {"delivered": [], "flagged": [], "expunged": []}
            expect_ok(imap.select(mailbox))
            for number in range(rounds):
                for what, act in _acts(server, imap, mailbox, number).items():
                    took[what].append(await _time(act, bare, ours))
            client.close()
            for what, pairs in took.items():
                _tell(table, f"{what}, {mailbox}", pairs)
        await account.aclose()


def _acts(server: Upstream, imap: object, mailbox: str, number: int) -> dict[str, Callable[[], object]]:
    message = MESSAGE % (number, number)

    def store(flag: str) -> None:
        expect_ok(imap.noop())  # type: ignore[attr-defined] # an imaplib.IMAP4; it learns of the last message
        expect_ok(imap.uid("STORE", "*", "+FLAGS", f"({flag})"))  # type: ignore[attr-defined] # as above

    def expunge() -> None:
        store(r"\Deleted")
        expect_ok(imap.expunge())  # type: ignore[attr-defined] # as above

    return {
        "delivered": lambda: server.deliver(LOGIN, message, mailbox),
        "flagged": lambda: store(r"\Flagged"),
        "expunged": expunge,
    }


async def _time(act: Callable[[], object], bare: Ear, ours: Ear) -> tuple[float, float]:
    """Return the milliseconds until the bare client and the account heard of it."""
    await asyncio.sleep(BETWEEN_S)
    bare.listen()
    ours.listen()
    begun = time.perf_counter()
    await asyncio.to_thread(act)
    async with asyncio.timeout(HEARD_WITHIN_S):
        await bare.heard.wait()
        await ours.heard.wait()
    return (bare.at_s - begun) * 1e3, (ours.at_s - begun) * 1e3


def _tell(table: Table, what: str, pairs: list[tuple[float, float]]) -> None:
    theirs, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    more = statistics.median(our - their for their, our in pairs)
    note = f"medians of {len(pairs)}; told {more:.1f} ms later, at worst {max(b - a for a, b in pairs):.0f}"
    table.add(Row(what, ours, "ms", "IDLE", theirs, note=note))
    table.add(Row("  later than the bare client", more, "ms", limit=MORE_MS))


async def _watched(server: Upstream, directory: Path) -> Account:
    async def current() -> Credentials:
        return PasswordCredentials(LOGIN, Secret(server.password))

    endpoint = Endpoint(server.host, server.ports["imap"], "none")
    account = Account(
        id="A1",
        name=LOGIN,
        login=LOGIN,
        path=directory / "index.db",
        make_backend=lambda account: ImapBackend(account, Pool(endpoint, current), max_staleness_s=5),
        uploads=NoUploads(),
    )
    await account.open()
    account.backend.watch()
    await account.fresh(Need(known=True, everything=True))
    await asyncio.sleep(1.0)
    return account


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    bench_push_latency(Table(), parser.parse_args().rounds)
