"""What the tests of push subscriptions share: a device that subscribes, as devices do."""

from __future__ import annotations

from typing import Any

from tests.push.service import PushService
from tests.server.conftest import JmapClient


def push_settings(service: PushService) -> str:
    return f'allow = ["127.0.0.0/8", "::1"]\nca_file = "{service.ca_file}"\n'


async def set_subscriptions(client: JmapClient, **arguments: Any) -> dict[str, Any]:
    """Call PushSubscription/set, which takes no accountId."""
    body = {
        "using": ["urn:ietf:params:jmap:core"],
        "methodCalls": [["PushSubscription/set", arguments, "0"]],
    }
    async with client.http.post(f"{client.url}/jmap/api", json=body, headers=client.headers) as answer:
        ((name, response, _),) = (await answer.json())["methodResponses"]
    assert name == "PushSubscription/set", response
    result: dict[str, Any] = response
    return result


async def subscribe(client: JmapClient, service: PushService, **properties: Any) -> str:
    """Make a push subscription and verify it, as a device does."""
    made = {"deviceClientId": "d1", "url": f"{service.url}/d1", "keys": service.device.keys, **properties}
    created = (await set_subscriptions(client, create={"new": made}))["created"]["new"]
    verification = (await service.next()).value
    assert verification["@type"] == "PushVerification"
    assert verification["pushSubscriptionId"] == created["id"]
    updates = {created["id"]: {"verificationCode": verification["verificationCode"]}}
    answer = await set_subscriptions(client, update=updates)
    assert answer["updated"] == {created["id"]: None}, answer
    return str(created["id"])
