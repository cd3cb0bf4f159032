"""Mailbox/set (RFC 8621 section 2.5): over a tree in memory, and on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.account.account import Account
from gateway.account.backend import MailboxChange, NewMailbox
from gateway.account.records import Batch, MailboxDelta, MailboxFacts, Mark, NewMessage
from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context
from gateway.jmap.objects.mailbox import RIGHTS
from gateway.secret import Secret
from gateway.sync.imap_backend import ImapBackend
from gateway.upstream.imap import Endpoint, PasswordCredentials, Pool
from gateway.upstream.imap.names import encode_utf7
from tests.fakes.backend import FakeBackend
from tests.fakes.uploads import NoUploads
from tests.methods.world import registry
from tests.upstreams.upstream import Upstream

ALL = frozenset(RIGHTS)


class Tree(FakeBackend):
    """Mailboxes in memory. `fails`: what the next write raises."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.facts: dict[str, MailboxFacts] = {}
        self.fails: list[Exception] = []
        self.writes: list[object] = []

    async def add(self, id: str, parent_id: str | None = None, **facts: Any) -> str:
        facts = {"name": id, "role": None, "rights": ALL} | facts
        self.facts[id] = MailboxFacts(id=id, path=id, parent_id=parent_id, **facts)
        await self.apply()
        return id

    async def apply(self) -> None:
        await self.account.apply(Batch(mailboxes=list(self.facts.values())))

    async def deliver(self, mailbox_id: str) -> None:
        message = NewMessage(1, (), 0, 1, 1, "M1", None, b"Subject: x\r\n")
        await self.account.apply(
            Batch(deltas=[MailboxDelta(mailbox_id, arrived=[message], mark=Mark(1, 2, is_indexed=True))])
        )

    def _begin(self, write: object) -> None:
        self.writes.append(write)
        if self.fails:
            raise self.fails.pop(0)

    async def create_mailbox(self, mailbox: NewMailbox) -> str:
        self._begin(mailbox)
        self._check(None, mailbox.parent_id, mailbox.name)
        id = f"new{len(self.facts)}"
        order = 10 if mailbox.sort_order is None else mailbox.sort_order
        return await self.add(
            id,
            mailbox.parent_id,
            name=mailbox.name,
            role=mailbox.role,
            is_subscribed=mailbox.is_subscribed,
            sort_order=order,
        )

    async def change_mailbox(self, change: MailboxChange) -> None:
        self._begin(change)
        old = self.facts[change.mailbox_id]
        parent_id = change.parent_id if change.moves else old.parent_id
        name = old.name if change.name is None else change.name
        self._check(old.id, parent_id, name)
        self.facts[old.id] = replace(
            old,
            name=name,
            parent_id=parent_id,
            role=change.role if change.sets_role else old.role,
            is_subscribed=old.is_subscribed if change.is_subscribed is None else change.is_subscribed,
            sort_order=old.sort_order if change.sort_order is None else change.sort_order,
        )
        await self.apply()

    async def destroy_mailbox(self, mailbox_id: str, *, remove_emails: bool = False) -> None:
        self._begin(mailbox_id)
        with self.account.snapshot() as snapshot:
            row = snapshot.mailbox(mailbox_id)
        if row is not None and row.total_emails and not remove_emails:
            raise SetError("mailboxHasEmail")
        parent_id = self.facts.pop(mailbox_id).parent_id
        # A path without a mailbox ends with what it leads to.
        if parent_id and not self.facts[parent_id].is_selectable:
            self.facts.pop(parent_id)
        await self.apply()

    def _check(self, id: str | None, parent_id: str | None, name: str) -> None:
        at: str | None = parent_id
        while at is not None:
            if at == id:
                raise SetError("invalidProperties", properties=["parentId"])
            at = self.facts[at].parent_id
        if any((f.parent_id, f.name) == (parent_id, name) and f.id != id for f in self.facts.values()):
            raise SetError("invalidProperties", properties=["name"])


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    account = Account(
        id="A1",
        name="me",
        login="me",
        path=tmp_path / "index.db",
        make_backend=Tree,
        uploads=NoUploads(),
        capabilities={CORE: {}, MAIL: {}},
    )
    await account.open()
    yield account
    await account.aclose()


