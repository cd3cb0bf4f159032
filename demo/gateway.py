"""The gateway itself, as a child process, configured for the demo server or for somebody's own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from demo.ports import HOST

START_TIMEOUT_S = 30.0  # a second is usual
POLL_S = 0.1


def write_config(
    path: Path,
    *,
    port: int,
    admin_port: int,
    data_dir: Path,
    imap: str,
    smtp: str | None = None,
    sieve: str | None = None,
    tls: str = "verify",
    ca_file: str | None = None,
) -> Path:
    """Write the least that the gateway needs: where it listens, where it keeps its state, where the mail is."""
    quote = json.dumps  # a JSON string is a TOML basic string
    lines = [
        "[http]",
        f"listen = {quote(f'{HOST}:{port}')}",
        f"public_url = {quote(public_url(port))}",
        "",
        "[admin]",
        f"listen = {quote(f'{HOST}:{admin_port}')}",
        "",
        "[store]",
        f"data_dir = {quote(str(data_dir.resolve()))}",
        "",
        "[upstreams.main]",
        'domains = ["*"]',
        f"imap = {quote(imap)}",
        *([f"smtp = {quote(smtp)}"] if smtp else []),
        *([f"sieve = {quote(sieve)}"] if sieve else []),
        f"tls = {quote(tls)}",
        *([f"ca_file = {quote(ca_file)}"] if ca_file else []),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def public_url(port: int) -> str:
    return f"http://{HOST}:{port}"


def refuse_taken_port(port: int) -> None:
    """Say at once, and before anything is started, that the port is not free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SystemExit(
                f"port {port} is not free ({error.strerror}); choose another: make run PORT=8081"
            ) from error


def start_gateway(config: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start `jmap-gateway serve`. Its output goes to the log; Ctrl-C is ours to pass on."""
    argv = [str(Path(sys.executable).parent / "jmap-gateway"), "serve", "--config", str(config)]
    with log.open("ab") as output:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)


def wait_until_it_answers(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return once HTTP is answered, whatever the answer: 401 is one."""
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/.well-known/jmap", timeout=START_TIMEOUT_S).close()
        except urllib.error.HTTPError:
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                tail = log.read_text(errors="replace")[-2000:]
                raise SystemExit(f"the gateway did not start ({error})\n{tail}") from error
            time.sleep(POLL_S)
        else:
            return
