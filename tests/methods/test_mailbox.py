"""Mailbox/get, /changes, /query and /queryChanges (RFC 8621 section 2)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway.jmap.errors import MethodError
from gateway.jmap.objects.mailbox import RIGHTS
from tests.methods.world import World

ROWS: list[dict[str, Any]] = [
    {"id": "work", "name": "Work", "sort_order": 10},
    {"id": "alpha", "name": "alpha", "parent_id": "work", "sort_order": 10},
    {"id": "beta", "name": "Beta", "parent_id": "work", "sort_order": 10, "is_subscribed": False},
    {"id": "deep", "name": "Alphabet", "parent_id": "beta", "sort_order": 10},
    {"id": "trash", "name": "Trash", "role": "trash", "sort_order": 5},
]


async def fill(world: World) -> None:
    for row in ROWS:
        row = dict(row)
        await world.add_mailbox(row.pop("id"), **row)


async def test_every_property(world: World) -> None:
    """Mailbox/get returns every property of a Mailbox, and myRights every right."""
    (mailbox,) = (await world.call("Mailbox/get", ids=["inbox"]))["list"]
    assert mailbox == {
        "id": "inbox",
        "name": "Inbox",
        "parentId": None,
        "role": "inbox",
        "sortOrder": 1,
        "totalEmails": 0,
        "unreadEmails": 0,
        "totalThreads": 0,
        "unreadThreads": 0,
        "myRights": dict.fromkeys(RIGHTS, True),
        "isSubscribed": True,
    }


async def test_asks_for_the_tree_only(world: World) -> None:
    """Mailbox/get waits for nothing but the tree."""
    await world.call("Mailbox/get", ids=None)
    (need,) = world.needs
    assert (need.tree, need.known, need.everything, need.mailbox_ids) == (True, False, False, frozenset())


async def test_only_counts_changed(world: World) -> None:
    """When only counts moved updatedProperties lists counts; after a rename it is null."""
    state = (await world.call("Mailbox/get", ids=[]))["state"]
    await world.deliver("Subject: x\n\nx")
    response = await world.call("Mailbox/changes", sinceState=state)
    assert response["updated"] == ["inbox"]
    counts = {"totalEmails", "unreadEmails", "totalThreads", "unreadThreads"}
    assert response["updatedProperties"]
    assert set(response["updatedProperties"]) <= counts
    await world.alter_mailbox("inbox", name="In")
    assert (await world.call("Mailbox/changes", sinceState=state))["updatedProperties"] is None


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (None, {"inbox", "work", "alpha", "beta", "deep", "trash"}),
        ({}, {"inbox", "work", "alpha", "beta", "deep", "trash"}),
        ({"parentId": None}, {"inbox", "work", "trash"}),
        ({"parentId": "work"}, {"alpha", "beta"}),
        ({"name": "ALPHA"}, {"alpha", "deep"}),
        ({"role": "inbox"}, {"inbox"}),
        ({"role": None}, {"work", "alpha", "beta", "deep"}),
        ({"hasAnyRole": True}, {"inbox", "trash"}),
        ({"hasAnyRole": False}, {"work", "alpha", "beta", "deep"}),
        ({"isSubscribed": False}, {"beta"}),
        ({"name": "alpha", "parentId": "work"}, {"alpha"}),
        ({"operator": "AND", "conditions": [{"name": "alpha"}, {"parentId": "beta"}]}, {"deep"}),
        ({"operator": "OR", "conditions": [{"role": "inbox"}, {"role": "trash"}]}, {"inbox", "trash"}),
        ({"operator": "NOT", "conditions": [{"hasAnyRole": False}]}, {"inbox", "trash"}),
        ({"operator": "NOT", "conditions": [{"role": "inbox"}, {"parentId": "work"}]}, {"work", "deep", "trash"}),
        ({"operator": "AND", "conditions": []}, {"inbox", "work", "alpha", "beta", "deep", "trash"}),
        ({"operator": "OR", "conditions": []}, set()),
    ],
)
async def test_filter(world: World, filter: Any, expected: set[str]) -> None:
    """Each condition and operator selects what it says."""
    await fill(world)
    response = await world.call("Mailbox/query", filter=filter, calculateTotal=True)
    assert set(response["ids"]) == expected
    assert response["total"] == len(expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"sort": [{"property": "name"}]}, ["alpha", "deep", "beta", "inbox", "trash", "work"]),
        (
            {"sort": [{"property": "name", "isAscending": False}]},
            ["work", "trash", "inbox", "beta", "deep", "alpha"],
        ),
        (
            {"sort": [{"property": "name", "collation": "i;octet"}]},
            ["deep", "beta", "inbox", "trash", "work", "alpha"],
        ),
        (
            {"sort": [{"property": "sortOrder"}, {"property": "name", "isAscending": False}]},
            ["inbox", "trash", "work", "beta", "deep", "alpha"],
        ),
        (
            {"sort": [{"property": "parentId"}, {"property": "name"}]},
            ["inbox", "trash", "work", "deep", "alpha", "beta"],
        ),
        (
            {"sort": [{"property": "name"}], "sortAsTree": True},
            ["inbox", "trash", "work", "alpha", "beta", "deep"],
        ),
        (
            {"sort": [{"property": "name", "isAscending": False}], "sortAsTree": True, "filter": {"name": "a"}},
            ["beta", "deep", "alpha", "trash"],
        ),
        ({"sort": [{"property": "name"}], "filterAsTree": True, "filter": {"name": "alpha"}}, []),
        (
            {
                "sort": [{"property": "name"}],
                "filterAsTree": True,
                "filter": {"operator": "NOT", "conditions": [{"name": "beta"}]},
            },
            ["alpha", "inbox", "trash", "work"],
        ),
    ],
)
async def test_sort(world: World, arguments: dict[str, Any], expected: list[str]) -> None:
    """Comparators apply in order, with their collation; trees are sorted and filtered as trees."""
    await fill(world)
    assert (await world.call("Mailbox/query", **arguments))["ids"] == expected


@pytest.mark.parametrize(
    ("arguments", "position", "count"),
    [
        ({"position": 2}, 2, 4),
        ({"position": -2}, 4, 2),
        ({"position": -99}, 0, 6),
        ({"position": 99}, 99, 0),
        ({"limit": 0}, 0, 0),
        ({"limit": 2, "position": 1}, 1, 2),
        ({"anchor": "inbox"}, 3, 3),
        ({"anchor": "inbox", "anchorOffset": -1, "limit": 1, "position": 5}, 2, 1),
        ({"anchor": "inbox", "anchorOffset": -9}, 0, 6),
        ({"anchorOffset": 4}, 0, 6),
    ],
)
async def test_window(world: World, arguments: dict[str, Any], position: int, count: int) -> None:
    """position, anchor and limit choose the window as RFC 8620 section 5.5 says."""
    await fill(world)
    every = ["alpha", "deep", "beta", "inbox", "trash", "work"]
    response = await world.call("Mailbox/query", sort=[{"property": "name"}], **arguments)
    assert response["position"] == position
    assert response["ids"] == every[position : position + count]
    assert "total" not in response


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"anchor": "nothing"}, "anchorNotFound"),
        ({"limit": -1}, "invalidArguments"),
        ({"filter": {"size": 1}}, "unsupportedFilter"),
        ({"filter": {"name": 1}}, "invalidArguments"),
        ({"filter": {"operator": "XOR", "conditions": []}}, "invalidArguments"),
        ({"filter": {"operator": "AND"}}, "invalidArguments"),
        ({"filter": {"operator": "AND", "conditions": ["x"]}}, "invalidArguments"),
        ({"filter": {"operator": ["AND"], "conditions": []}}, "invalidArguments"),
        ({"sort": [{"property": "colour"}]}, "unsupportedSort"),
        ({"sort": [{"property": "name", "collation": "i;klingon"}]}, "unsupportedSort"),
        ({"sort": [{"isAscending": True}]}, "invalidArguments"),
        ({"sort": [{"property": "name", "isAscending": "yes"}]}, "invalidArguments"),
        ({"sortAsTree": None}, "invalidArguments"),
    ],
)
async def test_refused(world: World, arguments: dict[str, Any], kind: str) -> None:
    """What is ill-typed is invalidArguments, what is not known is unsupported."""
    with pytest.raises(MethodError) as raised:
        await world.call("Mailbox/query", **arguments)
    assert raised.value.kind == kind


async def test_collation_of_a_number(world: World) -> None:
    """A collation is ignored where no String is compared, and null is the default."""
    sort = [{"property": "sortOrder", "collation": "i;klingon"}, {"property": "name", "collation": None}]
    assert (await world.call("Mailbox/query", sort=sort))["ids"] == ["inbox"]


async def test_deep_filter(world: World) -> None:
    """A filter too deep to evaluate is unsupportedFilter."""
    filter: dict[str, Any] = {"role": "inbox"}
    for _ in range(200):
        filter = {"operator": "AND", "conditions": [filter]}
    with pytest.raises(MethodError) as raised:
        await world.call("Mailbox/query", filter=filter)
    assert raised.value.kind == "unsupportedFilter"


def spliced(old: list[str], response: dict[str, Any]) -> list[str]:
    """Apply a /queryChanges as RFC 8620 section 5.6 tells clients to."""
    ids = [id for id in old if id not in response["removed"]]
    assert [added["index"] for added in response["added"]] == sorted(added["index"] for added in response["added"])
    for added in response["added"]:
        ids.insert(added["index"], added["id"])
    return ids


@pytest.mark.parametrize(
    "arguments",
    [
        {"sort": [{"property": "name"}]},
        {"sort": [{"property": "name"}], "filter": {"name": "a"}},
        {"sort": [{"property": "name"}], "sortAsTree": True},
        {"sort": [{"property": "sortOrder"}, {"property": "name"}], "sortAsTree": True, "filterAsTree": True},
        {"sort": [{"property": "name"}], "filterAsTree": True, "filter": {"isSubscribed": True}},
    ],
)
async def test_query_changes(world: World, arguments: dict[str, Any]) -> None:
    """Splicing /queryChanges into the old result gives the new result, whatever happened."""
    await fill(world)
    rng = random.Random(1)
    for step in range(25):
        before = await world.call("Mailbox/query", **arguments)
        for _ in range(rng.randint(0, 3)):
            id = rng.choice(list(world.mailboxes))
            match rng.randrange(6):
                case 0:
                    await world.add_mailbox(f"new{step}{rng.random()}"[:12].replace(".", ""), parent_id=id)
                case 1:
                    await world.alter_mailbox(id, name=f"{rng.choice('abcz')}{step}")
                case 2:
                    await world.alter_mailbox(id, is_subscribed=rng.random() < 0.7)
                case 3:
                    await world.deliver(f"Subject: {step}\n\nx", id)
                case 4:
                    if not any(facts.parent_id == id for facts in world.mailboxes.values()) and id != "inbox":
                        await world.remove_mailbox(id)
                case 5:
                    await world.alter_mailbox(id, sort_order=rng.randrange(3))
        after = await world.call("Mailbox/query", **arguments, calculateTotal=True)
        changes = await world.call(
            "Mailbox/queryChanges", **arguments, sinceQueryState=before["queryState"], calculateTotal=True
        )
        assert changes["oldQueryState"] == before["queryState"]
        assert changes["newQueryState"] == after["queryState"]
        assert changes["total"] == after["total"]
        assert spliced(before["ids"], changes) == after["ids"]


async def test_counts_do_not_move(world: World) -> None:
    """New mail alone changes nothing in a list of mailboxes by name."""
    state = (await world.call("Mailbox/query"))["queryState"]
    await world.deliver("Subject: x\n\nx")
    response = await world.call("Mailbox/queryChanges", sinceQueryState=state)
    assert response["removed"] == response["added"] == []
    assert "total" not in response


async def test_query_changes_refused(world: World) -> None:
    """More changes than maxChanges is tooManyChanges, a strange state cannotCalculateChanges."""
    state = (await world.call("Mailbox/query"))["queryState"]
    await fill(world)
    with pytest.raises(MethodError) as raised:
        await world.call("Mailbox/queryChanges", sinceQueryState=state, maxChanges=1)
    assert raised.value.kind == "tooManyChanges"
    with pytest.raises(MethodError) as raised:
        await world.call("Mailbox/queryChanges", sinceQueryState="nonsense")
    assert raised.value.kind == "cannotCalculateChanges"
