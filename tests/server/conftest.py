"""The whole gateway in this process, before a real server, and a client that speaks HTTP to it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config import load
from gateway.secret import Secret
from gateway.server.serve import running
from gateway.upstream.managesieve import Connection
from gateway.upstream.sasl import PasswordCredentials
from gateway.upstream.tls import Endpoint
from tests.upstreams.upstream import Upstream

USING = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]


class JmapClient:
    """One login at one gateway."""

    def __init__(self, http: aiohttp.ClientSession, url: str, login: str, password: str) -> None:
        self.http, self.url, self.login = http, url, login
        basic = base64.b64encode(f"{login}:{password}".encode()).decode()
        self.headers = {"Authorization": f"Basic {basic}"}
        self.account_id = ""
        self.using = USING

    async def session(self) -> tuple[int, dict[str, Any]]:
        """GET the Session: status and object (or problem document)."""
        async with self.http.get(f"{self.url}/.well-known/jmap", headers=self.headers) as answer:
            session: dict[str, Any] = await answer.json(content_type=None)
            if answer.status == 200:
                self.account_id = session["primaryAccounts"][USING[1]]
            return answer.status, session

    async def request(self, *calls: tuple[str, dict[str, Any]]) -> tuple[int, Any]:
        """POST method calls: status and the Response (or problem document). The accountId is added where it lacks."""
        if not self.account_id:
            await self.session()
        body = {
            "using": self.using,
            "methodCalls": [
                [name, {"accountId": self.account_id, **args}, str(n)] for n, (name, args) in enumerate(calls)
            ],
        }
        async with self.http.post(f"{self.url}/jmap/api", json=body, headers=self.headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def error(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Make one call that must fail; return the error's arguments."""
        _status, answer = await self.request((name, arguments))
        (answered, response, _call_id) = answer["methodResponses"][0]
        assert answered == "error", response
        error: dict[str, Any] = response
        return error

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Make one call and return its response's arguments; an error response fails the test."""
        status, answer = await self.request((name, arguments))
        assert status == 200, answer
        (answered, response, _call_id) = answer["methodResponses"][0]
        assert answered == name, response
        result: dict[str, Any] = response
        return result


class Switch:
    """A TCP proxy that can be switched off: an upstream that goes away and comes back."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def on(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def off(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._pipe(reader, back), self._pipe(there, writer))
        finally:
            self._open -= {writer, back}

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


MakeGateway = Callable[..., Awaitable[Callable[..., JmapClient]]]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[MakeGateway]:
    """Start gateways: `client = await gateway(upstream)`, then `client(login)`."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(
            upstream: Upstream, *, port: int | None = None, data: str = "data", more: str = "", staleness_s: float = 0
        ) -> Any:
            config = tmp_path / f"{data}.toml"
            config.write_text(
                f"""
[http]
listen = "127.0.0.1:0"
public_url = "http://gateway.test"
[admin]
listen = "127.0.0.1:0"
[store]
data_dir = "{tmp_path / data}"
[upstreams.test]
imap = "imap://{upstream.host}:{port or upstream.ports["imap"]}"
tls = "none"
max_staleness_s = {staleness_s}
{more}
"""
            )
            host, bound = await stack.enter_async_context(running(load(config, {})))
            url = f"http://{host}:{bound}"
            return lambda login, password=upstream.password: JmapClient(http, url, login, password)

        yield start


@pytest.fixture
async def sieve_client(gateway: MakeGateway, dovecot: Upstream) -> JmapClient:
    """A client of a gateway that has a ManageSieve server."""
    dovecot.place.wait_for_ports("sieve")
    more = f'sieve = "sieve://{dovecot.host}:{dovecot.ports["sieve"]}"'
    made = await gateway(dovecot, more=more)
    return made(dovecot.fresh_login())


@pytest.fixture
async def other_client(sieve_client: JmapClient, dovecot: Upstream) -> AsyncIterator[Connection]:
    """A ManageSieve client of the same login."""
    endpoint = Endpoint("localhost", dovecot.ports["sieve"], "starttls", ca_file=str(dovecot.ca_file))
    connection = await Connection.open(endpoint, PasswordCredentials(sieve_client.login, Secret(dovecot.password)))
    yield connection
    await connection.logout()
