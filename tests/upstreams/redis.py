"""Redis servers of our own: one, one with a replica and a Sentinel, or a Redis Cluster of three masters."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from demo.ports import HOST
from tests.upstreams.place import Place

PROGRAM = "redis-server"
CLUSTER_MASTERS = 3


class RedisServer:
    """One Redis process that can be stopped, killed and started again where it was."""

    def __init__(self, place: Place, name: str = "redis", *options: str) -> None:
        self.place, self.name, self.port = place, name, place.port(name)
        self.dir: Path = place.make(f"data-{name}")
        self._options = options
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def start(self, *options: str) -> None:
        arguments: Sequence[str | Path] = (
            *(PROGRAM, "--port", str(self.port), "--bind", HOST, "--dir", self.dir, "--save", ""),
            *("--daemonize", "no", "--maxmemory-policy", "noeviction", "--protected-mode", "no"),
            *(options or self._options),
        )
        self.place.spawn(self.name, arguments)
        self.process = self.place.processes[-1]
        self.place.wait_for_ports(self.name)
        self.place.wait_for(lambda: self.cli("PING") == "PONG", self.name)

    def cli(self, *words: str) -> str:
        """Run a command with redis-cli, which has nothing to do with the client library under test."""
        done = subprocess.run(
            ["redis-cli", "-h", HOST, "-p", str(self.port), *words], capture_output=True, text=True, timeout=10
        )
        return done.stdout.strip()

    def kill(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """End the process; `start()` brings it back with what it had written down."""
        os.kill(self.process.pid, sig)
        self.process.wait(10)
        self.place.forget(self.process)

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


class Cluster:
    """A Redis Cluster of three masters without replicas."""

    def __init__(self, place: Place) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port")
        self.servers = [
            RedisServer(place, f"redis{n}", *options, str(place.port(f"bus{n}"))) for n in range(CLUSTER_MASTERS)
        ]
        addresses = [f"{HOST}:{server.port}" for server in self.servers]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "0", "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=30)
        for server in self.servers:
            place.wait_for(lambda server=server: "cluster_state:ok" in server.cli("CLUSTER", "INFO"), "cluster")  # type: ignore[misc] # a default argument is how a loop variable is bound
        self.url = f"redis://{','.join(addresses)}"

    def cli(self, *words: str) -> str:
        """Run a command on every master."""
        return "\n".join(server.cli(*words) for server in self.servers)


class Watched:
    """A master and its replica, watched by a Sentinel that knows them as NAME."""

    NAME = "main"

    def __init__(self, place: Place) -> None:
        durable = ("--appendonly", "yes")
        self.master = RedisServer(place, "redis-a", *durable)
        self.replica = RedisServer(place, "redis-b", *durable, "--replicaof", f"{HOST} {self.master.port}")
        port = place.port("sentinel")
        lines = (
            f"port {port}",
            f"bind {HOST}",
            f"sentinel monitor {self.NAME} {HOST} {self.master.port} 1",
            f"sentinel down-after-milliseconds {self.NAME} 500",
            f"sentinel failover-timeout {self.NAME} 2000",
        )
        config = place.write("sentinel.conf", "\n".join(lines) + "\n", 0o666)
        place.spawn("sentinel", (PROGRAM, config, "--sentinel", "--dir", place.make("data-sentinel")))
        place.wait_for_ports("sentinel")
        place.wait_for(lambda: "master_link_status:up" in self.replica.cli("INFO", "replication"), "replica")
        place.wait_for(lambda: "slaves=1" in _ask(port, "INFO", "sentinel"), "sentinel")
        self.url = f"redis+sentinel://{HOST}:{port}/{self.NAME}/0"


def _ask(port: int, *words: str) -> str:
    done = subprocess.run(
        ["redis-cli", "-h", HOST, "-p", str(port), *words], capture_output=True, text=True, timeout=10
    )
    return done.stdout
