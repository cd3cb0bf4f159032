"""Just enough of a JMAP client to see that the inbox answers, and to print how to ask it."""

from __future__ import annotations

import base64
import json
import shlex
import urllib.request
from dataclasses import dataclass
from typing import Any

CORE, MAIL = "urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"
TIMEOUT_S = 30.0  # the first request waits for the first index of the inbox
SHOWN = 10  # subjects


@dataclass(frozen=True, slots=True)
class Client:
    """One login at the gateway."""

    url: str
    login: str
    password: str

    @property
    def session_url(self) -> str:
        return f"{self.url}/.well-known/jmap"

    def session(self) -> dict[str, Any]:
        return self._load(self.session_url)

    def call(self, session: dict[str, Any], *calls: list[Any]) -> list[Any]:
        """Make method calls and return the responses."""
        octets = json.dumps({"using": [CORE, MAIL], "methodCalls": calls}).encode()
        responses: list[Any] = self._load(session["apiUrl"], octets)["methodResponses"]
        return responses

    def inbox_id(self, session: dict[str, Any]) -> str:
        account_id = session["primaryAccounts"][MAIL]
        found = self.call(session, ["Mailbox/query", {"accountId": account_id, "filter": {"role": "inbox"}}, "0"])
        return str(found[0][1]["ids"][0])

    def curl_line(self, session: dict[str, Any], inbox_id: str, *, show_password: bool) -> str:
        """Return a command that prints the newest subjects of the inbox."""
        calls = newest_subjects(session["primaryAccounts"][MAIL], inbox_id)
        request = json.dumps({"using": [CORE, MAIL], "methodCalls": calls}, separators=(",", ":"))
        user = f"{self.login}:{self.password}" if show_password else self.login
        words = ["curl", "-sS", "-u", user, "-H", "Content-Type: application/json", "-d", request, session["apiUrl"]]
        return shlex.join(words)

    def _load(self, url: str, octets: bytes | None = None) -> dict[str, Any]:
        token = base64.b64encode(f"{self.login}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, octets, headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            loaded: dict[str, Any] = json.load(answer)
        return loaded


def newest_subjects(account_id: str, inbox_id: str) -> list[list[Any]]:
    """Return the two method calls that ask for them."""
    return [
        [
            "Email/query",
            {
                "accountId": account_id,
                "filter": {"inMailbox": inbox_id},
                "sort": [{"property": "receivedAt", "isAscending": False}],
                "limit": SHOWN,
            },
            "0",
        ],
        [
            "Email/get",
            {
                "accountId": account_id,
                "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"},
                "properties": ["subject"],
            },
            "1",
        ],
    ]
