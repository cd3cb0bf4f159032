"""Where one server lives while it runs: directory, ports, processes, certificates.

Rules
1. Paths stay short: a unix socket's path may have 107 octets at most, and servers add up to 30 of their own.
2. A process started here dies with us, even when we are killed (`setpriv --pdeathsig`).
3. Servers started as root drop to the user `mail`, so that user must be able to reach the directory.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from demo.ports import HOST, bound_port

PATH_LIMIT = 70  # leaves a server room to name its sockets
START_TIMEOUT_S = 20.0  # normally well below a second; a loaded machine needs more
STOP_TIMEOUT_S = 5.0


class StartFailed(Exception):
    """A server did not come up; the message holds the end of its log."""


class Place:
    """The directory, ports and processes of one server. `close()` ends and removes everything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = os.geteuid() == 0
        self.owner = pwd.getpwnam("mail") if self.root else pwd.getpwuid(os.geteuid())
        self.group = grp.getgrgid(self.owner.pw_gid).gr_name
        self.dir = Path(tempfile.mkdtemp(prefix=f"{name[:12]}-"))
        if len(str(self.dir)) > PATH_LIMIT:
            self.dir.rmdir()
            self.dir = Path(tempfile.mkdtemp(prefix="up-", dir="/tmp"))
        if self.root:
            self.dir.chmod(0o755)
        self._ports: dict[str, tuple[int, socket.socket | None]] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self.make("log")

    def make(self, name: str) -> Path:
        """Make a directory that the server's user may write to."""
        path = self.dir / name
        path.mkdir(parents=True, exist_ok=True)
        return self.give(path)

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def give(self, path: Path) -> Path:
        """Hand a path to the server's user."""
        if self.root:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        return path

    def port(self, name: str) -> int:
        """A loopback port that stays ours, bound but not listening, until `release_ports()`."""
        if name not in self._ports:
            held = bound_port()
            self._ports[name] = held.getsockname()[1], held
        return self._ports[name][0]

    @property
    def ports(self) -> dict[str, int]:
        return {name: port for name, (port, _) in self._ports.items()}

    def release_ports(self) -> None:
        """Let the server bind what `port()` has promised it."""
        for name, (port, held) in self._ports.items():
            if held is not None:
                held.close()
                self._ports[name] = port, None

    def spawn(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start a process of the server, its output going to `log/NAME.out`."""
        self.release_ports()
        with (self.dir / f"log/{name}.out").open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        self._processes.append(process)

    @property
    def processes(self) -> Sequence[subprocess.Popen[bytes]]:
        return self._processes

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """Take a process that has ended out of those whose end is a failure."""
        self._processes.remove(process)

    def wait_for(self, ready: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while not ready():
            if time.monotonic() > end or any(p.poll() is not None for p in self._processes):
                raise StartFailed(f"{self.name}: {what} did not come up\n{self.log_tail()}")
            time.sleep(0.01)

    def wait_for_ports(self, *names: str) -> None:
        for name in names:
            self.wait_for(lambda name=name: accepts(self.port(name)), f"port {name}")  # type: ignore[misc] # a default argument is how a loop variable is bound

    def log_tail(self, octets: int = 3000) -> str:
        """The end of everything the server has logged."""
        logs = sorted(p for p in (self.dir / "log").rglob("*") if p.is_file())
        return "\n".join(f"--- {p.name}\n" + p.read_bytes()[-octets:].decode(errors="replace") for p in logs)

    def keep_logs(self, target: Path) -> None:
        """Copy the logs to `target` before `close()` throws them away."""
        shutil.rmtree(target, ignore_errors=True)
        with contextlib.suppress(OSError):
            shutil.copytree(self.dir / "log", target)

    def close(self) -> None:
        """End every process, children included, and remove the directory."""
        for process in self._processes:
            _signal_group(process, signal.SIGTERM)
        end = time.monotonic() + STOP_TIMEOUT_S
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.01, end - time.monotonic()))
            _signal_group(process, signal.SIGKILL)  # children that outlived their master
            process.wait()
        self.release_ports()
        shutil.rmtree(self.dir, ignore_errors=True)


def _signal_group(process: subprocess.Popen[bytes], sig: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sig)


def accepts(port: int) -> bool:
    """Whether something listens on the port."""
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True
