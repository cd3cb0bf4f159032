"""The gateway as a child process, configured for one Dovecot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.mailbox import LOGIN
from demo.gateway import public_url, start_gateway, wait_until_it_answers, write_config
from demo.ports import free_port
from tests.upstreams.upstream import Upstream

SYNC_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 15.0
COMMAND = Path(sys.executable).parent / "jmap-gateway"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway."""

    url: str
    admin_url: str
    process: subprocess.Popen[bytes]

    def metric(self, name: str) -> float:
        """Return the sum of one of its own metrics over the labels."""
        with urllib.request.urlopen(f"{self.admin_url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(rf"(?m)^jmap_gateway_{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", text)
        if not found:
            raise LookupError(f"/metrics has no {name}")
        return sum(map(float, found))

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        assert found is not None
        return int(found[1])


@contextmanager
def serving(server: Upstream, *, max_staleness_s: float = 5.0) -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="jmap-bench-") as name:
        directory, port, admin_port = Path(name), free_port(), free_port()
        config = _config(directory, server, port, admin_port, max_staleness_s)
        log = directory / "gateway.log"
        process = start_gateway(config, log)
        try:
            wait_until_it_answers(process, public_url(port), log)
            yield Gateway(public_url(port), public_url(admin_port), process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def sync(server: Upstream, login: str = LOGIN) -> dict[str, Any]:
    """Run `jmap-gateway sync` on an index that does not exist yet. Return what it reports, and the seconds outside."""
    with tempfile.TemporaryDirectory(prefix="jmap-bench-") as name:
        config = _config(Path(name), server, free_port(), free_port(), 5.0)
        argv = [str(COMMAND), "sync", login, "--config", str(config), "--json"]
        environment = {**os.environ, "JMAP_GATEWAY_PASSWORD": server.password}
        started = time.perf_counter()
        done = subprocess.run(argv, env=environment, capture_output=True, timeout=SYNC_TIMEOUT_S)
        wall_s = time.perf_counter() - started
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")
        report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return {**report, "wall_s": wall_s}


def _config(directory: Path, server: Upstream, port: int, admin_port: int, max_staleness_s: float) -> Path:
    path = write_config(
        directory / "gateway.toml",
        port=port,
        admin_port=admin_port,
        data_dir=directory / "var",
        imap=server.imap_url,
        tls="none",
    )
    with path.open("a") as config:
        config.write(f"max_staleness_s = {max_staleness_s}\n")
    return path
