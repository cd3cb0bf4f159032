"""(a) The first index of a mailbox, cold and warm, against reading the same bytes."""

from __future__ import annotations

from bench.drain import drain
from bench.gateway import sync
from bench.mailbox import LOGIN, number_messages, wipe_indexes
from bench.recording import recorded
from bench.table import Row, Table
from tests.upstreams.upstream import Upstream

COLD_RATIO, WARM_RATIO = 1.5, 3.0
GROWTH_KIB = 60 * 1024  # resident memory, whatever the number of messages
STALL_MS = 20.0
ROUNDS = 3  # warm measurements; the best counts on both sides, as other work on the machine only adds


def bench_index(server: Upstream, count: int, table: Table) -> None:
    """Add the rows of one mailbox size."""
    number_messages(server)
    with recorded(server) as read:
        sync(server)
        commands = read(0.0).fetches()
    if not commands:
        raise RuntimeError("the gateway sent no UID FETCH")
    nobody = sync(server, "nobody")

    wipe_indexes(server)
    cold_floor = drain(server, commands)
    wipe_indexes(server)
    cold = sync(server)
    warm_floor = min((drain(server, commands) for _ in range(ROUNDS)), key=lambda drained: drained.seconds)
    warm = min((sync(server) for _ in range(ROUNDS)), key=lambda report: float(report["seconds"]))
    if int(warm["messages"]) != count:
        raise RuntimeError(f"indexed {warm['messages']} of {count} messages of {LOGIN}")

    size = f"{count:,}"
    note = f"{warm_floor.octets / 2**20:.0f} MiB in {len(commands)} FETCHes"
    for name, report, floor, limit in (
        ("cold", cold, cold_floor, COLD_RATIO),
        ("warm", warm, warm_floor, WARM_RATIO),
    ):
        table.add(
            Row(
                f"first index of {size}, {name}",
                float(report["seconds"]),
                "s",
                "reading the bytes",
                floor.seconds,
                limit,
                limits_ratio=True,
                note=note,
            )
        )
    growth = float(warm["max_rss_kb"]) - float(nobody["max_rss_kb"])
    table.add(Row(f"  memory it adds, {size}", growth, "KiB", "an empty account", None, GROWTH_KIB))
    stall = max(float(cold["loop_stall_ms"]), float(warm["loop_stall_ms"]))
    table.add(Row(f"  longest stall of the event loop, {size}", stall, "ms", "", None, STALL_MS))
