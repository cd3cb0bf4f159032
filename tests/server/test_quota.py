"""Quotas of real servers, over HTTP, and what happens when they are used up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.server.conftest import USING, JmapClient, MakeGateway
from tests.upstreams.cyrus import set_quota
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream

QUOTA = "urn:ietf:params:jmap:quota"
LETTER = b"From: a@example.com\r\nSubject: s\r\n\r\n" + b"x" * 70 + b"\r\n"
LIMIT = 64 * 1024
# A login of its own on a server of its own: one that is over its quota is of no use to others.
TINY = "tiny"


async def limited(server: Upstream, gateway: MakeGateway, **options: Any) -> JmapClient:
    """Return a client whose account may hold 64 KiB."""
    login = TINY
    if server.kind == "cyrus":
        login = server.fresh_login()
        set_quota(server, login, "STORAGE 64 MESSAGE 50")
    client: JmapClient = (await gateway(server, **options))(login)
    client.using = [*USING, QUOTA]
    return client


async def storage(client: JmapClient) -> dict[str, Any]:
    quotas = (await client.call("Quota/get", ids=None))["list"]
    (found,) = [quota for quota in quotas if quota["resourceType"] == "octets"]
    return dict(found)


async def inbox(client: JmapClient) -> str:
    (id,) = (await client.call("Mailbox/query", filter={"role": "inbox"}))["ids"]
    return str(id)


async def upload(client: JmapClient, octets: bytes) -> str:
    url = f"{client.url}/jmap/upload/{client.account_id}"
    async with client.http.post(url, data=octets, headers=client.headers) as answer:
        assert answer.status in (200, 201), await answer.text()
        return str((await answer.json())["blobId"])


async def test_limits_are_shown(dovecot: Upstream, cyrus: Upstream, gateway: MakeGateway) -> None:
    """STORAGE is in octets, MESSAGE a count; both are the account's, of mail."""
    client = await limited(dovecot, gateway)
    _status, session = await client.session()
    assert session["capabilities"][QUOTA] == session["accounts"][client.account_id]["accountCapabilities"][QUOTA] == {}
    shown = await storage(client)
    assert shown.pop("id")
    assert shown.pop("used") <= LIMIT
    assert shown == {
        "resourceType": "octets",
        "hardLimit": LIMIT,
        "scope": "account",
        "name": "User quota",
        "types": ["Email"],
        "warnLimit": None,
        "softLimit": None,
        "description": None,
    }
    client = await limited(cyrus, gateway, data="cyrus")
    quotas = (await client.call("Quota/get", ids=None, properties=["resourceType", "hardLimit", "used"]))["list"]
    told = sorted((quota["resourceType"], quota["hardLimit"], quota["used"]) for quota in quotas)
    assert told == [("count", 50, 0), ("octets", LIMIT, 0)]


async def test_no_limit_is_no_quota(cyrus: Upstream, courier: Upstream, gateway: MakeGateway) -> None:
    """A server that knows quotas and sets none offers the methods and tells none."""
    for server in (cyrus, courier):
        client: JmapClient = (await gateway(server, data=server.kind))(server.fresh_login())
        client.using = [*USING, QUOTA]
        answer = await client.call("Quota/get", ids=None)
        assert answer["list"] == [], server.kind
        assert (await client.call("Quota/query"))["ids"] == []


async def test_without_quota_there_is_no_capability(dovecot_uidplus: Upstream, gateway: MakeGateway) -> None:
    """A server without QUOTA: nothing is advertised, and no account takes the methods."""
    client: JmapClient = (await gateway(dovecot_uidplus))(dovecot_uidplus.fresh_login())
    _status, session = await client.session()
    assert QUOTA not in session["capabilities"]
    client.using = [*USING, QUOTA]
    assert (await client.error("Quota/get", ids=None))["type"] == "accountNotSupportedByMethod"


async def test_types_that_are_not_used_are_left_out(dovecot: Upstream, gateway: MakeGateway) -> None:
    """Without the mail capability in `using` no Quota has a type that the client knows."""
    client = await limited(dovecot, gateway)
    assert len((await client.call("Quota/query"))["ids"]) == 1
    client.using = [USING[0], QUOTA]
    answer = await client.call("Quota/get", ids=None)
    assert answer["list"] == []
    assert (await client.call("Quota/query"))["ids"] == []
    changes = await client.call("Quota/changes", sinceState=answer["state"])
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], [], [])