@pytest.fixture
def tree(account: Account) -> Tree:
    assert isinstance(account.backend, Tree)
    return account.backend


async def call(account: Account, name: str, created_ids: dict[str, str] | None = None, **arguments: Any) -> Any:
    registered = registry().get(name)
    assert registered is not None
    context = Context(
        "me",
        {"A1": account},
        frozenset({CORE, MAIL}),
        Limits(),
        {} if created_ids is None else created_ids,
    )
    return await registered.method(context, {"accountId": "A1", **arguments})


async def set_(account: Account, **arguments: Any) -> Any:
    return await call(account, "Mailbox/set", **arguments)


async def shown(account: Account) -> dict[str, Any]:
    got = await call(account, "Mailbox/get")
    return {mailbox["id"]: mailbox for mailbox in got["list"]}


# ---------------------------------------------------------------- create


async def test_create(account: Account, tree: Tree) -> None:
    """The answer holds what the client did not send, and the states are those of /get before and after."""
    before = (await call(account, "Mailbox/get"))["state"]
    answer = await set_(account, create={"k": {"name": "New", "parentId": None}}, ifInState=before)
    assert answer["oldState"] == before
    assert answer["newState"] == (await call(account, "Mailbox/get"))["state"] != before
    made = answer["created"]["k"]
    assert made == {
        "id": made["id"],
        "role": None,
        "sortOrder": 10,
        "totalEmails": 0,
        "unreadEmails": 0,
        "totalThreads": 0,
        "unreadThreads": 0,
        "myRights": dict.fromkeys(RIGHTS, True),
        "isSubscribed": True,
    }
    assert {name for name, value in answer.items() if value is None} == {
        "updated",
        "destroyed",
        "notCreated",
        "notUpdated",
        "notDestroyed",
    }
    with pytest.raises(MethodError, match="stateMismatch"):
        await set_(account, create={"k": {"name": "New2"}}, ifInState=before)


async def test_references_in_any_order(account: Account, tree: Tree) -> None:
    """A child may come before its parent; a ring of them is refused; created ids go on."""
    created: dict[str, str] = {}
    answer = await call(
        account,
        "Mailbox/set",
        created,
        create={
            "c": {"name": "c", "parentId": "#b"},
            "b": {"name": "b", "parentId": "#a"},
            "a": {"name": "a"},
            "x": {"name": "x", "parentId": "#y"},
            "y": {"name": "y", "parentId": "#x"},
            "z": {"name": "z", "parentId": "#nothing"},
        },
    )
    now = await shown(account)
    assert [now[created[key]]["parentId"] for key in "abc"] == [None, created["a"], created["b"]]
    for key in "xyz":
        assert answer["notCreated"][key]["type"] == "invalidProperties"
        assert answer["notCreated"][key]["properties"] == ["parentId"]


async def test_bad_properties(account: Account, tree: Tree) -> None:
    """Whatever is wrong is named, all of it, and nothing is asked of the upstream."""
    await tree.add("taken", role="archive")
    bad = {
        "no name": ({}, ["name"]),
        "empty": ({"name": ""}, ["name"]),
        "control": ({"name": "a\tb"}, ["name"]),
        "long": ({"name": "ö" * 128}, ["name"]),
        "server-set": ({"name": "a", "id": "B1", "totalEmails": 0, "myRights": {}}, ["id", "totalEmails", "myRights"]),
        "parent": ({"name": "a", "parentId": "nobody"}, ["parentId"]),
        "role": ({"name": "a", "role": "archive"}, ["role"]),
        "no role": ({"name": "a", "role": "king"}, ["role"]),
        "order": ({"name": "a", "sortOrder": -1}, ["sortOrder"]),
        "unknown": ({"name": "a", "colour": "red"}, ["colour"]),
        "two": ({"name": "", "sortOrder": 2**31}, ["name", "sortOrder"]),
    }
    answer = await set_(account, create={key.replace(" ", "-"): given for key, (given, _) in bad.items()})
    assert answer["created"] is None
    for key, (_, properties) in bad.items():
        error = answer["notCreated"][key.replace(" ", "-")]
        assert (error["type"], sorted(error["properties"])) == ("invalidProperties", sorted(properties)), key
    assert tree.writes == []


