"""(b) A list view, once warm: latency over keep-alive, and IMAP commands."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.client import Client, JmapClient
from bench.gateway import serving
from bench.mailbox import LOGIN
from bench.table import Row, Table
from demo.gateway import public_url
from demo.ports import free_port
from tests.upstreams.place import accepts
from tests.upstreams.upstream import Upstream

ROUNDS = 300
WARM_UP = 20
POSITIONS = (0, 2000)
MEDIAN_MS = 2.0
YARDSTICK_TIMEOUT_S = 60.0
QUIET_S = 1.0  # the gateway is warm when it has done nothing by itself for so long
QUIET_TIMEOUT_S = 300.0
# Watching the upstream is not answering the list view: with this, no refresh falls into the measurement.
MAX_STALENESS_S = 3600.0


def bench_listing(server: Upstream, count: int, table: Table) -> None:
    """Add the rows of one mailbox size."""
    with serving(server, max_staleness_s=MAX_STALENESS_S) as gateway:
        client = JmapClient(gateway.url, LOGIN, server.password)
        inbox_id = client.inbox_id()
        octets = len(client.request("POST", client.api_path, client.list_view(inbox_id, 0)))
        wait_until_quiet(gateway.metric)
        with yardstick(octets, count) as url:
            plain = Client(url)
            body = client.list_view(inbox_id, 0)
            for path in ("/trivial", "/spike"):
                plain.timed("POST", path, body, WARM_UP)
            trivial = plain.timed("POST", "/trivial", body, ROUNDS)
            spike = plain.timed("POST", "/spike", body, ROUNDS)
            plain.close()
        for position in POSITIONS:
            body = client.list_view(inbox_id, position)
            client.timed("POST", client.api_path, body, WARM_UP)
            before = gateway.metric("imap_commands_total")
            timed = client.timed("POST", client.api_path, body, ROUNDS)
            sent = gateway.metric("imap_commands_total") - before
            what = f"list view of {count:,} at {position}"
            note = f"{timed.octets / 1000:.0f} kB; spike {spike.median_ms:.2f} ms"
            table.add(
                Row(f"{what}, median", timed.median_ms, "ms", "trivial answer", trivial.median_ms, MEDIAN_MS, note=note)
            )
            table.add(Row(f"{what}, p95", timed.p95_ms, "ms", "trivial answer", trivial.p95_ms))
            table.add(Row("  IMAP commands it took", sent, "", "", None, 0))
        client.close()


def wait_until_quiet(metric: Callable[[str], float]) -> None:
    """Wait until the account is indexed and its lazy details are filled in."""
    end, last, since = time.monotonic() + QUIET_TIMEOUT_S, -1.0, time.monotonic()
    while time.monotonic() - since < QUIET_S:
        if time.monotonic() > end:
            raise TimeoutError("the gateway never came to rest")
        now = metric("imap_commands_total")
        if now != last or metric("accounts_filling"):
            last, since = now, time.monotonic()
        time.sleep(0.25)


@contextmanager
def yardstick(octets: int, messages: int) -> Iterator[str]:
    port = free_port()
    argv = [sys.executable, "-m", "bench.yardstick", str(port), str(octets), str(messages)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + YARDSTICK_TIMEOUT_S
        while not accepts(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the yardstick did not start")
            time.sleep(0.1)
        yield public_url(port)
    finally:
        process.terminate()
        process.wait()
