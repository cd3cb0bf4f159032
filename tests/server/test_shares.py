"""What others share with a login, on real servers: accounts in the Session, and what may be done in them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.sync import listing
from tests.server.conftest import USING, JmapClient, MakeGateway
from tests.upstreams.cyrus import ADMIN, set_quota
from tests.upstreams.upstream import Upstream, expect_ok, quoted

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(180)]

QUOTA = "urn:ietf:params:jmap:quota"
LETTER = b"From: a@example.com\r\nSubject: from bob\r\nMessage-ID: <%d@x>\r\n\r\nHello\r\n"
WRITE = "lrswitek"
_NUMBERS = itertools.count(1)


class Sharing:
    """Two logins of one server: the owner of mailboxes, and who may see them."""

    def __init__(self, server: Upstream) -> None:
        self.server, self.owner, self.guest = server, server.fresh_login(), server.fresh_login()
        with server.imap(self.guest):
            pass

    def path(self, *levels: str) -> str:
        """Name a mailbox as the owner does."""
        return levels[0] if levels == ("INBOX",) else self.server.prefix + self.server.separator.join(levels)

    def create(self, mailbox: str, rights: str = "", messages: int = 1) -> None:
        with self.server.imap(self.owner) as connection:
            if mailbox != "INBOX":
                expect_ok(connection.create(quoted(self.path(mailbox))))
        # Cyrus knows messages by their content: no two are alike.
        self.server.append(self.owner, *[LETTER % next(_NUMBERS) for _ in range(messages)], mailbox=self.path(mailbox))
        if rights:
            self.grant(mailbox, rights)

    def grant(self, mailbox: str, rights: str) -> None:
        if self.server.kind == "courier":  # of RFC 2086
            rights = rights.replace("te", "d").replace("k", "c")
        with self.server.imap(self.owner) as connection:
            expect_ok(connection.setacl(quoted(self.path(mailbox)), self.guest, rights))

    def revoke(self, mailbox: str) -> None:
        with self.server.imap(self.owner) as connection:
            expect_ok(connection.deleteacl(quoted(self.path(mailbox)), self.guest))

    def messages(self, mailbox: str) -> list[bytes]:
        """What the owner sees in a mailbox: the flags of each message."""
        with self.server.selected(self.owner, self.path(mailbox)) as connection:
            _typ, answer = connection.fetch("1:*", "(FLAGS)")
            return [line for line in answer if isinstance(line, bytes)]


SERVERS = ("dovecot_shared", "cyrus", "courier_shared")


@pytest.fixture(params=SERVERS)
def sharing(request: pytest.FixtureRequest) -> Sharing:
    return Sharing(request.getfixturevalue(request.param))


@pytest.fixture(autouse=True)
def rights_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a server does not tell rights by itself, ask at each look."""
    monkeypatch.setattr(listing, "RIGHTS_S", 0.0)


async def account_of(client: JmapClient, name: str) -> str | None:
    """Return the id of the account that the Session calls so."""
    status, session = await client.session()
    assert status == 200
    return next((id for id, account in session["accounts"].items() if account["name"] == name), None)


async def shared(client: JmapClient, sharing: Sharing) -> str:
    id = await account_of(client, sharing.owner)
    assert id is not None
    return id


async def mailboxes(client: JmapClient, account_id: str) -> dict[str, dict[str, Any]]:
    listed = (await client.call("Mailbox/get", accountId=account_id, ids=None))["list"]
    return {mailbox["name"]: mailbox for mailbox in listed}