async def test_rights(account: Account, tree: Tree) -> None:
    """What myRights withholds is `forbidden`, and the upstream is not asked."""
    await tree.add("locked", rights=frozenset({"mayReadItems"}), is_subscribed=False)
    await tree.add("free")
    answer = await set_(
        account,
        create={"k": {"name": "k", "parentId": "locked"}},
        update={"locked": {"name": "other"}, "free": {"parentId": "locked"}},
    )
    assert answer["notCreated"]["k"]["type"] == "forbidden"
    assert {id: error["type"] for id, error in answer["notUpdated"].items()} == {
        "locked": "forbidden",
        "free": "forbidden",
    }
    answer = await set_(account, destroy=["locked"], update={})
    assert answer["notDestroyed"]["locked"]["type"] == "forbidden"
    assert tree.writes == []
    answer = await set_(account, update={"locked": {"isSubscribed": True, "sortOrder": 5}})
    assert answer["updated"] == {"locked": None}
    account.capabilities[MAIL]["mayCreateTopLevelMailbox"] = False
    answer = await set_(account, create={"k": {"name": "k"}, "l": {"name": "l", "parentId": "free"}})
    assert answer["notCreated"]["k"]["type"] == "forbidden"
    assert list(answer["created"]) == ["l"]


async def test_read_only(account: Account, tree: Tree) -> None:
    account.is_read_only = True
    with pytest.raises(MethodError, match="accountReadOnly"):
        await set_(account, create={"k": {"name": "k"}})


# ---------------------------------------------------------------- update


async def test_update(account: Account, tree: Tree) -> None:
    """Only differences are written; the whole object may be sent back; what is server-set stays."""
    await tree.add("a")
    await tree.add("b")
    whole = (await shown(account))["a"]
    answer = await set_(account, update={"a": whole})
    assert (answer["updated"], tree.writes) == ({"a": None}, [])
    assert answer["oldState"] == answer["newState"]
    answer = await set_(account, update={"a": whole | {"name": "A", "parentId": "b"}})
    assert answer["updated"] == {"a": None}
    assert tree.writes == [MailboxChange(mailbox_id="a", name="A", moves=True, parent_id="b")]
    answer = await set_(account, update={"a": {"totalEmails": 5}, "b": {"name/x": 1}, "c": {"name": "c"}})
    assert {id: error["type"] for id, error in answer["notUpdated"].items()} == {
        "a": "invalidProperties",
        "b": "invalidPatch",
        "c": "notFound",
    }


async def test_update_of_what_was_created(account: Account, tree: Tree) -> None:
    """A creation id stands for the new mailbox in update, as key and as parent."""
    await tree.add("a")
    created: dict[str, str] = {}
    answer = await call(
        account,
        "Mailbox/set",
        created,
        create={"k": {"name": "k"}},
        update={"a": {"parentId": "#k"}, "#k": {"name": "K"}},
    )
    assert answer["notUpdated"] is None
    now = await shown(account)
    assert (now["a"]["parentId"], now[created["k"]]["name"]) == (created["k"], "K")


async def test_names_are_swapped(account: Account, tree: Tree) -> None:
    """The end of the call counts: mailboxes take one another's names in a chain and in a ring."""
    for id in "abcde":
        await tree.add(id)
    answer = await set_(account, update={"a": {"name": "b"}, "b": {"name": "c"}, "c": {"name": "free"}})
    assert answer["notUpdated"] is None
    answer = await set_(account, update={"c": {"name": "d"}, "d": {"name": "e"}, "e": {"name": "free"}})
    assert answer["notUpdated"] is None
    assert answer["updated"] == {"c": None, "d": None, "e": None}
    assert {id: mailbox["name"] for id, mailbox in (await shown(account)).items()} == {
        "a": "b",
        "b": "c",
        "c": "d",
        "d": "e",
        "e": "free",
    }


