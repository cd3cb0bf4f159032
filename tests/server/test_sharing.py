"""Who shares, and what is told of it, over HTTP before real servers (RFC 9670)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.server.sharing import changed_rights
from gateway.sync import listing
from tests.server.conftest import USING, JmapClient, MakeGateway
from tests.server.test_shares import SERVERS, Sharing, mailboxes, shared

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(180)]

PRINCIPALS = "urn:ietf:params:jmap:principals"
OWNER = "urn:ietf:params:jmap:principals:owner"
READ = frozenset({"mayReadItems"})
WRITE = READ | {"mayAddItems"}


@pytest.fixture(params=SERVERS)
def sharing(request: pytest.FixtureRequest) -> Sharing:
    return Sharing(request.getfixturevalue(request.param))


@pytest.fixture(autouse=True)
def rights_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "RIGHTS_S", 0.0)


async def client_of(gateway: MakeGateway, sharing: Sharing) -> JmapClient:
    client: JmapClient = (await gateway(sharing.server))(sharing.guest)
    client.using = [*USING, PRINCIPALS]
    return client


async def test_who_is_known(sharing: Sharing, gateway: MakeGateway) -> None:
    """The login itself and who shares with it; the Session leads from each account to its owner."""
    sharing.create("Team", "lrs")
    client = await client_of(gateway, sharing)
    _status, session = await client.session()
    id = await shared(client, sharing)
    own = session["accounts"][client.account_id]["accountCapabilities"]
    assert session["capabilities"][PRINCIPALS] == {}
    assert OWNER not in session["capabilities"]
    assert OWNER not in session["primaryAccounts"]
    me = own[PRINCIPALS]["currentUserPrincipalId"]
    assert own[OWNER] == {"accountIdForPrincipal": client.account_id, "principalId": me}
    owner = session["accounts"][id]["accountCapabilities"][OWNER]
    assert owner["accountIdForPrincipal"] == client.account_id
    answer = await client.call("Principal/get", ids=None)
    principals = {principal["id"]: principal for principal in answer["list"]}
    assert set(principals) == {me, owner["principalId"]}
    theirs = principals[owner["principalId"]]
    assert (theirs["type"], theirs["name"]) == ("individual", sharing.owner)
    assert theirs["accounts"] == {id: session["accounts"][id]}
    assert list(principals[me]["accounts"]) == [client.account_id]
    for filter, found in (
        ({"accountIds": [id]}, [owner["principalId"]]),
        ({"name": sharing.guest}, [me]),
        ({"text": "no such"}, []),
        ({"type": "group"}, []),
        ({"timeZone": "Europe/Berlin"}, []),
    ):
        assert (await client.call("Principal/query", filter=filter))["ids"] == found, filter
    answer = await client.call(
        "Principal/set",
        create={"n": {"name": "x", "type": "group"}},
        update={me: {"name": "y"}},
        destroy=[owner["principalId"]],
    )
    assert answer["notCreated"]["n"]["type"] == "forbidden"
    assert answer["notUpdated"][me]["type"] == "forbidden"
    assert answer["notDestroyed"][owner["principalId"]]["type"] == "forbidden"
    state = (await client.call("Principal/get", ids=[]))["state"]
    sharing.revoke("Team")
    changes = await client.call("Principal/changes", sinceState=state)
    assert changes["destroyed"] == [owner["principalId"]]


async def test_changed_rights_are_told(sharing: Sharing, gateway: MakeGateway) -> None:
    """Not what could be seen from the start; then each grant, change and loss, until it is dismissed."""
    sharing.create("Old", "lr")
    sharing.create("New")
    client = await client_of(gateway, sharing)
    id = await shared(client, sharing)
    assert (await client.call("ShareNotification/get", ids=None))["list"] == []

    async def told(count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(20):
            while True:
                query = await client.call("ShareNotification/query", sort=[{"property": "created"}])
                if len(query["ids"]) >= count:
                    answer = await client.call("ShareNotification/get", ids=query["ids"])
                    return list(answer["list"])
                await mailboxes(client, id)

    sharing.grant("New", "lr")
    await mailboxes(client, id)
    (won,) = await told(1)
    assert (won["objectType"], won["objectAccountId"], won["name"]) == ("Mailbox", id, "New")
    assert (won["oldRights"], won["newRights"]["mayReadItems"], won["newRights"]["maySetSeen"]) == (None, True, False)
    assert won["changedBy"]["name"] == sharing.owner
    sharing.grant("New", "lrs")
    await mailboxes(client, id)
    changed = next(one for one in await told(2) if one["id"] != won["id"])
    assert (changed["oldRights"]["maySetSeen"], changed["newRights"]["maySetSeen"]) == (False, True)
    answer = await client.call(
        "ShareNotification/set", create={"n": {}}, update={won["id"]: {"name": "x"}}, destroy=[changed["id"]]
    )
    assert answer["notCreated"]["n"]["type"] == "forbidden"
    assert answer["notUpdated"][won["id"]]["type"] == "forbidden"
    assert answer["destroyed"] == [changed["id"]]
    sharing.revoke("New")
    sharing.revoke("Old")
    await client.session()  # the account goes
    lost = {one["name"]: one for one in (await client.call("ShareNotification/get", ids=None))["list"]}
    assert (lost["Old"]["newRights"], lost["Old"]["oldRights"]["mayReadItems"]) == (None, True)


def test_what_has_changed() -> None:
    """Rights that came, went and moved; a name alone is no change of rights."""
    before = {"a": ("A", READ), "b": ("B", READ), "c": ("C", READ)}
    after = {"a": ("A2", READ), "b": ("B", WRITE), "d": ("D", WRITE)}
    found = {change.mailbox_id: change for change in changed_rights("S1", before, after)}
    assert set(found) == {"b", "c", "d"}
    assert found["c"].new is None
    assert found["d"].old is None
    old, new = found["b"].old, found["b"].new
    assert old is not None
    assert new is not None
    assert (old["mayAddItems"], new["mayAddItems"]) == (False, True)


@pytest.mark.parametrize("sharing", ["dovecot"], indirect=True)
async def test_without_acl(sharing: Sharing, gateway: MakeGateway) -> None:
    """A server without ACL has no principals: the capability is not there."""
    client = await client_of(gateway, sharing)
    _status, session = await client.session()
    assert PRINCIPALS not in session["capabilities"]
