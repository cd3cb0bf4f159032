"""(e) What it costs to reach an account by a node that does not own it: two nodes on one Redis, one owner."""

from __future__ import annotations

from statistics import median

from bench.client import JmapClient
from bench.clustered import nodes, redis_server
from bench.listing import wait_until_quiet
from bench.mailbox import LOGIN
from bench.table import Row, Table
from tests.upstreams.upstream import Upstream

TURNS = 12  # at the owner and elsewhere by turns, so that what else the machine does falls on both
ROUNDS = 50  # of a turn
FORWARDING_MS = 2.0


def bench_forwarding(server: Upstream, count: int, table: Table) -> None:
    """Add the rows of one mailbox size."""
    with redis_server() as redis, nodes(server, redis.url, redis.url) as (owner, other):
        local = JmapClient(owner.url, LOGIN, server.password)
        inbox_id = local.inbox_id()
        wait_until_quiet(owner.metric)
        remote = JmapClient(other.url, LOGIN, server.password)
        asked = {
            f"list view of {count:,}": local.list_view(inbox_id, 0),
            "Core/echo": local.encode(("Core/echo", {})),
        }
        for what, body in asked.items():
            here, there = [], []
            for turn in range(TURNS + 1):
                times = [client.timed("POST", client.api_path, body, ROUNDS).median_ms for client in (local, remote)]
                if turn:  # the first one warms up
                    here.append(times[0])
                    there.append(times[1])
            cost = median(there) - median(here)
            note = f"{median(there):.2f} ms, at the owner {median(here):.2f} ms"
            table.add(Row(f"{what} by another node, more", cost, "ms", limit=FORWARDING_MS, note=note))
        assert other.metric("accounts_open") == 0
        local.close()
        remote.close()
