"""Email/set (RFC 8621 section 4.6): keywords, mailboxes and destruction; `test_email_create` has creation."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap.capability import CORE, MAIL
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.objects.mailbox import RIGHTS
from tests.methods.world import World

TEXT = "From: a@example.org\nSubject: hello\nMessage-ID: <1@example.org>\n\nbody\n"


async def emails(world: World, *ids: str, **arguments: Any) -> list[dict[str, Any]]:
    arguments.setdefault("properties", ["keywords", "mailboxIds"])
    return (await world.call("Email/get", ids=list(ids), **arguments))["list"]


async def update(world: World, id: str, patch: dict[str, Any]) -> dict[str, Any] | None:
    """Patch one Email; return its SetError, None for success."""
    answer = await world.call("Email/set", update={id: patch})
    assert (answer["updated"] is None) != (answer["notUpdated"] is None)
    assert answer["newState"] == (await world.call("Email/get", ids=[]))["state"]
    return answer["notUpdated"] and answer["notUpdated"][id]


@pytest.fixture
async def mail(world: World) -> str:
    await world.add_mailbox("work")
    return await world.deliver(TEXT, flags=["\\Flagged", "$Label1"])


@pytest.mark.parametrize(
    ("patch", "keywords"),
    [
        ({"keywords/$seen": True}, {"$seen", "$flagged", "$label1"}),
        ({"keywords/$flagged": None}, {"$label1"}),
        ({"keywords/$LABEL1": None, "keywords/New": True}, {"$flagged", "new"}),
        ({"keywords": {"$Draft": True}}, {"$draft"}),
        ({"keywords": {}}, set()),
        ({"keywords": None}, set()),
        ({"keywords/$seen": None}, {"$flagged", "$label1"}),
        ({"keywords/$Flagged": True}, {"$flagged", "$label1"}),
    ],
)
async def test_keywords(world: World, mail: str, patch: dict[str, Any], keywords: set[str]) -> None:
    """Keywords change by whole value and by patch, in any case; a no-op succeeds."""
    assert await update(world, mail, patch) is None
    (shown,) = await emails(world, mail)
    assert shown["keywords"] == dict.fromkeys(keywords, True)


@pytest.mark.parametrize(
    ("patch", "mailboxes"),
    [
        ({"mailboxIds/work": True}, {"inbox", "work"}),
        ({"mailboxIds/inbox": None, "mailboxIds/work": True}, {"work"}),
        ({"mailboxIds": {"work": True}}, {"work"}),
        ({"mailboxIds": {"inbox": True}}, {"inbox"}),
        ({"mailboxIds/absent": None}, {"inbox"}),
    ],
)
async def test_mailboxes(world: World, mail: str, patch: dict[str, Any], mailboxes: set[str]) -> None:
    """Mailboxes change by whole value and by patch."""
    assert await update(world, mail, patch) is None
    (shown,) = await emails(world, mail)
    assert shown["mailboxIds"] == dict.fromkeys(mailboxes, True)


@pytest.mark.parametrize(
    ("patch", "kind", "properties"),
    [
        ({"mailboxIds": {}}, "invalidProperties", ["mailboxIds"]),
        ({"mailboxIds": None}, "invalidProperties", ["mailboxIds"]),
        ({"mailboxIds/inbox": None}, "invalidProperties", ["mailboxIds"]),
        ({"mailboxIds/nowhere": True}, "invalidProperties", ["mailboxIds"]),
        ({"mailboxIds/#nothing": True}, "invalidProperties", ["mailboxIds"]),
        ({"mailboxIds/work": False}, "invalidProperties", ["mailboxIds"]),
        ({"mailboxIds": ["work"]}, "invalidProperties", ["mailboxIds"]),
        ({"keywords/a b": True}, "invalidProperties", ["keywords"]),
        ({"keywords/": True}, "invalidProperties", ["keywords"]),
        ({"keywords/" + "x" * 256: True}, "invalidProperties", ["keywords"]),
        ({"keywords/$seen": False}, "invalidProperties", ["keywords"]),
        ({"keywords/$seen": 1}, "invalidProperties", ["keywords"]),
        ({"keywords/ümlaut": True}, "invalidProperties", ["keywords"]),
        ({"subject": "other"}, "invalidProperties", ["subject"]),
        ({"receivedAt": "2020-01-01T00:00:00Z"}, "invalidProperties", ["receivedAt"]),
        ({"size": 1, "odd": 1, "header:Subject": "x"}, "invalidProperties", ["header:Subject", "odd", "size"]),
        ({"header:From:asDate": "x"}, "invalidProperties", ["header:From:asDate"]),
        ({"textBody": []}, "invalidProperties", ["textBody"]),
        ({"bodyStructure/type": "text/html"}, "invalidProperties", ["bodyStructure"]),
        ({"keywords": {}, "keywords/$seen": True}, "invalidPatch", None),
        ({"keywords/$seen/deep": True}, "invalidPatch", None),
        ({"textBody/0": 1}, "invalidPatch", None),
        ({f"keywords/k{n}": True for n in range(200)}, "tooManyKeywords", None),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bad_patches(
    world: World, mail: str, patch: dict[str, Any], kind: str, properties: list[str] | None
) -> None:
    """A patch that is wrong changes nothing, and the error names the properties."""
    before = await emails(world, mail)
    error = await update(world, mail, {"keywords/$answered": True, **patch} if "keywords" not in patch else patch)
    assert error is not None
    assert error["type"] == kind
    assert sorted(error.get("properties") or []) == (properties or [])
    assert await emails(world, mail) == before
    assert world.changed == []


async def test_whole_object(world: World, mail: str) -> None:
    """An Email as /get returns it is a patch that changes nothing, body and header properties too."""
    (shown,) = await emails(world, mail, properties=None)
    (more,) = await emails(world, mail, properties=["headers", "bodyStructure", "header:Subject:asText"])
    assert await update(world, mail, {**shown, **more}) is None
    assert world.changed == []


async def test_many_at_once(world: World) -> None:
    """Updates of 500 Emails are one call of the backend, and destructions are one."""
    ids = [await world.deliver(TEXT) for _ in range(100)]
    answer = await world.call("Email/set", update={id: {"keywords/$seen": True} for id in ids})
    assert set(answer["updated"]) == set(ids)
    assert [len(changes) for changes in world.changed] == [100]
    answer = await world.call("Email/set", destroy=ids)
    assert answer["destroyed"] == ids
    assert [len(changes) for changes in world.changed] == [100, 100]
    assert await emails(world, *ids) == []


async def test_differences(world: World, mail: str) -> None:
    """The backend is told the difference, so that what others change meanwhile stays."""
    await update(world, mail, {"keywords": {"$seen": True, "$flagged": True}, "mailboxIds": {"work": True}})
    ((change,),) = world.changed
    assert (change.add_keywords, change.remove_keywords) == ({"$seen"}, {"$label1"})
    assert (change.add_mailboxes, change.remove_mailboxes) == ({"work"}, {"inbox"})


async def test_refused_by_the_upstream(world: World, mail: str) -> None:
    """An Email that the upstream refuses to change is told with its error; the others are changed."""
    other = await world.deliver(TEXT)
    world.refusals[mail] = SetError("overQuota")
    answer = await world.call("Email/set", update={id: {"keywords/$seen": True} for id in (mail, other)})
    assert answer["notUpdated"] == {mail: {"type": "overQuota"}}
    assert answer["updated"] == {other: None}
    answer = await world.call("Email/set", destroy=[mail, other])
    assert (answer["destroyed"], answer["notDestroyed"]) == ([other], {mail: {"type": "overQuota"}})


async def test_upstream_away(world: World, mail: str) -> None:
    """An upstream that is away fails the call when nothing was done yet."""
    world.refusals[mail] = MethodError("serverUnavailable")
    with pytest.raises(MethodError) as raised:
        await world.call("Email/set", update={mail: {"keywords/$seen": True}})
    assert raised.value.kind == "serverUnavailable"


async def test_not_found(world: World) -> None:
    """Unknown ids are notFound, for update and destroy."""
    answer = await world.call("Email/set", update={"nope": {"keywords/$seen": True}}, destroy=["nothing"])
    assert answer["notUpdated"] == {"nope": {"type": "notFound"}}
    assert answer["notDestroyed"] == {"nothing": {"type": "notFound"}}
    assert (answer["updated"], answer["destroyed"]) == (None, None)


async def test_found_wherever_it_is(world: World) -> None:
    """An Email in a mailbox that is not indexed yet is changed all the same."""
    await world.add_mailbox("late", is_indexed=False)
    id = await world.deliver(TEXT, "late")
    assert await update(world, id, {"keywords/$seen": True}) is None


async def test_states(world: World, mail: str) -> None:
    """ifInState guards; oldState and newState are those of /get, and Mailbox and Thread move along."""
    states = {type: (await world.call(f"{type}/get", ids=[]))["state"] for type in ("Email", "Mailbox", "Thread")}
    answer = await world.call("Email/set", ifInState=states["Email"], update={mail: {"keywords/$seen": True}})
    assert answer["oldState"] == states["Email"] != answer["newState"]
    with pytest.raises(MethodError) as raised:
        await world.call("Email/set", ifInState=states["Email"], destroy=[mail])
    assert raised.value.kind == "stateMismatch"
    (inbox,) = (await world.call("Mailbox/get", ids=["inbox"]))["list"]
    assert inbox["unreadEmails"] == 0
    changes = await world.call("Mailbox/changes", sinceState=states["Mailbox"])
    assert changes["updated"] == ["inbox"]


@pytest.mark.parametrize(
    ("mailbox", "missing", "patch"),
    [
        ("work", "mayAddItems", {"mailboxIds/work": True}),
        ("inbox", "mayRemoveItems", {"mailboxIds": {"work": True}}),
        ("inbox", "maySetSeen", {"keywords/$seen": True}),
        ("inbox", "maySetKeywords", {"keywords/$flagged": None}),
        ("work", "maySetKeywords", {"keywords/x": True, "mailboxIds/work": True}),
    ],
)
async def test_rights(world: World, mail: str, mailbox: str, missing: str, patch: dict[str, Any]) -> None:
    """What myRights does not allow is forbidden, and nothing is changed."""
    await world.alter_mailbox(mailbox, rights=frozenset(RIGHTS) - {missing})
    error = await update(world, mail, patch)
    assert error is not None
    assert error["type"] == "forbidden"
    assert world.changed == []


async def test_rights_that_are_not_needed(world: World, mail: str) -> None:
    """$seen needs maySetSeen alone, other keywords maySetKeywords alone."""
    await world.alter_mailbox("inbox", rights=frozenset(RIGHTS) - {"maySetKeywords"})
    assert await update(world, mail, {"keywords/$seen": True}) is None
    await world.alter_mailbox("inbox", rights=frozenset(RIGHTS) - {"maySetSeen", "mayRemoveItems"})
    assert await update(world, mail, {"keywords/x": True}) is None
    answer = await world.call("Email/set", destroy=[mail])
    assert answer["notDestroyed"][mail]["type"] == "forbidden"


async def test_too_many_mailboxes(world: World, mail: str) -> None:
    """More Mailboxes than maxMailboxesPerEmail are tooManyMailboxes, on update and create."""
    world.account.capabilities = {CORE: {}, MAIL: {"maxMailboxesPerEmail": 1}}
    error = await update(world, mail, {"mailboxIds/work": True})
    assert error is not None
    assert error["type"] == "tooManyMailboxes"
    answer = await world.call("Email/set", create={"d": {"mailboxIds": {"inbox": True, "work": True}}})
    assert answer["notCreated"]["d"]["type"] == "tooManyMailboxes"


async def test_destroy(world: World, mail: str) -> None:
    """A destroyed Email is gone from all its Mailboxes; an update beside it is willDestroy."""
    await update(world, mail, {"mailboxIds/work": True})
    answer = await world.call("Email/set", update={mail: {"keywords/$seen": True}}, destroy=[mail])
    assert answer["notUpdated"][mail]["type"] == "willDestroy"
    assert answer["destroyed"] == [mail]
    for mailbox in ("inbox", "work"):
        assert (await world.call("Email/query", filter={"inMailbox": mailbox}))["ids"] == []


async def test_created_mailbox(world: World, mail: str) -> None:
    """A Mailbox made by an earlier call of the request may be named by its creation id."""
    context = world.context()
    made = await world.call_in(context, "Mailbox/set", create={"new": {"name": "New"}})
    assert made["created"] is not None
    answer = await world.call_in(
        context, "Email/set", update={mail: {"mailboxIds/#new": True}}, create={"d": {"mailboxIds": {"#new": True}}}
    )
    assert (answer["notUpdated"], answer["notCreated"]) == (None, None)
    (shown,) = await emails(world, mail)
    assert shown["mailboxIds"] == {"inbox": True, made["created"]["new"]["id"]: True}


async def test_created_email(world: World) -> None:
    """A draft may be changed and destroyed by creation id, in its own call and in later ones."""
    context = world.context()
    draft = {"mailboxIds": {"inbox": True}, "keywords": {"$draft": True}}
    answer = await world.call_in(
        context, "Email/set", create={"d": draft, "e": draft}, update={"#d": {"keywords/$seen": True}}, destroy=["#e"]
    )
    id = answer["created"]["d"]["id"]
    assert answer["updated"] == {id: None}
    assert answer["destroyed"] == [answer["created"]["e"]["id"]]
    shown = await world.call_in(context, "Email/get", ids=["#d"], properties=["keywords"])
    assert shown["list"][0]["keywords"] == {"$draft": True, "$seen": True}


async def test_read_only(world: World, mail: str) -> None:
    """A read-only account is accountReadOnly for each method that writes."""
    world.account.is_read_only = True
    for name, arguments in (("Email/set", {"destroy": [mail]}), ("Email/import", {"emails": {}})):
        with pytest.raises(MethodError) as raised:
            await world.call(name, **arguments)
        assert raised.value.kind == "accountReadOnly"
