"""Measure, and print one table. Exits with 1 if something misses its limit."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Protocol

from bench.clustered import FIT, clustered
from bench.forwarding import bench_forwarding
from bench.index import bench_index
from bench.listing import bench_listing
from bench.mailbox import CACHE, served
from bench.mirroring import bench_mirroring
from bench.push_latency import bench_push_latency, bench_push_looks
from bench.push_streams import bench_push_streams
from bench.resync import bench_resync
from bench.table import Table
from bench.watching import bench_watching, bench_watching_tls
from bench.writing import bench_writing

SIZES = (10_000, 100_000)
BENCHES = {
    "index": bench_index,
    "listing": bench_listing,
    "resync": bench_resync,
    "writing": bench_writing,
    "forwarding": bench_forwarding,
    "mirroring": bench_mirroring,
}


class PushBench(Protocol):
    """A bench that brings mailboxes of its own."""

    def __call__(self, table: Table, *, is_quick: bool) -> None: ...


PUSH_BENCHES: dict[str, PushBench] = {
    "watching": bench_watching,
    "watching_tls": bench_watching_tls,
    "push_latency": bench_push_latency,
    "push_looks": bench_push_looks,
    "push_streams": bench_push_streams,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"only {SIZES[0]:,} messages, and few of all else")
    parser.add_argument("--size", type=int, action="append", help="another number of messages; may be repeated")
    parser.add_argument(
        "--redis", action="store_true", help=f"with a Redis behind each gateway; only {', '.join(sorted(FIT))}"
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join([*BENCHES, *PUSH_BENCHES])}; all by default"
    )
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - {*BENCHES, *PUSH_BENCHES}:
        parser.error(f"no bench is called {' or '.join(sorted(unknown))}")
    if chosen.redis and (unfit := set(chosen.names) - FIT):
        parser.error(f"not with --redis: {', '.join(sorted(unfit))}")
    names = chosen.names or [name for name in (*BENCHES, *PUSH_BENCHES) if name in FIT or not chosen.redis]
    with clustered() if chosen.redis else nullcontext():
        table, failed = _run(names, chosen.size or SIZES[: 1 if chosen.quick else None], is_quick=chosen.quick)
    print("\n" + table.text())
    if failed:
        print(f"failed: {', '.join(failed)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "last.json").write_text(json.dumps([asdict(row) for row in table.rows], indent=1))
    return 1 if failed or any(row.is_met is False for row in table.rows) else 0


def _run(names: Sequence[str], sizes: Sequence[int], *, is_quick: bool) -> tuple[Table, list[str]]:
    """Return what was measured, and what failed."""
    table, failed = Table(tell=lambda line: print(line, flush=True)), []
    of_sizes = [name for name in names if name in BENCHES]
    for size in sizes if of_sizes else ():
        with served(size) as server:
            for name in of_sizes:
                print(f"{name}, {size:,} messages", flush=True)
                try:
                    BENCHES[name](server, size, table)
                except Exception:  # one bench that fails must not cost the others' numbers
                    traceback.print_exc()
                    failed.append(f"{name} of {size:,}")
    for name in [name for name in names if name in PUSH_BENCHES]:
        print(name, flush=True)
        try:
            PUSH_BENCHES[name](table, is_quick=is_quick)
        except Exception:  # as above
            traceback.print_exc()
            failed.append(name)
    return table, failed


if __name__ == "__main__":
    sys.exit(main())
