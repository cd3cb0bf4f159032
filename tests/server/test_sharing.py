"""Who shares, and what is told of it, over HTTP before real servers (RFC 9670)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.server.sharing import changed_rights
from gateway.sync import acl, listing
from tests.server.conftest import USING, JmapClient, MakeGateway
from tests.server.test_shares import SERVERS, Sharing, mailboxes, shared
from tests.upstreams.upstream import quoted

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
    assert {principals[id]["name"] for id in principals} == {sharing.owner, sharing.guest, "anyone"}
    theirs = principals[owner["principalId"]]
    assert (theirs["type"], theirs["name"]) == ("individual", sharing.owner)
    assert theirs["accounts"] == {id: session["accounts"][id]}
    assert list(principals[me]["accounts"]) == [client.account_id]
    for filter, found in (
        ({"accountIds": [id]}, [owner["principalId"]]),
        ({"name": sharing.guest}, [me]),
        ({"text": "no such"}, []),
        ({"type": "location"}, []),
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


MAIL_SHARE = "urn:ietf:params:jmap:mail:share"


class Owner:
    """The owner's own client, which knows the guest because the guest shares something as well."""

    def __init__(self, sharing: Sharing, client: JmapClient) -> None:
        self.sharing, self.client = sharing, client
        client.using = [*USING, PRINCIPALS, MAIL_SHARE]

    @classmethod
    async def of(cls, gateway: MakeGateway, sharing: Sharing) -> Owner:
        back = Sharing.__new__(Sharing)
        back.server, back.owner, back.guest = sharing.server, sharing.guest, sharing.owner
        back.create("Back", "lr")
        return cls(sharing, (await gateway(sharing.server))(sharing.owner))

    async def principal(self, name: str) -> str:
        (id,) = (await self.client.call("Principal/query", filter={"name": name}))["ids"]
        return str(id)

    async def mailbox(self, name: str) -> dict[str, Any]:
        listed = (await self.client.call("Mailbox/get", ids=None, properties=["name", "shareWith", "myRights"]))["list"]
        return next(mailbox for mailbox in listed if mailbox["name"] == name)

    async def update(self, id: str, **patch: Any) -> Any:
        patch = {name.replace("__", "/"): value for name, value in patch.items()}
        answer = await self.client.call("Mailbox/set", update={id: patch})
        return (answer["notUpdated"] or answer["updated"])[id]

    def acl(self, mailbox: str) -> str:
        """What another IMAP client is told."""
        with self.sharing.server.imap(self.sharing.owner) as connection:
            typ, answer = connection.getacl(quoted(self.sharing.path(mailbox)))
            assert typ == "OK"
            return str(answer)


def held(rights: dict[str, bool]) -> set[str]:
    return {right for right, is_held in rights.items() if is_held}


async def test_sharing_a_mailbox(sharing: Sharing, gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """shareWith is the ACL: what is set is what IMAP and the other login see, and what IMAP sets is shown."""
    monkeypatch.setattr(acl, "AGAIN_S", 0.0)
    sharing.create("Team", messages=1)
    owner = await Owner.of(gateway, sharing)
    _status, session = await owner.client.session()
    assert session["accounts"][owner.client.account_id]["accountCapabilities"][MAIL_SHARE] == {}
    guest = await owner.principal(sharing.guest)
    team = await owner.mailbox("Team")
    assert team["shareWith"] is None
    assert team["myRights"]["mayShare"] is True
    state = (await owner.client.call("Mailbox/get", ids=[]))["state"]
    assert await owner.update(team["id"], shareWith={guest: {"mayReadItems": True, "maySetSeen": True}}) is not None
    shown = (await owner.mailbox("Team"))["shareWith"]
    assert {id: held(rights) for id, rights in shown.items()} == {guest: {"mayReadItems", "maySetSeen"}}
    assert sharing.guest in owner.acl("Team")
    changes = await owner.client.call("Mailbox/changes", sinceState=state)
    assert (changes["updated"], changes["updatedProperties"]) == ([team["id"]], None)
    reader: JmapClient = (await gateway(sharing.server, data="guest"))(sharing.guest)
    id = await shared(reader, sharing)
    assert len((await reader.call("Email/query", accountId=id))["ids"]) == 1
    await owner.update(team["id"], **{f"shareWith__{guest}__maySetKeywords": True})
    assert (await mailboxes(reader, id))["Team"]["myRights"]["maySetKeywords"] is True
    sharing.grant("Team", "lrp")  # by another client
    shown = (await owner.mailbox("Team"))["shareWith"]
    assert {id: held(rights) for id, rights in shown.items()} == {guest: {"mayReadItems", "maySubmit"}}
    await owner.update(team["id"], **{f"shareWith__{guest}": None})
    assert (await owner.mailbox("Team"))["shareWith"] is None
    assert sharing.guest not in owner.acl("Team")
    created = await owner.client.call(
        "Mailbox/set", create={"n": {"name": "Given", "shareWith": {guest: {"mayReadItems": True}}}}
    )
    assert created["notCreated"] is None
    assert held((await owner.mailbox("Given"))["shareWith"][guest]) == {"mayReadItems"}
    assert "Given" in await mailboxes(reader, await shared(reader, sharing))


async def test_who_may_not_share(sharing: Sharing, gateway: MakeGateway) -> None:
    """Nobody without the right, with nobody who is not known, and not with oneself; then nothing is changed."""
    sharing.create("Team", "lrs")
    owner = await Owner.of(gateway, sharing)
    team = await owner.mailbox("Team")
    me, guest = await owner.principal(sharing.owner), await owner.principal(sharing.guest)
    before = owner.acl("Team")
    read = {"mayReadItems": True}
    for value in ({"Pnone": read}, {me: read}, {guest: {"mayFly": True}}, {guest: True}, "x"):
        error = await owner.update(team["id"], shareWith=value)
        assert error["type"] == "invalidProperties", value
    answer = await owner.client.call("Mailbox/set", create={"n": {"name": "No", "shareWith": {"Pnone": read}}})
    assert answer["notCreated"]["n"]["type"] == "invalidProperties"
    assert "No" not in await mailboxes(owner.client, owner.client.account_id)
    assert owner.acl("Team") == before
    other: JmapClient = (await gateway(sharing.server, data="guest"))(sharing.guest)
    other.using = [*USING, PRINCIPALS, MAIL_SHARE]
    id = await shared(other, sharing)
    (theirs,) = (await other.call("Mailbox/get", accountId=id, ids=None))["list"]
    assert theirs["myRights"]["mayShare"] is False
    answer = await other.call("Mailbox/set", accountId=id, update={theirs["id"]: {"shareWith": {me: read}}})
    assert answer["notUpdated"][theirs["id"]]["type"] == "forbidden"
    other.using = USING
    (theirs,) = (await other.call("Mailbox/get", accountId=id, ids=None))["list"]
    assert "shareWith" not in theirs
    assert "mayShare" not in theirs["myRights"]


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
