"""What the tests of Sieve over HTTP have in common: scripts, mail that arrives, replies that go out."""

from __future__ import annotations

import smtplib
import time
from typing import Any

from tests.server.conftest import JmapClient
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import DOMAIN, Upstream

FILING = (
    'require ["fileinto", "mailbox"];\r\nif header :contains "subject" "work" { fileinto :create "Work"; stop; }\r\n'
)


def sieve_of(upstream: Upstream) -> str:
    return f'sieve = "sieve://{upstream.host}:{upstream.ports["sieve"]}"'


async def upload(client: JmapClient, content: str | bytes) -> str:
    await client.session()
    octets = content.encode() if isinstance(content, str) else content
    url = f"{client.url}/jmap/upload/{client.account_id}/"
    async with client.http.post(
        url, data=octets, headers={**client.headers, "Content-Type": "application/sieve"}
    ) as at:
        return str((await at.json())["blobId"])


async def create(client: JmapClient, name: str | None, content: str, **more: Any) -> str:
    blob_id = await upload(client, content)
    answer = await client.call("SieveScript/set", create={"a": {"name": name, "blobId": blob_id}}, **more)
    assert answer["notCreated"] is None, answer
    return str(answer["created"]["a"]["id"])


async def vacation(client: JmapClient, **properties: Any) -> dict[str, Any]:
    answer = await client.call("VacationResponse/set", update={"singleton": properties})
    assert answer["notUpdated"] is None, answer
    return answer


async def is_enabled(client: JmapClient) -> bool:
    got = await client.call("VacationResponse/get", ids=["singleton"])
    return bool(got["list"][0]["isEnabled"])


def deliver(upstream: Upstream, login: str, *, sender: str, subject: str = "hello", to: str | None = None) -> None:
    message = (
        f"From: {sender}\r\nTo: {to or f'{login}@{DOMAIN}'}\r\nSubject: {subject}\r\n"
        f"Message-ID: <{time.time_ns()}@sender.test>\r\n\r\nbody\r\n"
    ).encode()
    with smtplib.LMTP(upstream.host, upstream.ports["lmtp"], timeout=10) as lmtp:
        assert not lmtp.sendmail(sender, [f"{login}@{DOMAIN}"], message)


def replies(sink: SmtpSink, sender: str) -> list[bytes]:
    return [kept.octets for kept in sink.kept() if sender in kept.recipients]
