"""What the tests of sending share: a gateway before Dovecot that sends by its submission service, or by the sink."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tests.server.conftest import JmapClient
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import DOMAIN, Upstream

WAIT_S = 15.0
SUBMISSION = "urn:ietf:params:jmap:submission"


def by_sink(sink: SmtpSink, more: str = "") -> str:
    """Settings of the upstream: mail goes straight to the sink."""
    return f'smtp = "submission://{sink.host}:{sink.port}"\naddress = "{{user}}@{DOMAIN}"\n{more}\n'


def by_dovecot(upstream: Upstream) -> str:
    """Settings of the upstream: mail goes to Dovecot's submission service, which relays it to the sink."""
    return f'smtp = "submission://{upstream.host}:{upstream.ports["submission"]}"\naddress = "{{user}}@{DOMAIN}"\n'


class Sender:
    """A client with an account that has Drafts and Sent."""

    def __init__(self, client: JmapClient) -> None:
        self.client = client
        self.mailboxes: dict[str, str] = {}
        self.identity: dict[str, Any] = {}

    @property
    def address(self) -> str:
        return f"{self.client.login}@{DOMAIN}"

    async def begin(self) -> Sender:
        found = await self.client.call("Mailbox/get", ids=None)
        self.mailboxes = {box["role"]: box["id"] for box in found["list"] if box["role"]}
        self.identity = (await self.client.call("Identity/get", ids=None))["list"][0]
        return self

    def draft(self, *to: str, **more: Any) -> dict[str, Any]:
        return {
            "mailboxIds": {self.mailboxes["drafts"]: True},
            "keywords": {"$draft": True, "$seen": True},
            "from": [{"name": "Me", "email": self.address}],
            "to": [{"name": None, "email": address} for address in to],
            "subject": "Hello",
            "bodyStructure": {"type": "text/plain", "partId": "1"},
            "bodyValues": {"1": {"value": "Grüße\n.\n..two dots\n"}},
            **more,
        }

    def held(self, to: str, seconds: int) -> dict[str, Any]:
        """Return properties of a submission that waits for so long."""
        sender = {"email": self.address, "parameters": {"HOLDFOR": str(seconds)}}
        return {"envelope": {"mailFrom": sender, "rcptTo": [{"email": to, "parameters": None}]}}

    async def send(
        self, *to: str, submission: dict[str, Any] | None = None, more: dict[str, Any] | None = None, **draft: Any
    ) -> Any:
        """Create and submit in one request, as clients do; return the responses to the second call."""
        status, answer = await self.client.request(
            ("Email/set", {"create": {"mail": self.draft(*to, **draft)}}),
            (
                "EmailSubmission/set",
                {
                    "create": {
                        "sub": {"emailId": "#mail", "identityId": self.identity["id"], **(submission or {})},
                    },
                    "onSuccessUpdateEmail": {
                        "#sub": {
                            f"mailboxIds/{self.mailboxes['drafts']}": None,
                            f"mailboxIds/{self.mailboxes['sent']}": True,
                            "keywords/$draft": None,
                        }
                    },
                    **(more or {}),
                },
            ),
        )
        assert status == 200, answer
        assert answer["methodResponses"][0][1]["notCreated"] is None, answer
        return [(name, arguments) for name, arguments, call_id in answer["methodResponses"] if call_id == "1"]

    async def sent(self, *to: str, **more: Any) -> dict[str, Any]:
        """The same, and it was created; return what the server set of the submission."""
        responses = await self.send(*to, **more)
        assert responses[0][1]["notCreated"] is None, responses
        created: dict[str, Any] = responses[0][1]["created"]["sub"]
        return created

    async def refused(self, *to: str, **more: Any) -> dict[str, Any]:
        """The same, and it was not created; return the SetError."""
        responses = await self.send(*to, **more)
        assert responses[0][1]["created"] is None, responses
        assert len(responses) == 1, "nothing succeeded, and an Email/set was made"
        error: dict[str, Any] = responses[0][1]["notCreated"]["sub"]
        return error

    async def submission(self, id: str) -> dict[str, Any]:
        (record,) = (await self.client.call("EmailSubmission/get", ids=[id]))["list"]
        return dict(record)

    async def state(self) -> str:
        return str((await self.client.call("EmailSubmission/get", ids=[]))["state"])

    async def until(self, id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the submission once something holds for it."""
        end = time.monotonic() + WAIT_S
        while not holds(record := await self.submission(id)):
            assert time.monotonic() < end, record
            await asyncio.sleep(0.05)
        return record

    async def emails_in(self, role: str) -> list[str]:
        found = await self.client.call("Email/query", filter={"inMailbox": self.mailboxes[role]})
        return list(found["ids"])