async def test_an_account_of_another(sharing: Sharing, gateway: MakeGateway) -> None:
    """It stands in the Session as what it is, with the rights that were granted, and is read like one's own."""
    sharing.create("Team", "lrs", messages=2)
    sharing.create("Private")
    client: JmapClient = (await gateway(sharing.server))(sharing.guest)
    _status, session = await client.session()
    id = await shared(client, sharing)
    account = session["accounts"][id]
    assert (account["isPersonal"], account["isReadOnly"]) == (False, False)  # $seen may be set
    assert account["accountCapabilities"][USING[1]]["mayCreateTopLevelMailbox"] is False
    assert set(session["primaryAccounts"].values()) == {client.account_id} != {id}
    own = await mailboxes(client, client.account_id)
    assert "Team" not in own
    assert "Inbox" in own
    (team,) = (await mailboxes(client, id)).values()
    assert (team["name"], team["parentId"], team["totalEmails"]) == ("Team", None, 2)
    granted = {name for name, value in team["myRights"].items() if value}
    assert granted == {"mayReadItems", "maySetSeen"}
    ids = (await client.call("Email/query", accountId=id, filter={"inMailbox": team["id"]}))["ids"]
    shown = await client.call("Email/get", accountId=id, ids=ids, properties=["subject", "bodyValues", "blobId"])
    assert [email["subject"] for email in shown["list"]] == ["from bob"] * 2
    url = f"{client.url}/jmap/download/{id}/{shown['list'][0]['blobId']}/x.eml?type=message/rfc822"
    async with client.http.get(url, headers=client.headers) as download:
        assert (download.status, (await download.read())[:19]) == (200, LETTER[:19])
    url = url.replace(id, client.account_id)
    async with client.http.get(url, headers=client.headers) as download:
        assert download.status == 404  # of another account


async def test_read_only(sharing: Sharing, gateway: MakeGateway) -> None:
    """With the right to look alone the account is read only, and says so to whoever writes."""
    sharing.create("Look", "lr")
    client: JmapClient = (await gateway(sharing.server))(sharing.guest)
    id = await shared(client, sharing)
    _status, session = await client.session()
    assert session["accounts"][id]["isReadOnly"] is True
    (email,) = (await client.call("Email/query", accountId=id))["ids"]
    error = await client.error("Email/set", accountId=id, update={email: {"keywords/$seen": True}})
    assert error["type"] == "accountReadOnly"
    error = await client.error("Mailbox/set", accountId=id, create={"m": {"name": "x"}})
    assert error["type"] == "accountReadOnly"
    assert "\\Seen" not in str(sharing.messages("Look"))


async def test_writing_under_the_rights(sharing: Sharing, gateway: MakeGateway) -> None:
    """What the rights allow is done and seen by the owner; what they do not is forbidden, mailbox by mailbox."""
    sharing.create("Team", WRITE, messages=3)
    sharing.create("Look", "lrs")
    client: JmapClient = (await gateway(sharing.server))(sharing.guest)
    id = await shared(client, sharing)
    boxes = await mailboxes(client, id)
    query = await client.call("Email/query", accountId=id, filter={"inMailbox": boxes["Team"]["id"]})
    first, second, third = query["ids"]
    state = (await client.call("Email/get", accountId=id, ids=[]))["state"]
    answer = await client.call(
        "Email/set",
        accountId=id,
        create={"d": {"mailboxIds": {boxes["Team"]["id"]: True}, "subject": "by the guest"}},
        update={
            first: {"keywords/$flagged": True},
            second: {"mailboxIds": {boxes["Look"]["id"]: True}},
        },
        destroy=[third],
    )
    assert answer["notCreated"] is None
    assert list(answer["updated"]) == [first]
    assert answer["notUpdated"][second]["type"] == "forbidden"
    assert answer["destroyed"] == [third], answer
    changes = await client.call("Email/changes", accountId=id, sinceState=state)
    assert changes["created"] == [answer["created"]["d"]["id"]]
    assert (changes["updated"], changes["destroyed"]) == ([first], [third])
    (look,) = (await client.call("Email/query", accountId=id, filter={"inMailbox": boxes["Look"]["id"]}))["ids"]
    answer = await client.call("Email/set", accountId=id, update={look: {"keywords/$flagged": True}})
    assert answer["notUpdated"][look]["type"] == "forbidden"
    answer = await client.call("Email/set", accountId=id, destroy=[look])
    assert answer["notDestroyed"][look]["type"] == "forbidden"
    assert len([line for line in sharing.messages("Team") if b"\\Deleted" not in line]) == 3
    assert any(b"\\Flagged" in line for line in sharing.messages("Team"))
    answer = await client.call("Mailbox/set", accountId=id, create={"t": {"name": "Top"}})
    assert answer["notCreated"]["t"]["type"] == "forbidden"
    answer = await client.call(
        "Mailbox/set", accountId=id, create={"s": {"name": "Sub", "parentId": boxes["Team"]["id"]}}
    )
    assert answer["notCreated"] is None
    with sharing.server.imap(sharing.owner) as connection:
        assert sharing.path("Team", "Sub") in str(connection.list('""', '"*"')[1])


