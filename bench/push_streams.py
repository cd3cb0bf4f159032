"""(h) Many event streams of one account: what one costs, and how soon each hears of a change.

    python -m bench push_streams

The gateway's HTTP side runs in a process of its own, over an account whose changes are made here, so that memory is the
streams' and time begins where a batch has been applied.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.table import Row, Table
from gateway.account.account import Account
from gateway.auth import Authenticator, Caller, UpstreamLogin
from gateway.jmap.dispatch import Dispatcher
from gateway.jmap.limits import Limits
from gateway.jmap.method import Registry
from gateway.metrics import Metrics
from gateway.upstream.sasl import Credentials
from gateway.web.app import make_app
from gateway.web.site import Site
from tests.push.accounts import opened, rename

STREAMS = 2000
QUICK_STREAMS = 200
CHANGES = 50
WARM_UP = 20  # streams that are opened before memory is looked at: code and caches that all share
LIMIT_KB = 100.0
LIMIT_MS = 100.0
OPEN_AT_ONCE = 200
TIMEOUT_S = 60.0
BASIC = base64.b64encode(b"ann@example.com:x").decode()
REQUEST = (
    f"GET /jmap/eventsource?types=*&closeafter=no&ping=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {BASIC}\r\n\r\n"
)


def bench_push_streams(table: Table, *, is_quick: bool = False) -> None:
    """Add the rows."""
    streams = QUICK_STREAMS if is_quick else STREAMS
    resource.setrlimit(resource.RLIMIT_NOFILE, (streams + 200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    argv = [sys.executable, "-m", "bench.push_streams"]
    server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    readers = _Readers()
    try:
        port = int(_answer(server)["port"])
        readers.open(port, 1)
        alone = [_change(server, readers) for _ in range(CHANGES)]
        readers.open(port, WARM_UP)
        before = _ask(server, "memory")["kib"]
        readers.open(port, streams)
        after = _ask(server, "memory")["kib"]
        each_kb = (after - before) * 1.024 / streams
        crowd = [_change(server, readers) for _ in range(CHANGES)]
        told = _ask(server, "memory")["kib"]
    finally:
        readers.close()
        server.kill()
        server.wait()
    name = f"{streams:,} event streams"
    table.add(Row(f"{name}: memory of one", each_kb, "kB", limit=LIMIT_KB))
    note = f"after {CHANGES} changes"
    table.add(Row(f"{name}: memory of one, told", (told - before) * 1.024 / streams, "kB", limit=LIMIT_KB, note=note))
    first = statistics.median(first for first, _ in alone) * 1000
    table.add(Row("one event stream: applied to read", first, "ms", limit=LIMIT_MS, note="median"))
    last = statistics.median(last for _, last in crowd) * 1000
    table.add(Row(f"{name}: applied to read by the last", last, "ms", note="median"))


class _Readers:
    """Raw connections, cheap to hold."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []

    def open(self, port: int, count: int) -> None:
        """Open streams, and wait until each has begun."""
        for at in range(0, count, OPEN_AT_ONCE):
            new = []
            for _ in range(min(OPEN_AT_ONCE, count - at)):
                connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
                connection.sendall(REQUEST.encode())
                self._selector.register(connection, selectors.EVENT_READ)
                self._sockets.append(connection)
                new.append(connection)
            self._wait(set(new), b"\nid: ")

    def hear(self) -> tuple[float, float]:
        """Wait until each has read an event; return when the first and when the last had."""
        return self._wait(set(self._sockets), b"event: state")

    def close(self) -> None:
        for connection in self._sockets:
            connection.close()

    def _wait(self, waiting: set[socket.socket], mark: bytes) -> tuple[float, float]:
        first, seen = 0.0, dict.fromkeys(waiting, b"")
        deadline = time.monotonic() + TIMEOUT_S
        while seen:
            for key, _ in self._selector.select(1):
                connection: Any = key.fileobj
                octets = connection.recv(65536)
                now = time.monotonic()
                if not octets:
                    raise EOFError("a stream has ended")
                if connection in seen:
                    seen[connection] += octets
                    if mark in seen[connection]:
                        del seen[connection]
                        first = first or now
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(seen)} streams did not hear")
        return first, now


def _change(server: subprocess.Popen[str], readers: _Readers) -> tuple[float, float]:
    """Make a change; return the seconds from its being applied until the first and the last had read of it."""
    time.sleep(0.06)  # past the pause between two events
    assert server.stdin is not None
    server.stdin.write("change\n")
    server.stdin.flush()
    first, last = readers.hear()
    applied = float(_answer(server)["applied"])
    return first - applied, last - applied


def _ask(server: subprocess.Popen[str], word: str) -> dict[str, Any]:
    assert server.stdin is not None
    server.stdin.write(f"{word}\n")
    server.stdin.flush()
    return _answer(server)


def _answer(server: subprocess.Popen[str]) -> dict[str, Any]:
    assert server.stdout is not None
    answer: dict[str, Any] = json.loads(server.stdout.readline())
    return answer


# ---------------------------------------------------------------- the process that is measured


async def _serve() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory(prefix="jmap-bench-") as directory:
        async with opened(Path(directory) / "a.db") as account:
            runner = web.AppRunner(make_app(_site(account)), access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=OPEN_AT_ONCE * 2).start()
            _tell(port=runner.addresses[0][1])
            await _obey(account)


async def _obey(account: Account) -> None:
    loop, names = asyncio.get_running_loop(), 0
    applied_at = [0.0]
    account.subscribe(lambda _applied: applied_at.__setitem__(0, time.monotonic()))
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "memory":
            gc.collect()
            _tell(kib=_resident_kib())
        else:
            names += 1
            await rename(account, f"Inbox {names}")
            _tell(applied=applied_at[0])


def _tell(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def _resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _site(account: Account) -> Site:
    async def verify(_upstream: str, _credentials: Credentials) -> None:
        """Every login is taken."""

    async def accounts_of(_caller: Caller) -> dict[str, Account]:
        return {account.id: account}

    async def no_blob(_account: Account, _blob_id: str) -> None:
        return None

    return Site(
        public_url="http://127.0.0.1",
        authenticator=Authenticator([UpstreamLogin("main")], verify, account_key=b"k" * 32),
        accounts_of=accounts_of,
        dispatcher=Dispatcher(Registry(), Limits()),
        limits=Limits(),
        open_blob=no_blob,
        metrics=Metrics(),
    )


if __name__ == "__main__":
    asyncio.run(_serve())