async def test_a_ring_that_breaks(account: Account, tree: Tree) -> None:
    """When one step of a ring fails, everything has a name of its own again."""
    await tree.add("a")
    await tree.add("b")
    tree.fails = [SetError("forbidden")]
    answer = await set_(account, update={"a": {"name": "b"}, "b": {"name": "a"}})
    assert answer["notUpdated"]["a"]["type"] == "forbidden"
    assert answer["notUpdated"]["b"]["type"] == "invalidProperties"
    assert {id: mailbox["name"] for id, mailbox in (await shown(account)).items()} == {"a": "a", "b": "b"}


async def test_parent_and_child_change_places(account: Account, tree: Tree) -> None:
    """A mailbox can move below its own child if that moves away in the same call; else there is a loop."""
    await tree.add("a")
    await tree.add("b", "a")
    answer = await set_(account, update={"a": {"parentId": "b"}, "b": {"parentId": None}})
    assert answer["notUpdated"] is None
    answer = await set_(account, update={"b": {"parentId": "a"}})
    assert answer["notUpdated"]["b"]["properties"] == ["parentId"]
    answer = await set_(account, update={"b": {"parentId": "b"}})
    assert answer["notUpdated"]["b"]["properties"] == ["parentId"]


# ---------------------------------------------------------------- destroy


async def test_destroy(account: Account, tree: Tree) -> None:
    """Parents and children in any order; a parent whose child stays stays too."""
    await tree.add("a")
    await tree.add("b", "a")
    await tree.add("c", "b")
    answer = await set_(account, destroy=["a"])
    assert answer["notDestroyed"] == {"a": {"type": "mailboxHasChild"}}
    await tree.deliver("b")
    answer = await set_(account, destroy=["a", "b", "c"])
    assert answer["destroyed"] == ["c"]
    assert {id: error["type"] for id, error in answer["notDestroyed"].items()} == {
        "a": "mailboxHasChild",
        "b": "mailboxHasEmail",
    }
    answer = await set_(
        account, destroy=["a", "b", "b", "gone"], onDestroyRemoveEmails=True, update={"a": {"name": "x"}}
    )
    assert sorted(answer["destroyed"]) == ["a", "b"]
    assert answer["notDestroyed"] == {"gone": {"type": "notFound"}}
    assert answer["notUpdated"] == {"a": {"type": "willDestroy"}}
    assert await shown(account) == {}


async def test_a_parent_that_is_only_a_path(account: Account, tree: Tree) -> None:
    """It goes with its last child, and that is what was asked for."""
    await tree.add("a", is_selectable=False)
    await tree.add("b", "a")
    answer = await set_(account, destroy=["a", "b"])
    assert sorted(answer["destroyed"]) == ["a", "b"]


async def test_an_upstream_that_fails_midway(account: Account, tree: Tree) -> None:
    """What was done is told; a call of which nothing was attempted fails whole."""
    tree.fails = [MethodError("serverUnavailable", "gone")]
    with pytest.raises(MethodError, match="serverUnavailable"):
        await set_(account, create={"a": {"name": "a"}, "b": {"name": "b"}})
    tree.fails = [SetError("overQuota"), MethodError("serverUnavailable", "gone")]
    answer = await set_(account, create={"a": {"name": "a"}, "b": {"name": "b"}, "c": {"name": "c"}})
    assert {id: error["type"] for id, error in answer["notCreated"].items()} == {"a": "overQuota", "b": "serverFail"}
    assert list(answer["created"]) == ["c"]


# ---------------------------------------------------------------- on real servers


