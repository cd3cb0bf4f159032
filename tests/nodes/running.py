"""Gateways as processes, so that they can be killed: the workers of one, or several nodes on one Redis."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from demo.ports import free_port, free_ports
from tests.upstreams.upstream import Upstream

START_TIMEOUT_S = 30.0
ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "gateway.cli")  # of this tree, whatever is installed
VAULT_KEYS = "1 " + "A" * 43 + "="


class Node:
    """One process (or a parent with its workers), on ports of its own."""

    def __init__(
        self,
        directory: Path,
        upstream: Upstream,
        *arguments: str,
        redis_url: str | None = None,
        http: str = "",
        max_staleness_s: float = 0.0,
        more: str = "",
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self._arguments = directory, arguments
        self._workers = int(arguments[arguments.index("--workers") + 1]) if "--workers" in arguments else 1
        self.port, self.admin_port = free_port(), free_ports(self._workers)
        self.log = directory / "gateway.log"
        config = directory / "gateway.toml"
        shared = "" if redis_url is None else f'redis_url = "{redis_url}"\n[auth]\nvault_keys = "{VAULT_KEYS}"\n'
        config.write_text(
            f"""
[http]
listen = "127.0.0.1:{self.port}"
public_url = "http://gateway.test"
{http}
[admin]
listen = "127.0.0.1:{self.admin_port}"
[cluster]
listen = "127.0.0.1:{free_ports(self._workers)}"
[upstreams.test]
imap = "imap://{upstream.host}:{upstream.ports["imap"]}"
tls = "none"
max_staleness_s = {max_staleness_s}
{more}
[store]
data_dir = "{directory / "data"}"
{shared}"""
        )
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [*COMMAND, "serve", "--config", str(self.directory / "gateway.toml"), *self._arguments]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=ROOT
            )

    def wait(self) -> None:
        """Wait until it serves."""
        end = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the gateway did not start\n{self.tail()}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Tell whether it serves; with `--workers`, whether all of them do."""
        try:
            for worker in range(self._workers):
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port + worker}/readyz", timeout=5).close()
        except OSError:
            return False
        return True

    def metric(self, name: str, *, port: int | None = None) -> float:
        """Return the sum of a metric over its labels."""
        url = f"http://127.0.0.1:{port or self.admin_port}/metrics"
        text = urllib.request.urlopen(url, timeout=5).read().decode()
        return sum(map(float, re.findall(rf"(?m)^jmap_gateway_{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", text)))

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def stop(self, timeout_s: float = 30.0) -> int:
        """End it with SIGTERM; return the exit code."""
        self.process.terminate()
        return self.process.wait(timeout_s)

    def close(self) -> None:
        """End it, however."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]
