"""(f) Many accounts watched by one process while nothing happens: memory and CPU of an idle account.

    python -m bench watching watching_tls

A process of its own holds the accounts, so that its memory is theirs. Dovecot's limits are raised.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.table import Row, Table
from gateway.account.account import Account
from gateway.account.heap import TRIM_AFTER_S
from gateway.secret import Secret
from gateway.sync import watch
from gateway.sync.imap_backend import ImapBackend
from gateway.upstream.imap import Credentials, Endpoint, HostGate, PasswordCredentials, Pool
from tests.fakes.uploads import NoUploads
from tests.upstreams import dovecot
from tests.upstreams.place import Place
from tests.upstreams.upstream import Upstream

ACCOUNTS = 2000
QUICK_ACCOUNTS = 200
MEMORY_KB = 150.0
CPU_PERCENT = 5.0  # of one core, for ACCOUNTS_OF_CPU accounts
ACCOUNTS_OF_CPU = 2000
WARM_UP = 20  # accounts that are opened before memory is first looked at: code and caches that all share
MEASURE_S = 20.0
SETTLE_ROUNDS = 20
STILL_S = 0.02  # of CPU in one of these rounds: nothing happens any more
AT_ONCE = 50  # logins
START_TIMEOUT_S = 1200.0
INOTIFIES = Path("/proc/sys/fs/inotify/max_user_instances")
LIMITS = """
service imap-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 10000
}
service imap {
  process_limit = 10000
  vsz_limit = 1G
}
service anvil {
  client_limit = 30000
}
service auth {
  client_limit = 30000
}
service stats {
  client_limit = 30000
}
"""


@contextmanager
def crowded() -> Iterator[Upstream]:
    """Run a Dovecot that takes thousands of connections."""
    place = Place("bench")
    try:
        main = dovecot._services  # the raised limits stand behind the usual services
        dovecot._services = lambda place, ports: main(place, ports) + LIMITS
        try:
            yield dovecot.start(place)
        finally:
            dovecot._services = main
    finally:
        place.close()


@contextmanager
def many_inotifies(count: int) -> Iterator[None]:
    """Let each of Dovecot's processes have an inotify, if we may; one that has none looks every half minute."""
    before = INOTIFIES.read_text()
    may_change = os.access(INOTIFIES, os.W_OK) and int(before) < count
    if may_change:
        INOTIFIES.write_text(str(count))
    try:
        yield
    finally:
        if may_change:
            INOTIFIES.write_text(before)


def make_mailboxes(server: Upstream, accounts: int) -> None:
    """Let each account be seen once: Dovecot makes its mailboxes then, and tells of them half a minute later."""

    def touch(number: int) -> None:
        with server.imap(f"idle{number}") as imap:
            imap.xatom("LIST", '""', "*", "RETURN (STATUS (MESSAGES HIGHESTMODSEQ))")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(touch, range(accounts)))


def bench_watching(table: Table, *, is_quick: bool = False) -> None:
    """Add the rows, over plain TCP."""
    _measure(table, QUICK_ACCOUNTS if is_quick else ACCOUNTS, tls=False)


def bench_watching_tls(table: Table, *, is_quick: bool = False) -> None:
    """Add the rows, over TLS: each connection has its own state of OpenSSL."""
    _measure(table, QUICK_ACCOUNTS if is_quick else ACCOUNTS, tls=True)


def _measure(table: Table, accounts: int, *, tls: bool) -> None:
    with (
        crowded() as server,
        many_inotifies(accounts * 2),
        tempfile.TemporaryDirectory(prefix="jmap-bench-") as directory,
    ):
        make_mailboxes(server, accounts + WARM_UP)
        argv = [sys.executable, "-m", "bench.watching", "--child", directory, "--accounts", str(accounts)]
        argv += ["--host", server.host, "--port", str(server.ports["imaps" if tls else "imap"])]
        argv += ["--ca-file", str(server.ca_file)] if tls else []
        done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=START_TIMEOUT_S, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
    over = "TLS" if tls else "plain TCP"
    table.add(Row(f"memory of an idle watched account, {over}", told["kb"], "KB", limit=MEMORY_KB))
    note = f"{accounts:,} accounts; a look costs {told['look_ms']:.2f} ms; {told['started_s']:.0f} s to start"
    scaled = told["percent"] * ACCOUNTS_OF_CPU / accounts
    table.add(
        Row(f"  CPU of {ACCOUNTS_OF_CPU:,} while nothing happens", scaled, "% of a core", limit=CPU_PERCENT, note=note)
    )


async def hold(chosen: argparse.Namespace) -> dict[str, float]:
    """Open and watch accounts; return what one costs."""
    endpoint = Endpoint(chosen.host, chosen.port, "tls" if chosen.ca_file else "none", ca_file=chosen.ca_file)
    gate = HostGate(logins_per_s=1e6, burst=1000)
    watch.QUIET_S = 3.0  # so that what is let go of after a while is let go of before the measurement
    accounts: list[Account] = []
    turn = asyncio.Semaphore(AT_ONCE)

    async def open_one(number: int) -> None:
        credentials = PasswordCredentials(f"idle{number}", Secret("secret"))

        async def current() -> Credentials:
            return credentials

        account = Account(
            id=f"A{number}",
            name=f"idle{number}",
            login=f"idle{number}",
            path=Path(chosen.child) / f"{number}.db",
            make_backend=lambda account: ImapBackend(account, Pool(endpoint, current, gate=gate), max_staleness_s=5),
            uploads=NoUploads(),
        )
        accounts.append(account)
        async with turn:
            await account.open()
            account.backend.watch()
            while not account.backend._watcher.vouches():  # type: ignore[attr-defined] # noqa: ASYNC110 # no other sign
                await asyncio.sleep(0.05)

    async def settle() -> int:
        """Wait until what was begun is over and let go of; return the memory."""
        for _ in range(SETTLE_ROUNDS):
            cpu = time.process_time()
            await asyncio.sleep(watch.QUIET_S + TRIM_AFTER_S)
            if time.process_time() - cpu < STILL_S:
                break
        gc.collect()
        return resident_kb()

    await asyncio.gather(*map(open_one, range(WARM_UP)))
    before_kb = await settle()
    begun = time.monotonic()
    await asyncio.gather(*map(open_one, range(WARM_UP, chosen.accounts + WARM_UP)))
    started_s = time.monotonic() - begun
    after_kb = await settle()
    cpu, begun = time.process_time(), time.monotonic()
    await asyncio.sleep(MEASURE_S)
    percent = (time.process_time() - cpu) / (time.monotonic() - begun) * 100
    cpu = time.process_time()
    for account in accounts:  # the look that keeps an idle connection alive
        account.backend._watcher._news.want_sweep()  # type: ignore[attr-defined] # it comes once in RENEW_S
    await settle()
    look_s = (time.process_time() - cpu) / len(accounts)
    percent += look_s * chosen.accounts / watch.RENEW_S * 100
    return {
        "kb": (after_kb - before_kb) / chosen.accounts,
        "percent": percent,
        "look_ms": look_s * 1000,
        "started_s": started_s,
    }


def resident_kb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--child", "--host", "--ca-file"):
        parser.add_argument(name)
    for name in ("--accounts", "--port"):
        parser.add_argument(name, type=int)
    print(json.dumps(asyncio.run(hold(parser.parse_args()))), flush=True)
    os._exit(0)  # thousands of polite farewells are not what is measured
