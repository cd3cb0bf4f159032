"""(i) What the mirror costs: what it adds to a write and to the first index, and what it takes of Redis's memory."""

from __future__ import annotations

import json
import time
from statistics import median

from bench.client import JmapClient
from bench.clustered import nodes, redis_server
from bench.mailbox import LOGIN
from bench.table import Row, Table
from tests.nodes.running import Node
from tests.upstreams.fixtures import DURABLE
from tests.upstreams.redis import RedisServer
from tests.upstreams.upstream import Upstream

ROUNDS = 300
WRITE_MS = 2.0
PER_MESSAGES = 10_000
MEMORY_KB = 3_000  # for so many messages
SNAPSHOT_TIMEOUT_S = 180.0


def bench_mirroring(server: Upstream, count: int, table: Table) -> None:
    """Add the rows of one mailbox size."""
    with redis_server(*DURABLE) as redis, nodes(server, redis.url, None) as (mirrored, alone):
        _writing(server, mirrored, alone, table)  # first: a large mailbox keeps a gateway busy for a while
        _indexing(server, mirrored, alone, redis, count, table)


def _indexing(server: Upstream, mirrored: Node, alone: Node, redis: RedisServer, count: int, table: Table) -> None:
    """Index the account without and with a mirror; what that takes once its log has become a snapshot."""
    without_s, _id = _index(server, alone)
    empty = _used(redis)
    seconds, account_id = _index(server, mirrored)
    table.add(Row(f"first index of {count:,} with a mirror", seconds, "s", "without", without_s))
    _wait_for_snapshot(redis, account_id)
    most = f"while it is indexed {(_used(redis, 'used_memory_peak') - empty) / 1e3:,.0f} kB for all"
    kb = (_used(redis) - empty) / 1e3 / (count / PER_MESSAGES)
    table.add(Row(f"Redis memory per {PER_MESSAGES:,} of {count:,} messages", kb, "kB", limit=MEMORY_KB, note=most))


def _index(server: Upstream, node: Node) -> tuple[float, str]:
    """Have a client come; return the seconds until all is indexed, and the id of its account."""
    client = JmapClient(node.url, LOGIN, server.password)
    started = time.perf_counter()
    client.request("POST", client.api_path, client.list_view(client.inbox_id(), 0))
    while node.metric("accounts_filling"):
        time.sleep(0.02)
    seconds = time.perf_counter() - started
    client.close()
    return seconds, client.account_id


def _writing(server: Upstream, mirrored: Node, alone: Node, table: Table) -> None:
    """Toggle a keyword in a small mailbox: in a large one Dovecot's own time hides what is measured here."""
    login = server.fresh_login()
    with server.selected(login) as imap:
        for _ in range(2):
            imap.append("INBOX", None, None, b"From: a@example.com\r\nSubject: small\r\n\r\nx\r\n")
    clients = [JmapClient(node.url, login, server.password) for node in (mirrored, alone)]
    ids = _ids(clients[0])
    for client in clients:
        _ids(client)
    times: tuple[list[float], list[float]] = ([], [])
    for round in range(ROUNDS):  # by turns, so that what else the machine does falls on both
        for client, id, took in zip(clients, ids, times, strict=True):  # of an email each, for it knows what it has set
            took.append(_toggle(client, id, round % 2 == 0) * 1e3)
    for client in clients:
        client.close()
    cost = median(times[0]) - median(times[1])
    note = f"{median(times[0]):.2f} ms, without Redis {median(times[1]):.2f} ms"
    table.add(Row("toggle a keyword with a mirror, more", cost, "ms", limit=WRITE_MS, note=note))


def _ids(client: JmapClient) -> list[str]:
    ids: list[str] = client.call(("Email/query", {"filter": {"inMailbox": client.inbox_id()}}))[0]["ids"]
    return ids


def _toggle(client: JmapClient, id: str, value: bool) -> float:
    body = client.encode(("Email/set", {"update": {id: {"keywords/$flagged": value or None}}}))
    started = time.perf_counter()
    answer = json.loads(client.request("POST", client.api_path, body))
    seconds = time.perf_counter() - started
    if id not in (answer["methodResponses"][0][1].get("updated") or {}):
        raise RuntimeError(f"the email was not updated: {str(answer)[:500]}")
    return seconds


def _used(redis: RedisServer, what: str = "used_memory") -> int:
    """Return octets. `used_memory` counts what the allocator gives too, unlike MEMORY USAGE of each key."""
    lines = dict(line.split(":", 1) for line in redis.cli("INFO", "memory").splitlines() if ":" in line)
    return int(lines[what])


def _wait_for_snapshot(redis: RedisServer, account_id: str) -> None:
    """Wait until the log of the first indexing has become a snapshot, with nothing more to be written."""
    end, before = time.monotonic() + SNAPSHOT_TIMEOUT_S, ""
    while True:
        keys = redis.cli("--scan", "--pattern", f"*{{{account_id}}}:mirror-snapshot*").split()
        state = " ".join(f"{key} {redis.cli('LLEN', key)}" for key in sorted(keys))
        if len(keys) == 1 and ":mirror-snapshot " in state and state == before:
            return
        if time.monotonic() > end:
            raise RuntimeError(f"no snapshot was written: {state}")
        before = state
        time.sleep(1)