async def test_an_inbox_that_is_shared(sharing: Sharing, gateway: MakeGateway) -> None:
    """Another user's INBOX is the Inbox of that account, and stays what it is."""
    sharing.create("INBOX", "lrswitekx")
    client: JmapClient = (await gateway(sharing.server))(sharing.guest)
    id = await shared(client, sharing)
    box = (await mailboxes(client, id))["Inbox"]
    assert (box["role"], box["parentId"], box["totalEmails"]) == ("inbox", None, 1)
    assert (box["myRights"]["mayRename"], box["myRights"]["mayDelete"]) == (False, False)
    _status, session = await client.session()
    # Dovecot judges what is created there by rights of a root that nobody can ask about.
    may_create = sharing.server.kind != "dovecot"
    assert session["accounts"][id]["accountCapabilities"][USING[1]]["mayCreateTopLevelMailbox"] is may_create
    answer = await client.call("Mailbox/set", accountId=id, create={"n": {"name": "Beside"}})
    if not may_create:
        assert answer["notCreated"]["n"]["type"] == "forbidden"
        return
    assert answer["notCreated"] is None, answer
    beside = (await mailboxes(client, id))["Beside"]
    assert beside["parentId"] is None
    with sharing.server.imap(sharing.owner) as connection:
        assert sharing.path("Beside") in str(connection.list('""', '"*"')[1])


async def test_access_won_and_lost(sharing: Sharing, gateway: MakeGateway, tmp_path: Path) -> None:
    """Mailboxes come with the right to see them and vanish without it; the account comes and goes with them."""
    sharing.create("One")
    sharing.create("Two")
    client: JmapClient = (await gateway(sharing.server))(sharing.guest)
    assert await account_of(client, sharing.owner) is None
    _status, before = await client.session()
    sharing.grant("One", "lrs")
    id = await shared(client, sharing)
    _status, session = await client.session()
    assert session["state"] != before["state"]
    state = (await client.call("Mailbox/get", accountId=id, ids=[]))["state"]
    sharing.grant("Two", "lr")
    boxes = await mailboxes(client, id)
    assert set(boxes) == {"One", "Two"}
    changes = await client.call("Mailbox/changes", accountId=id, sinceState=state)
    assert changes["created"] == [boxes["Two"]["id"]]
    assert len((await client.call("Email/query", accountId=id))["ids"]) >= 1
    sharing.grant("One", "lr")
    assert (await mailboxes(client, id))["One"]["myRights"]["maySetSeen"] is False
    _status, session = await client.session()
    assert session["accounts"][id]["isReadOnly"] is True
    sharing.revoke("One")
    assert set(await mailboxes(client, id)) == {"Two"}
    changes = await client.call("Mailbox/changes", accountId=id, sinceState=state)
    assert boxes["One"]["id"] in changes["destroyed"]
    sharing.revoke("Two")
    assert _indexes(tmp_path, id)
    assert await account_of(client, sharing.owner) is None
    assert not _indexes(tmp_path, id)  # what was read there is gone as well
    assert (await client.error("Mailbox/get", accountId=id, ids=None))["type"] == "accountNotFound"
    sharing.grant("Two", "lr")
    assert await account_of(client, sharing.owner) == id


def _indexes(directory: Path, account_id: str) -> list[Path]:
    return list(directory.rglob(f"{account_id}.db*"))