@pytest.fixture
async def real(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Account]:
    login = upstream.fresh_login()
    credentials = PasswordCredentials(login, Secret(upstream.password))

    async def current() -> PasswordCredentials:
        return credentials

    endpoint = Endpoint(upstream.host, upstream.ports["imap"], "none")
    account = Account(
        id="A1",
        name=login,
        login=login,
        path=tmp_path / "real.db",
        make_backend=lambda account: ImapBackend(account, Pool(endpoint, current, size=4), max_staleness_s=0),
        uploads=NoUploads(),
        capabilities={CORE: {}, MAIL: {}},
    )
    await account.open()
    yield account
    await account.aclose()


@pytest.mark.upstream
@pytest.mark.timeout(300)
async def test_a_day_with_mailboxes(upstream: Upstream, real: Account) -> None:
    """Create a tree, swap names, move, hide, order, destroy: each answer is what /get shows next."""
    created: dict[str, str] = {}
    answer = await call(
        real,
        "Mailbox/set",
        created,
        create={
            "leaf": {"name": "Blätter", "parentId": "#branch", "isSubscribed": False},
            "branch": {"name": "Äste", "parentId": "#root", "sortOrder": 3},
            "root": {"name": "Würzeln"},
            "bad": {"name": f"a{upstream.separator}b"},
        },
    )
    assert list(answer["notCreated"]) == ["bad"]
    got = await call(real, "Mailbox/get")
    assert got["state"] == answer["newState"]
    now = {mailbox["id"]: mailbox for mailbox in got["list"]}
    for key, made in answer["created"].items():
        assert now[created[key]] == now[created[key]] | made
    assert now[created["leaf"]]["isSubscribed"] is False
    assert now[created["branch"]]["sortOrder"] == 3
    assert now[created["leaf"]]["parentId"] == created["branch"]

    by_role = {mailbox["role"]: mailbox for mailbox in now.values() if mailbox["role"]}
    root, branch, leaf = (created[key] for key in ("root", "branch", "leaf"))
    answer = await set_(
        real,
        update={
            root: {"name": "Zweige", "isSubscribed": False},
            branch: {"parentId": None, "name": "Würzeln"},
            leaf: {"sortOrder": 9, "isSubscribed": True},
            by_role["inbox"]["id"]: {"name": "No"},
        },
    )
    assert {id: error["type"] for id, error in answer["notUpdated"].items()} == {by_role["inbox"]["id"]: "forbidden"}
    now = await shown(real)
    assert (now[root]["name"], now[branch]["name"], now[branch]["parentId"]) == ("Zweige", "Würzeln", None)
    assert (now[leaf]["parentId"], now[leaf]["sortOrder"], now[leaf]["isSubscribed"]) == (branch, 9, True)
    assert now[branch]["sortOrder"] == 3
    answer = await set_(real, update={root: {"name": "Würzeln"}, branch: {"name": "Zweige"}})
    assert answer["notUpdated"] is None
    now = await shown(real)
    assert (now[root]["name"], now[branch]["name"]) == ("Würzeln", "Zweige")

    upstream.append(real.login, b"Subject: x\r\n\r\nx\r\n", mailbox=_path(real, leaf))
    answer = await set_(real, destroy=[root, branch, leaf])
    assert answer["destroyed"] == [root]
    assert {id: error["type"] for id, error in answer["notDestroyed"].items()} == {
        branch: "mailboxHasChild",
        leaf: "mailboxHasEmail",
    }
    answer = await set_(real, destroy=[branch, leaf], onDestroyRemoveEmails=True)
    assert sorted(answer["destroyed"]) == sorted([branch, leaf])
    got = await call(real, "Mailbox/get")
    assert got["state"] == answer["newState"]
    assert not {root, branch, leaf} & {mailbox["id"] for mailbox in got["list"]}
    changes = await call(real, "Mailbox/changes", sinceState=answer["oldState"])
    assert set(changes["destroyed"]) == {branch, leaf}


def _path(account: Account, mailbox_id: str) -> str:
    """Return what goes over the wire, as imaplib wants it."""
    with account.snapshot() as snapshot:
        row = snapshot.mailbox(mailbox_id)
    assert row is not None
    return encode_utf7(row.facts.path).decode()
