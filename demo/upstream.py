"""pymap, an IMAP server from PyPI, with the demo account in memory."""

from __future__ import annotations

import imaplib
import subprocess
import sys
import time
from pathlib import Path

from demo.mail import MAILBOXES, messages

HOST = "127.0.0.1"
LOGIN = PASSWORD = "demo"
START_TIMEOUT_S = 30.0  # it needs 2 s; a small machine may need more
SERVICES_LEFT_OUT = ("managesieve", "admin")


def start_pymap(port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the server on a loopback port and fill the account. It ends when the process is terminated."""
    argv = [str(Path(sys.executable).parent / "pymap"), "--host", HOST, "--port", str(port), "--no-tls"]
    for service in SERVICES_LEFT_OUT:
        argv += ["--no-service", service]
    argv += ["dict", "--demo-user", LOGIN, "--demo-password", PASSWORD]
    with log.open("ab") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    try:
        with connect(process, port) as client:
            fill(client)
    except BaseException:
        process.kill()
        raise
    return process


def connect(process: subprocess.Popen[bytes], port: int) -> imaplib.IMAP4:
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            client = imaplib.IMAP4(HOST, port, START_TIMEOUT_S)
            client.login(LOGIN, PASSWORD)
        except (OSError, imaplib.IMAP4.error) as error:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the demo mail server (pymap) did not start: {error}") from error
            time.sleep(0.1)
        else:
            return client


def fill(client: imaplib.IMAP4) -> None:
    for mailbox in MAILBOXES:
        client.create(f'"{mailbox}"')
        client.subscribe(f'"{mailbox}"')
    for message in messages(int(time.time())):
        stamp = imaplib.Time2Internaldate(message.received_s)
        answer = client.append(f'"{message.mailbox}"', f"({message.flags})", stamp, message.octets)
        if answer[0] != "OK":
            raise SystemExit(f"the demo mail server (pymap) refused a message: {answer!r}")