async def test_use_moves_alone(cyrus: Upstream, gateway: MakeGateway) -> None:
    """Mail that comes changes `used`, and /changes says that it changes nothing else; a new limit is more than that."""
    client = await limited(cyrus, gateway)
    before = await storage(client)
    state = (await client.call("Quota/get", ids=[]))["state"]
    query = await client.call("Quota/query", filter={"resourceType": "octets"}, sort=[{"property": "used"}])
    cyrus.append(client.login, LETTER * 20)
    changes = await client.call("Quota/changes", sinceState=state)
    assert before["id"] in changes["updated"]
    assert (changes["created"], changes["destroyed"], changes["updatedProperties"]) == ([], [], ["used"])
    _status, answer = await client.request(
        ("Quota/changes", {"sinceState": state}),
        (
            "Quota/get",
            {
                "#ids": {"resultOf": "0", "name": "Quota/changes", "path": "/updated"},
                "#properties": {"resultOf": "0", "name": "Quota/changes", "path": "/updatedProperties"},
            },
        ),
    )
    (shown,) = [one for one in answer["methodResponses"][1][1]["list"] if one["id"] == before["id"]]
    assert shown == {"id": before["id"], "used": shown["used"]}
    assert 2048 <= shown["used"] <= 3072
    moved = await client.call(
        "Quota/queryChanges",
        sinceQueryState=query["queryState"],
        filter={"resourceType": "octets"},
        sort=[{"property": "used"}],
    )
    assert before["id"] in moved["removed"]
    assert moved["added"] == [{"id": before["id"], "index": 0}]
    set_quota(cyrus, client.login, "STORAGE 128")
    changes = await client.call("Quota/changes", sinceState=state)
    assert changes["updatedProperties"] is None
    assert len(changes["destroyed"]) == 1  # MESSAGE is not limited any more
    assert (await storage(client))["hardLimit"] == 128 * 1024


@pytest.mark.parametrize("kind", ["dovecot", "cyrus"])
async def test_over_quota(kind: str, request: pytest.FixtureRequest, gateway: MakeGateway) -> None:
    """What does not fit is `overQuota` from Email/set and Email/import alike, and nothing of it is there."""
    server: Upstream = request.getfixturevalue(kind)
    client = await limited(server, gateway)
    place = await inbox(client)
    await client.call("Email/set", destroy=(await client.call("Email/query"))["ids"])
    large = "wort " * 20_000
    draft = {"mailboxIds": {place: True}, "subject": "large", "bodyValues": {"t": {"value": large}}}
    answer = await client.call(
        "Email/set", create={"d": {**draft, "textBody": [{"partId": "t", "type": "text/plain"}]}}
    )
    assert answer["created"] is None
    assert answer["notCreated"]["d"]["type"] == "overQuota"
    assert answer["oldState"] == answer["newState"]
    blob = await upload(client, b"Subject: large\r\n\r\n" + LETTER * 1000)
    answer = await client.call("Email/import", emails={"k": {"blobId": blob, "mailboxIds": {place: True}}})
    assert answer["notCreated"]["k"]["type"] == "overQuota"
    blob = await upload(client, LETTER * 20)
    answer = await client.call("Email/import", emails={"k": {"blobId": blob, "mailboxIds": {place: True}}})
    assert answer["notCreated"] is None
    assert (await client.call("Email/query"))["ids"] == [answer["created"]["k"]["id"]]
    assert 0 < (await storage(client))["used"] < LIMIT


async def test_a_watched_account_tells_of_its_quota(cyrus: Upstream, gateway: MakeGateway) -> None:
    """A client that listens hears that the use has moved, without asking."""
    client = await limited(cyrus, gateway)
    before = await storage(client)
    url = f"{client.url}/jmap/eventsource?types=Quota&closeafter=state&ping=0"
    async with client.http.get(url, headers=client.headers) as stream:
        assert stream.status == 200
        await asyncio.sleep(0.5)
        cyrus.append(client.login, LETTER * 20)
        async with asyncio.timeout(40):
            told = (await stream.content.read()).decode()
    assert '"Quota"' in told
    assert (await storage(client))["used"] > before["used"]
