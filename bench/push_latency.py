"""(g) How long after the upstream's own word a client hears of a change, by EventSource and by WebSocket.

    python -m bench push_latency     where the upstream offers NOTIFY
    python -m bench push_looks       where it does not: IDLE tells of the INBOX, looks of everything else

All hear of the same changes in the same run: a bare IMAP client that idles in the very mailbox (RFC 2177), an event
stream and a WebSocket of the gateway. Two accounts are measured side by side: one is changed in its INBOX, the other in
another mailbox. Dovecot gathers changes for half a second before it tells anybody.
"""

from __future__ import annotations

import asyncio
import base64
import imaplib
import json
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import aiohttp

from bench.client import USING
from bench.gateway import serving
from bench.table import Row, Table
from gateway.sync.watch import SWEEP_S
from tests.upstreams import dovecot
from tests.upstreams.place import Place
from tests.upstreams.upstream import Upstream, expect_ok

ROUNDS = 50
ROUNDS_OF_LOOKS = 15  # each may take as long as the interval between two looks
QUICK_ROUNDS = 8
MORE_MS = 100.0
HEARD_WITHIN_S = 20.0
BETWEEN_S = 0.7  # longer than Dovecot gathers: nothing that is told belongs to the change before
BEGIN_S = 2.0  # until the watch has begun
OTHER = "Elsewhere"
MESSAGE = b"Subject: latency %d\r\nMessage-ID: <%d@example.com>\r\n\r\nhello\r\n"


class Ear:
    """When something was heard first since `listen` was called."""

    def __init__(self) -> None:
        self._heard = asyncio.Event()
        self._at_s = 0.0

    def listen(self) -> None:
        self._heard.clear()

    def hear(self) -> None:
        if not self._heard.is_set():
            self._at_s = perf_counter()
            self._heard.set()

    async def since(self, begun_s: float) -> float:
        """Wait until it hears; return the milliseconds from `begun_s` until it did. Raises TimeoutError."""
        async with asyncio.timeout(HEARD_WITHIN_S):
            await self._heard.wait()
        return (self._at_s - begun_s) * 1e3


@dataclass(frozen=True, slots=True)
class Ears:
    """Who hears of a change: the yardstick and ours."""

    bare: Ear
    stream: Ear
    socket: Ear


# Milliseconds: bare, stream, socket. Of some hundred changes one after another Dovecot 2.3 does not tell one (until the
# next): None.
Heard = tuple[float | None, float, float]


def bench_push_latency(table: Table, *, is_quick: bool = False) -> None:
    """Add the rows for an upstream that offers NOTIFY."""
    rounds = QUICK_ROUNDS if is_quick else ROUNDS
    _bench(table, "full", {"INBOX": (rounds, MORE_MS), OTHER: (rounds, MORE_MS)})


def bench_push_looks(table: Table, *, is_quick: bool = False) -> None:
    """Add the rows for an upstream that offers IDLE and CONDSTORE, and no NOTIFY."""
    rounds, of_looks = (QUICK_ROUNDS, QUICK_ROUNDS) if is_quick else (ROUNDS, ROUNDS_OF_LOOKS)
    _bench(table, "condstore", {"INBOX": (rounds, MORE_MS), OTHER: (of_looks, SWEEP_S * 1e3)})


def _bench(table: Table, tier: dovecot.Tier, scenes: dict[str, tuple[int, float]]) -> None:
    place = Place("bench")
    try:
        server = dovecot.start(place, tier)
        with serving(server) as gateway:
            asyncio.run(_measure(table, server, gateway.url, scenes))
    finally:
        place.close()


async def _measure(table: Table, server: Upstream, url: str, scenes: dict[str, tuple[int, float]]) -> None:
    taken = await asyncio.gather(
        *(_account(server, url, mailbox, rounds) for mailbox, (rounds, _) in scenes.items()),
    )
    for (mailbox, (_, more_ms)), of_acts in zip(scenes.items(), taken, strict=True):
        for what, heard in of_acts.items():
            _tell(table, f"{what}, {mailbox}", heard, more_ms)


async def _account(server: Upstream, url: str, mailbox: str, rounds: int) -> dict[str, list[Heard]]:
    """Change one account again and again; return when each heard of each kind of change."""
    login = f"pushed-{mailbox.lower()}"
    ears = Ears(Ear(), Ear(), Ear())
    with server.imap(login) as imap:
        if mailbox != "INBOX":
            expect_ok(imap.create(mailbox))
            _file_into(server, login, mailbox)
        expect_ok(imap.select(mailbox))
        async with AsyncExitStack() as listening:
            http = await listening.enter_async_context(aiohttp.ClientSession(headers=_basic(login, server.password)))
            await _index(http, url)
            await listening.enter_async_context(_reading(_listen_bare(server, login, mailbox, ears.bare)))
            await listening.enter_async_context(_reading(_listen_stream(http, url, ears.stream)))
            await listening.enter_async_context(_reading(_listen_socket(http, url, ears.socket)))
            await asyncio.sleep(BEGIN_S)
            taken: dict[str, list[Heard]] = {}
            for number in range(rounds):
                for what, act in _acts(server, imap, login, number).items():
                    taken.setdefault(what, []).append(await _time(act, ears))
    return taken