def _everybody(server: Upstream, name: str) -> Callable[[], None]:
    """Return what makes a mailbox for everybody, with one message in it."""

    def dovecot() -> None:
        with server.imap("bob") as connection:
            expect_ok(connection.create(f'"Public/{name}"'))
        server.append("bob", LETTER % next(_NUMBERS), mailbox=f"Public/{name}")

    def cyrus() -> None:
        with server.imap(ADMIN) as admin:
            expect_ok(admin.create(f'"{name}"'))
            expect_ok(admin.setacl(f'"{name}"', "anyone", "lrsip"))
        server.append("bob", LETTER % next(_NUMBERS), mailbox=f"Shared Folders/{name}")

    return cyrus if server.kind == "cyrus" else dovecot


@pytest.mark.parametrize("server", ["dovecot_shared", "cyrus"])  # Courier has none but by hand
async def test_a_shared_namespace(server: str, request: pytest.FixtureRequest, gateway: MakeGateway) -> None:
    """What belongs to everybody is one account, named as the namespace is."""
    upstream: Upstream = request.getfixturevalue(server)
    _everybody(upstream, "News")()
    client: JmapClient = (await gateway(upstream))(upstream.fresh_login())
    id = await account_of(client, "Shared Folders" if server == "cyrus" else "Public")
    assert id is not None
    news = (await mailboxes(client, id))["News"]
    assert (news["parentId"], news["role"], news["totalEmails"]) == (None, None, 1)
    answer = await client.call("Email/set", accountId=id, create={"d": {"mailboxIds": {news["id"]: True}}})
    assert answer["notCreated"] is None


async def test_copy_between_accounts(sharing: Sharing, gateway: MakeGateway) -> None:
    """Emails and blobs go from a shared account to one's own and back, and the original goes where that is allowed."""
    sharing.create("Team", WRITE, messages=2)
    sharing.create("Look", "lrs")
    client: JmapClient = (await gateway(sharing.server))(sharing.guest)
    id, own = await shared(client, sharing), client.account_id
    boxes, mine = await mailboxes(client, id), await mailboxes(client, client.account_id)
    first, second = (await client.call("Email/query", accountId=id, filter={"inMailbox": boxes["Team"]["id"]}))["ids"]
    inbox = mine["Inbox"]["id"]
    _status, answer = await client.request(
        (
            "Email/copy",
            {
                "fromAccountId": id,
                "accountId": own,
                "create": {"k": {"id": first, "mailboxIds": {inbox: True}, "keywords": {"$seen": True}}},
                "onSuccessDestroyOriginal": True,
            },
        ),
    )
    (_, copied, _), (name, destroyed, _) = answer["methodResponses"]
    assert copied["notCreated"] is None
    assert (name, destroyed["accountId"], destroyed["destroyed"]) == ("Email/set", id, [first])
    made = copied["created"]["k"]
    (email,) = (await client.call("Email/get", ids=[made["id"]], properties=["subject", "keywords", "mailboxIds"]))[
        "list"
    ]
    assert (email["subject"], email["keywords"], email["mailboxIds"]) == ("from bob", {"$seen": True}, {inbox: True})
    left = (await client.call("Email/query", accountId=id, filter={"inMailbox": boxes["Team"]["id"]}))["ids"]
    assert left == [second]
    # Back again, into a mailbox where nothing may be added: refused, and nothing of it happened.
    copy = {"id": made["id"], "mailboxIds": {boxes["Look"]["id"]: True}}
    answer = await client.call("Email/copy", fromAccountId=own, accountId=id, create={"k": copy})
    assert answer["notCreated"]["k"]["type"] == "forbidden"
    copy = {"id": made["id"], "mailboxIds": {boxes["Team"]["id"]: True}}
    answer = await client.call("Email/copy", fromAccountId=own, accountId=id, create={"k": copy})
    assert answer["notCreated"] is None
    # A message whose original may not be destroyed is copied all the same, and the implicit call says why it stays.
    (stays,) = (await client.call("Email/query", accountId=id, filter={"inMailbox": boxes["Look"]["id"]}))["ids"]
    _status, answer = await client.request(
        (
            "Email/copy",
            {
                "fromAccountId": id,
                "accountId": own,
                "create": {"k": {"id": stays, "mailboxIds": {mine["Archive"]["id"]: True}}},
                "onSuccessDestroyOriginal": True,
            },
        ),
    )
    (_, copied, _), (_, destroyed, _) = answer["methodResponses"]
    assert copied["notCreated"] is None
    assert destroyed["notDestroyed"][stays]["type"] == "forbidden"
    blob = (await client.call("Email/get", accountId=id, ids=[second], properties=["blobId"]))["list"][0]["blobId"]
    answer = await client.call("Blob/copy", fromAccountId=id, accountId=own, blobIds=[blob, "m_none"])
    assert list(answer["notCopied"]) == ["m_none"]
    url = f"{client.url}/jmap/download/{own}/{answer['copied'][blob]}/x.eml?type=message/rfc822"
    async with client.http.get(url, headers=client.headers) as download:
        assert (download.status, (await download.read())[:19]) == (200, LETTER[:19])
    assert (await client.error("Email/copy", fromAccountId="Snone", accountId=own, create={}))["type"] == (
        "fromAccountNotFound"
    )


