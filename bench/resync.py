"""(c) One new message in a large mailbox: how many round trips until the client has it."""

from __future__ import annotations

import time

from bench.client import JmapClient
from bench.gateway import serving
from bench.listing import wait_until_quiet
from bench.mailbox import LOGIN
from bench.recording import recorded
from bench.table import Row, Table
from tests.upstreams.upstream import Upstream

ROUND_TRIPS = 2
MAX_STALENESS_S = 1.0  # a request after that asks the upstream first
# What nobody waits for: what a list view wants later, and a look for what others share.
BACKGROUND = r"BODYSTRUCTURE|BODY\.PEEK\[1\]<|^NAMESPACE$"
MESSAGE = b"From: new@example.com\r\nSubject: just arrived\r\nMessage-ID: <new@example.com>\r\n\r\nhello\r\n"


def bench_resync(server: Upstream, count: int, table: Table) -> None:
    """Add the rows of one mailbox size."""
    with recorded(server) as read, serving(server, max_staleness_s=MAX_STALENESS_S) as gateway:
        client = JmapClient(gateway.url, LOGIN, server.password)
        client.request("POST", client.api_path, client.list_view(client.inbox_id(), 0))
        wait_until_quiet(gateway.metric)
        state = client.call(("Email/get", {"ids": []}))[0]["state"]
        server.append(LOGIN, MESSAGE)
        time.sleep(MAX_STALENESS_S)
        since_s = time.time()
        started = time.perf_counter()
        changes = client.call(("Email/changes", {"sinceState": state}))[0]
        seconds = time.perf_counter() - started
        if len(changes["created"]) != 1:
            raise RuntimeError(f"expected one new email: {changes!r}")
        recording = read(since_s, leaving_out=BACKGROUND)
        client.close()
    said = ", ".join(sent.text.split("(")[0].strip() for sent in recording.commands)
    what = f"resync of {count:,} after one new message"
    table.add(Row(what, recording.round_trips(), "trips", "", None, ROUND_TRIPS, note=said))
    table.add(Row("  seconds until Email/changes tells it", seconds, "s"))
