"""(d) Writing: one keyword, a thousand emails at once, and a large message."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from statistics import median

from bench.client import NEWEST_FIRST, JmapClient
from bench.drain import Drain
from bench.gateway import Gateway, serving
from bench.listing import wait_until_quiet
from bench.mailbox import LOGIN
from bench.recording import recorded
from bench.table import Row, Table
from tests.upstreams.upstream import Upstream

TOGGLE_TRIPS = 1
MANY = 1_000
MANY_RATIO = 1.5
ROUNDS = 9
LARGE_OCTETS = 40_000_000
GROWTH_KIB = 20 * 1024
BACKGROUND = r"BODYSTRUCTURE|BODY\.PEEK"  # details that a list view wants later
LINE = b"All work and no play makes a large message, and nobody reads it to the end.\r\n"


def bench_writing(server: Upstream, count: int, table: Table) -> None:
    """Add the rows of one mailbox size."""
    with recorded(server) as read, serving(server) as gateway:
        client = JmapClient(gateway.url, LOGIN, server.password)
        inbox = client.inbox_id()
        query = ("Email/query", {"filter": {"inMailbox": inbox}, "sort": NEWEST_FIRST, "limit": MANY})
        ids: list[str] = client.call(query)[0]["ids"]
        client.request("POST", client.api_path, client.list_view(inbox, 0))
        wait_until_quiet(gateway.metric)
        _toggle(client, ids[0], True)
        since_s = time.time()
        took_s = _toggle(client, ids[0], False)
        recording = read(since_s, leaving_out=BACKGROUND)
        said = ", ".join(sent.text.split("(")[0].strip() for sent in recording.commands)
        table.add(
            Row(f"toggle a keyword, {count:,}", recording.round_trips(), "trips", "", None, TOGGLE_TRIPS, note=said)
        )
        table.add(Row("  seconds", took_s, "s"))
        _many(server, client, ids, table)
        _large(client, gateway, inbox, table)
        client.close()


def _toggle(client: JmapClient, id: str, value: bool) -> float:
    return _set(client, [id], "keywords/$flagged", value)


def _set(client: JmapClient, ids: list[str], path: str, value: bool) -> float:
    body = client.encode(("Email/set", {"update": {id: {path: value or None} for id in ids}}))
    started = time.perf_counter()
    answer = json.loads(client.request("POST", client.api_path, body))
    seconds = time.perf_counter() - started
    updated = answer["methodResponses"][0][1].get("updated") or {}
    if len(updated) != len(ids):
        raise RuntimeError(f"{len(updated)} of {len(ids)} were updated: {str(answer)[:500]}")
    return seconds


def _many(server: Upstream, client: JmapClient, ids: list[str], table: Table) -> None:
    """Mark the newest emails; then the same messages by a bare STORE, when no other session hears of it."""
    ours = [_set(client, ids, "keywords/marked", turn % 2 == 0) for turn in range(ROUNDS)]
    bare = Drain(server)
    bare.run("SELECT INBOX")
    last = len(server_uids(server))
    messages = f"{max(1, last - len(ids) + 1)}:{last}"
    floor: list[float] = []
    for turn in range(ROUNDS):
        started = time.perf_counter()
        bare.run(f"STORE {messages} {'+-'[turn % 2]}FLAGS (bare)")
        floor.append(time.perf_counter() - started)
    bare.close()
    what = f"mark {len(ids):,} emails in one request"
    table.add(Row(what, median(ours) * 1e3, "ms", "the bare STORE", median(floor) * 1e3, MANY_RATIO, limits_ratio=True))


def server_uids(server: Upstream) -> list[bytes]:
    """Return the uids of the INBOX."""
    with server.selected(LOGIN) as client:
        found: bytes = client.uid("SEARCH", "ALL")[1][0]
    return found.split()


def _large(client: JmapClient, gateway: Gateway, inbox: str, table: Table) -> None:
    """Upload a message and import it; how much more memory the gateway takes meanwhile."""
    head = b"From: a@example.com\r\nSubject: large\r\nMessage-ID: <large@example.com>\r\n\r\n"
    message = head + LINE * (LARGE_OCTETS // len(LINE))
    before = _reset_peak(gateway)
    started = time.perf_counter()
    uploaded = json.loads(client.request("POST", f"/jmap/upload/{client.account_id}/", message))
    emails = {"k": {"blobId": uploaded["blobId"], "mailboxIds": {inbox: True}}}
    created = client.call(("Email/import", {"emails": emails}))[0]["created"]
    seconds = time.perf_counter() - started
    growth = gateway.resident_kib() - before
    client.call(("Email/set", {"destroy": [created["k"]["id"]]}))
    what = f"upload and import {LARGE_OCTETS // 1_000_000} MB"
    table.add(Row(what, seconds, "s"))
    table.add(Row("  memory it adds", growth, "KiB", "", None, GROWTH_KIB))


def _reset_peak(gateway: Gateway) -> int:
    """Make the peak of resident memory begin anew, and return what is resident now, in KiB."""
    process = Path(f"/proc/{gateway.process.pid}")
    (process / "clear_refs").write_text("5")
    found = re.search(r"VmRSS:\s+(\d+)", (process / "status").read_text())
    assert found is not None
    return int(found[1])