def _file_into(server: Upstream, login: str, mailbox: str) -> None:
    """Let what LMTP delivers to a login go into another mailbox than the INBOX."""
    assert server.maildir is not None
    script = Path(server.maildir.replace("USER", login)).parent / ".dovecot.sieve"
    script.write_text(f'require "fileinto";\nfileinto "{mailbox}";\n')
    server.place.give(script)


def _basic(login: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{login}:{password}'.encode()).decode()}"}


async def _index(http: aiohttp.ClientSession, url: str) -> None:
    """Sign in, and wait until all is indexed."""
    async with http.get(f"{url}/.well-known/jmap") as answer:
        account_id = (await answer.json())["primaryAccounts"][USING[1]]
    calls = [["Email/query", {"accountId": account_id}, "0"]]
    async with http.post(f"{url}/jmap/api", json={"using": USING, "methodCalls": calls}) as answer:
        answer.raise_for_status()


@asynccontextmanager
async def _reading(listener: AsyncIterator[None]) -> AsyncIterator[None]:
    """Run a listener beside the block, once it has said that it listens."""
    await anext(listener)
    task = asyncio.ensure_future(anext(listener))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _listen_bare(server: Upstream, login: str, mailbox: str, ear: Ear) -> AsyncIterator[None]:
    """Idle in one mailbox, over a connection of its own."""
    reader, writer = await asyncio.open_connection(server.host, server.ports["imap"])
    try:
        for command, until in (
            (f"a LOGIN {login} {server.password}", b"a OK"),
            (f"b EXAMINE {mailbox}", b"b OK"),
            ("c IDLE", b"+"),
        ):
            writer.write(command.encode() + b"\r\n")
            while not (await reader.readline()).startswith(until):
                pass
        yield
        while line := await reader.readline():
            if not line.startswith(b"* OK Still here"):
                ear.hear()
        raise ConnectionResetError("the mail server has hung up")
    finally:
        writer.close()


async def _listen_stream(http: aiohttp.ClientSession, url: str, ear: Ear) -> AsyncIterator[None]:
    forever = aiohttp.ClientTimeout()
    async with http.get(f"{url}/jmap/eventsource?types=Email&closeafter=no&ping=0", timeout=forever) as response:
        response.raise_for_status()
        yield
        async for octets in response.content:
            if octets.startswith(b"event: state"):
                ear.hear()
    raise ConnectionResetError("the event stream has ended")


async def _listen_socket(http: aiohttp.ClientSession, url: str, ear: Ear) -> AsyncIterator[None]:
    async with http.ws_connect(f"{url}/jmap/ws", protocols=("jmap",)) as socket:
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": ["Email"]})
        yield
        async for message in socket:
            assert json.loads(message.data)["@type"] == "StateChange"
            ear.hear()
    raise ConnectionResetError("the WebSocket has ended")


def _acts(server: Upstream, imap: imaplib.IMAP4, login: str, number: int) -> dict[str, Callable[[], object]]:
    """What another client does in one round: each is one change of the mailbox."""

    def store(flag: str) -> None:
        expect_ok(imap.noop())  # it learns of the last message
        expect_ok(imap.uid("STORE", "*", "+FLAGS", f"({flag})"))

    def expunge() -> None:
        store(r"\Deleted")
        expect_ok(imap.expunge())

    return {
        "delivered": lambda: server.deliver(login, MESSAGE % (number, number)),
        "flagged": lambda: store(r"\Flagged"),
        "expunged": expunge,
    }


async def _time(act: Callable[[], object], ears: Ears) -> Heard:
    await asyncio.sleep(BETWEEN_S)
    for ear in (ears.bare, ears.stream, ears.socket):
        ear.listen()
    begun_s = perf_counter()
    await asyncio.to_thread(act)
    ours = await ears.stream.since(begun_s), await ears.socket.since(begun_s)
    try:
        return await ears.bare.since(begun_s), *ours
    except TimeoutError:
        return None, *ours


def _tell(table: Table, what: str, heard: list[Heard], more_ms: float) -> None:
    told = [(bare, ours) for bare, *ours in heard if bare is not None]
    bare = statistics.median(bare for bare, _ in told)
    untold = f", {len(heard) - len(told)} that IDLE did not tell" if len(told) < len(heard) else ""
    for name, column in (("EventSource", 0), ("WebSocket", 1)):
        ours = statistics.median(ours[column] for _, ours in told)
        later = [ours[column] - bare for bare, ours in told]
        table.add(Row(f"{what}: {name}", ours, "ms", "IMAP IDLE", bare, note=f"medians of {len(told)}{untold}"))
        note = f"at worst {max(later):.0f} ms"
        table.add(Row("  later than the bare client", statistics.median(later), "ms", limit=more_ms, note=note))
