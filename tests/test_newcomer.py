"""What a newcomer does: clone, `make run`, paste the line that it prints."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.mail import ROWS
from demo.ports import free_port
from tests.upstreams.upstream import Upstream

REPOSITORY = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 240.0  # it installs everything from the package index
STOP_TIMEOUT_S = 20.0
CURL_TIMEOUT_S = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone: nothing but what is committed."""
    target = tmp_path_factory.mktemp("newcomer") / "jmap-gateway"
    subprocess.run(["git", "clone", "-q", REPOSITORY, target], check=True)
    return target


@contextlib.contextmanager
def make_run(clone: Path, **settings: str) -> Iterator[str]:
    """Run `make run` until it is ready; yield what it printed; press Ctrl-C."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "MAKEFLAGS")}
    process = subprocess.Popen(
        ["make", "run"],
        cwd=clone,
        env={**inherited, "PYTHONUNBUFFERED": "1", **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a terminal sends Ctrl-C to a whole process group, and so do we
    )
    try:
        yield printed_until(process, "Ctrl-C")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def printed_until(process: subprocess.Popen[str], last: str) -> str:
    """Read the output up to the line that holds `last`."""
    assert process.stdout is not None
    stdout, lines = process.stdout, queue.SimpleQueue[str]()

    def read() -> None:
        for line in stdout:
            lines.put(line)
        lines.put("")  # the end

    threading.Thread(target=read, daemon=True).start()
    end, text = time.monotonic() + START_TIMEOUT_S, ""
    while last not in text:
        try:
            line = lines.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            line = ""
        if not line:
            raise AssertionError(f"make run never became ready; it printed:\n{text}")
        text += line
    return text


def paste_curl(printed: str) -> list[str]:
    """Run the printed curl line in a shell, as pasted; return the subjects that it answers."""
    line = next(line for line in printed.splitlines() if line.startswith("curl "))
    answer = subprocess.run(["sh", "-c", line], capture_output=True, timeout=CURL_TIMEOUT_S, check=True).stdout
    responses = json.loads(answer)["methodResponses"]
    subjects = {email["id"]: email["subject"] for email in responses[1][1]["list"]}
    return [subjects[email_id] for email_id in responses[0][1]["ids"]]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_printed_line_shows_the_inbox_of_the_demo(clone: Path) -> None:
    """From a clean clone: make run, paste the curl line, see the newest subjects; Ctrl-C leaves nothing behind."""
    inbox = sorted((row for row in ROWS if row.mailbox == "INBOX"), key=lambda row: row.hours_ago)
    port = free_port()
    with make_run(clone, PORT=str(port)) as printed:
        assert f"http://127.0.0.1:{port}" in printed
        assert paste_curl(printed) == [row.subject for row in inbox[:10]]
    assert not processes_of(clone)


@pytest.mark.upstream
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_real_server_takes_one_setting(clone: Path, dovecot: Upstream) -> None:
    """UPSTREAM names a real Dovecot, over TLS: the same line shows what is in its inbox."""
    login = dovecot.fresh_login()
    dovecot.append(login, b"Subject: first\r\n\r\none\r\n", at_s=1_700_000_000)
    dovecot.append(login, b"Subject: second\r\n\r\ntwo\r\n", at_s=1_700_000_060)
    settings = {
        "UPSTREAM": dovecot.imaps_url,
        "CA_FILE": str(dovecot.ca_file),
        "UPSTREAM_LOGIN": login,
        "UPSTREAM_PASSWORD": dovecot.password,
    }
    with make_run(clone, PORT=str(free_port()), **settings) as printed:
        assert dovecot.password not in printed
        asked = printed.replace(f"-u {login} ", f"-u {login}:{dovecot.password} ")  # what curl would ask for
        assert paste_curl(asked) == ["second", "first"]
    assert not processes_of(clone)


def processes_of(clone: Path) -> list[str]:
    """Processes that still run from the clone's virtual environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(clone) in words:
                found.append(words)
    return found