async def test_push_hears_of_shared_accounts(sharing: Sharing, gateway: MakeGateway) -> None:
    """Who listens hears of mail in a shared account, and of one that was shared while it listened."""
    sharing.create("Team", "lrs")
    client: JmapClient = (await gateway(sharing.server))(sharing.guest)
    id = await shared(client, sharing)
    other = Sharing(sharing.server)
    other.guest = sharing.guest
    other.create("Late")
    url = f"{client.url}/jmap/eventsource?types=*&closeafter=no&ping=0"
    heard = ""

    async def until(account_id: str) -> None:
        nonlocal heard
        async with asyncio.timeout(60):
            while account_id not in heard:
                heard += (await stream.content.readany()).decode()

    async with client.http.get(url, headers=client.headers) as stream:
        assert stream.status == 200
        await asyncio.sleep(1)
        sharing.server.append(sharing.owner, LETTER % next(_NUMBERS), mailbox=sharing.path("Team"))
        await until(id)
        other.grant("Late", "lr")
        late = await shared(client, other)
        await until(late)


async def test_quotas_of_another(sharing: Sharing, gateway: MakeGateway) -> None:
    """Cyrus tells the quota of those who share, Dovecot nobody's but one's own."""
    sharing.create("Team", "lrs")
    if sharing.server.kind == "cyrus":
        set_quota(sharing.server, sharing.owner, "STORAGE 64")
    client: JmapClient = (await gateway(sharing.server))(sharing.guest)
    client.using = [*USING, QUOTA]
    id = await shared(client, sharing)
    await mailboxes(client, id)
    quotas = (await client.call("Quota/get", accountId=id, ids=None, properties=["hardLimit", "types"]))["list"]
    told = [(quota["hardLimit"], quota["types"]) for quota in quotas]
    assert told == ([(65_536, ["Email"])] if sharing.server.kind == "cyrus" else [])


async def test_it_can_be_switched_off(dovecot_shared: Upstream, gateway: MakeGateway) -> None:
    """With shared_accounts = false a login has its own account and no other."""
    sharing = Sharing(dovecot_shared)
    sharing.create("Team", "lrs")
    client: JmapClient = (await gateway(dovecot_shared, more="shared_accounts = false"))(sharing.guest)
    _status, session = await client.session()
    assert list(session["accounts"]) == [client.account_id]


async def test_another_login_does_not_get_it(dovecot_shared: Upstream, gateway: MakeGateway) -> None:
    """The id of a shared account is nothing to a login that it was not shared with."""
    sharing = Sharing(dovecot_shared)
    sharing.create("Team", "lrs")
    start = await gateway(dovecot_shared)
    id = await shared(start(sharing.guest), sharing)
    stranger: JmapClient = start(dovecot_shared.fresh_login())
    assert (await stranger.error("Mailbox/get", accountId=id, ids=None))["type"] == "accountNotFound"
    async with stranger.http.post(f"{stranger.url}/jmap/upload/{id}", data=b"x", headers=stranger.headers) as answer:
        assert answer.status == 404
