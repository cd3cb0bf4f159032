"""The gateway as a child process that serves https, in front of a real mail server."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.gateway import start_gateway
from demo.ports import free_port
from tests.upstreams.certificates import make_certificates
from tests.upstreams.upstream import Upstream

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 30.0
CORE, MAIL, BLOB = (f"urn:ietf:params:jmap:{name}" for name in ("core", "mail", "blob"))


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, whatever its status."""

    status: int
    headers: dict[str, str]  # names in lower case
    octets: bytes

    def json(self) -> Any:
        return json.loads(self.octets)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway; what it knows of mail is never older than the request."""

    host: str  # with its port, as some clients want it
    ca: Path
    upstream: Upstream
    tls: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    def authorization(self, login: str) -> str:
        return "Basic " + b64encode(f"{login}:{self.upstream.password}".encode()).decode()

    def http(
        self, url: str, *, login: str | None = None, data: bytes | None = None, type: str = "application/json"
    ) -> Answer:
        headers = {"Content-Type": type} if data is not None else {}
        if login is not None:
            headers["Authorization"] = self.authorization(login)
        asked = urllib.request.Request(url, data, headers)
        try:
            answer = urllib.request.urlopen(asked, timeout=REQUEST_TIMEOUT_S, context=self.tls)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())

    def client(self, login: str | None = None) -> Client:
        """Sign in, to an account that holds no mail yet unless a login is given."""
        return Client(self, login or self.upstream.fresh_login())


class Client:
    """A client that sends what a test says, octet for octet, and no more."""

    def __init__(self, gateway: Gateway, login: str) -> None:
        self.gateway, self.login = gateway, login
        self.session: Any = gateway.http(f"{gateway.url}/.well-known/jmap", login=login).json()
        self.account_id: str = self.session["primaryAccounts"][MAIL]

    def request(self, *calls: Sequence[Any], using: Sequence[str] = (CORE, MAIL), **rest: Any) -> Any:
        """Return the Response object. A call is (name, arguments, call id); `accountId` is filled in."""
        full = [[name, {"accountId": self.account_id, **arguments}, *ids] for name, arguments, *ids in calls]
        body = {"using": list(using), "methodCalls": [call if len(call) == 3 else [*call, "0"] for call in full]}
        answer = self.gateway.http(self.session["apiUrl"], login=self.login, data=json.dumps({**body, **rest}).encode())
        assert answer.status == 200, answer
        return answer.json()

    def call(self, name: str, **arguments: Any) -> Any:
        """Return the arguments of the one response, which is no error."""
        ((answered, answer, _id),) = self.request((name, arguments))["methodResponses"]
        assert answered == name, answer
        return answer

    def upload(self, octets: bytes, type: str = "application/octet-stream") -> Any:
        url = self.session["uploadUrl"].replace("{accountId}", self.account_id)
        answer = self.gateway.http(url, login=self.login, data=octets, type=type)
        assert answer.status == 201, answer
        return answer.json()

    def download(self, blob_id: str, *, name: str = "x", type: str = "application/octet-stream") -> Answer:
        url: str = self.session["downloadUrl"]
        for variable, value in (("accountId", self.account_id), ("blobId", blob_id), ("name", name), ("type", type)):
            url = url.replace(f"{{{variable}}}", value)
        return self.gateway.http(url, login=self.login)

    def mailbox(self, role: str) -> str:
        """Return the id of the mailbox with this role."""
        (id,) = self.call("Mailbox/query", filter={"role": role})["ids"]
        return str(id)

    def append(self, *messages: str, mailbox: str = "INBOX", flags: str = "") -> None:
        """Put mail there behind the gateway's back. LF becomes CRLF."""
        octets = [message.replace("\n", "\r\n").encode() for message in messages]
        self.gateway.upstream.append(self.login, *octets, mailbox=mailbox, flags=flags)


@contextlib.contextmanager
def serving(upstream: Upstream, directory: Path, *, of_upstream: str = "", **settings: str) -> Iterator[Gateway]:
    """Run the gateway; `settings` go to the top of its configuration, `of_upstream` to the end of the upstream's."""
    tls = make_certificates(directory)
    host = f"localhost:{free_port()}"
    config, log = directory / "gateway.toml", directory / "gateway.log"
    config.write_text(
        "".join(f"{name} = {value}\n" for name, value in settings.items())
        + f"[http]\nlisten = {json.dumps(host)}\npublic_url = {json.dumps(f'https://{host}')}\n"
        + f"tls_cert = {json.dumps(str(tls.certificate))}\ntls_key = {json.dumps(str(tls.key))}\n"
        + f'[admin]\nlisten = "127.0.0.1:{free_port()}"\n'
        + f"[store]\ndata_dir = {json.dumps(str(directory / 'var'))}\n"
        + f'[upstreams.main]\nimap = {json.dumps(upstream.imap_url)}\ntls = "none"\nmax_staleness_s = 0.0\n'
        + "logins_per_second = 200\n"  # with that staleness each request logs in anew, to see what others share
        + of_upstream
    )
    process = start_gateway(config, log)
    try:
        gateway = Gateway(host, tls.ca, upstream, ssl.create_default_context(cafile=str(tls.ca)))
        _wait(gateway, process, log)
        yield gateway
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(gateway: Gateway, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            gateway.http(f"{gateway.url}/.well-known/jmap")
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                tail = log.read_text(errors="replace")[-2000:]
                raise AssertionError(f"the gateway did not start ({error})\n{tail}") from error
            time.sleep(0.1)
        else:
            return
