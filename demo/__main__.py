"""`make run`: start the gateway before something, and say how to talk to it.

CONFIG=file              serve that configuration, as it is (a `gateway.toml` in this directory counts as named)
UPSTREAM=imaps://host    front a real server; also imap://host (STARTTLS), with TLS=none unencrypted, CA_FILE=own.pem
                         SMTP=submissions://host to send, SIEVE=sieve://host for filters and the vacation reply
                         UPSTREAM_LOGIN and UPSTREAM_PASSWORD, if set, let it print a complete curl line
neither                  front a mail server in memory that holds a few dozen messages
PORT=8080                where to listen
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from demo import upstream
from demo.client import Client
from demo.gateway import public_url, refuse_taken_port, start_gateway, wait_until_it_answers, write_config
from demo.ports import free_port

RUN_DIR = Path(".cache/run")
OWN_CONFIG = Path("gateway.toml")
STOP_TIMEOUT_S = 10.0  # the gateway finishes the requests it has
WATCH_S = 0.5


def main() -> None:
    # SIGINT too: what is started in the background of a shell begins with it ignored.
    for received in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(received, _interrupt)
    config = os.environ.get("CONFIG") or (str(OWN_CONFIG) if OWN_CONFIG.exists() else "")
    address = os.environ.get("UPSTREAM")
    RUN_DIR.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.ExitStack() as stack:
            if address:
                front(stack, address)
            elif config:
                serve(config)
            else:
                demonstrate(stack)
    except KeyboardInterrupt:
        print("\nstopped", flush=True)


def serve(config: str) -> None:
    """Become the gateway: whoever wrote a configuration wants to see its log."""
    print(f"serving {config}", flush=True)
    command = str(Path(sys.executable).parent / "jmap-gateway")
    os.execv(command, [command, "serve", "--config", config])


def demonstrate(stack: contextlib.ExitStack) -> None:
    """Serve the demo account."""
    port = listen_port()
    state = RUN_DIR / "demo"
    shutil.rmtree(state, ignore_errors=True)  # the mail of the last demonstration is gone, and so is its index
    state.mkdir(parents=True)
    print("starting a mail server in memory …", flush=True)
    imap_port = free_port()
    mail_server = upstream.start_pymap(imap_port, state / "pymap.log")
    stack.enter_context(stopped_at_the_end(mail_server))
    config = write_config(
        state / "gateway.toml",
        port=port,
        admin_port=(admin_port := free_port()),
        data_dir=state,
        imap=f"imap://{upstream.HOST}:{imap_port}",
        tls="none",
    )
    client = Client(public_url(port), upstream.LOGIN, upstream.PASSWORD)
    gateway = start(stack, config, state / "gateway.log", client.url)
    session = client.session()
    inbox_id = client.inbox_id(session)
    print(f"""
The gateway is ready.

  JMAP session  {client.session_url}
  login         {upstream.LOGIN}
  password      {upstream.PASSWORD}
  metrics       {public_url(admin_port)}/metrics

The newest subjects of the inbox:

{client.curl_line(session, inbox_id, show_password=True)}

Logs and configuration are in {state}. Ctrl-C stops everything.""", flush=True)  # fmt: skip
    watch(gateway, mail_server)


def front(stack: contextlib.ExitStack, address: str) -> None:
    """Serve the accounts of a real server."""
    port = listen_port()
    config = write_config(
        RUN_DIR / "upstream.toml",
        port=port,
        admin_port=(admin_port := free_port()),
        data_dir=Path("var"),
        imap=address,
        smtp=os.environ.get("SMTP") or None,
        sieve=os.environ.get("SIEVE") or None,
        tls=os.environ.get("TLS") or "verify",
        ca_file=os.environ.get("CA_FILE") or None,
    )
    login, password = os.environ.get("UPSTREAM_LOGIN"), os.environ.get("UPSTREAM_PASSWORD")
    client = Client(public_url(port), login or "LOGIN", password or "")
    gateway = start(stack, config, RUN_DIR / "gateway.log", client.url)
    line = f"curl -sS -u {client.login} {client.session_url}"
    if login and password:
        session = client.session()
        line = client.curl_line(session, client.inbox_id(session), show_password=False)
    print(f"""
The gateway is ready, before {address}.

  JMAP session  {client.session_url}
  login         as at the mail server
  metrics       {public_url(admin_port)}/metrics

{line}

The log is {RUN_DIR}/gateway.log, the configuration {config}. Ctrl-C stops it.""", flush=True)  # fmt: skip
    watch(gateway)


def start(stack: contextlib.ExitStack, config: Path, log: Path, url: str) -> subprocess.Popen[bytes]:
    log.unlink(missing_ok=True)
    gateway = start_gateway(config, log)
    stack.enter_context(stopped_at_the_end(gateway))
    wait_until_it_answers(gateway, url, log)
    return gateway


def watch(*processes: subprocess.Popen[bytes]) -> None:
    """Wait for Ctrl-C; end, with a failure, if one of the processes does."""
    while all(process.poll() is None for process in processes):
        time.sleep(WATCH_S)
    raise SystemExit(f"stopped by itself; see the logs in {RUN_DIR}")


@contextlib.contextmanager
def stopped_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()


def listen_port() -> int:
    try:
        port = int(os.environ.get("PORT") or 8080)
    except ValueError as error:
        raise SystemExit("PORT must be a number") from error
    refuse_taken_port(port)
    return port


def _interrupt(_received: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
