"""JMAP over one kept-alive connection, each request timed."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
import urllib.parse
from dataclasses import dataclass
from statistics import median
from typing import Any

USING = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
LIST_PROPERTIES = (
    "threadId mailboxIds keywords from to subject receivedAt size preview hasAttachment".split()  # noqa: SIM905 # reads
)
NEWEST_FIRST = [{"property": "receivedAt", "isAscending": False}]
TIMEOUT_S = 300.0  # the first query of a large mailbox waits for its index


@dataclass(frozen=True, slots=True)
class Timed:
    """Latencies of one request made many times."""

    median_ms: float
    p95_ms: float
    octets: int


class Client:
    """One login over one connection."""

    def __init__(self, url: str, login: str = "", password: str = "") -> None:
        parts = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        token = base64.b64encode(f"{login}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        octets = answer.read()
        if answer.status not in (200, 201):
            raise RuntimeError(f"{method} {path}: HTTP {answer.status} {octets[:300]!r}")
        return octets

    def timed(self, method: str, path: str, body: bytes | None, rounds: int) -> Timed:
        times, octets = [], 0
        for _ in range(rounds):
            started = time.perf_counter()
            octets = len(self.request(method, path, body))
            times.append((time.perf_counter() - started) * 1e3)
        return Timed(median(times), sorted(times)[int(rounds * 0.95)], octets)

    def close(self) -> None:
        self._connection.close()


class JmapClient(Client):
    """The same, with the Session known."""

    def __init__(self, url: str, login: str, password: str) -> None:
        super().__init__(url, login, password)
        session = json.loads(self.request("GET", "/.well-known/jmap"))
        self.account_id: str = session["primaryAccounts"][USING[1]]
        self.api_path: str = urllib.parse.urlsplit(session["apiUrl"]).path

    def encode(self, *calls: tuple[str, dict[str, Any]]) -> bytes:
        named = [[name, {"accountId": self.account_id, **args}, str(n)] for n, (name, args) in enumerate(calls)]
        return json.dumps({"using": USING, "methodCalls": named}).encode()

    def call(self, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        responses = json.loads(self.request("POST", self.api_path, self.encode(*calls)))["methodResponses"]
        for response in responses:
            if response[0] == "error":
                raise RuntimeError(f"{calls!r}: {response!r}")
        return [response[1] for response in responses]

    def inbox_id(self) -> str:
        return str(self.call(("Mailbox/query", {"filter": {"role": "inbox"}}))[0]["ids"][0])

    def list_view(self, inbox_id: str, position: int) -> bytes:
        """The request that a mail client makes to show a mailbox."""
        return self.encode(
            (
                "Email/query",
                {
                    "filter": {"inMailbox": inbox_id},
                    "sort": NEWEST_FIRST,
                    "position": position,
                    "limit": 50,
                    "collapseThreads": True,
                },
            ),
            (
                "Email/get",
                {
                    "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"},
                    "properties": list(LIST_PROPERTIES),
                },
            ),
        )
