"""Email/query and Email/queryChanges (RFC 8621 sections 4.4, 4.5): what a client writes is what the index is asked."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway.account.query import Condition, Operator
from gateway.jmap.errors import MethodError
from gateway.methods.email_query import email_filter, mailboxes_of
from tests.methods.world import World

NEWEST = [{"property": "receivedAt", "isAscending": False}]


def mail(subject: str, n: int, body: str = "x") -> str:
    return f"From: Ann <ann@x.example>\nTo: bob@y.example\nSubject: {subject}\nMessage-ID: <{n}@x>\n\n{body}\n"


def test_every_condition() -> None:
    """Each property of a FilterCondition reaches the account as what it says."""
    given: dict[str, Any] = {
        "inMailbox": "b",
        "inMailboxOtherThan": ["c", "d"],
        "before": "1970-01-01T00:01:00Z",
        "after": "1970-01-01T00:00:01.5Z",
        "minSize": 1,
        "maxSize": 2,
        "allInThreadHaveKeyword": "$Seen",
        "someInThreadHaveKeyword": "$flagged",
        "noneInThreadHaveKeyword": "x",
        "hasKeyword": "y",
        "notKeyword": "z",
        "hasAttachment": False,
        "text": "t",
        "from": "f",
        "to": "o",
        "cc": "c",
        "bcc": "b",
        "subject": "s",
        "body": "o",
        "header": ["X-A", "v"],
    }
    assert email_filter(given) == Condition(
        in_mailbox="b",
        in_mailbox_other_than=("c", "d"),
        before_s=60,
        after_s=2,
        min_size=1,
        max_size=2,
        all_in_thread_have_keyword="$seen",
        some_in_thread_have_keyword="$flagged",
        none_in_thread_have_keyword="x",
        has_keyword="y",
        not_keyword="z",
        has_attachment=False,
        text="t",
        from_="f",
        to="o",
        cc="c",
        bcc="b",
        subject="s",
        body="o",
        header=("X-A", "v"),
    )
    nested = {"operator": "NOT", "conditions": [{"operator": "OR", "conditions": [{"text": "a"}, {}]}]}
    assert email_filter(nested) == Operator("NOT", (Operator("OR", (Condition(text="a"), Condition())),))


A, B, SEEN = {"inMailbox": "a"}, {"inMailbox": "b"}, {"hasKeyword": "$seen"}


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (None, None),
        ({}, None),
        (A, {"a"}),
        (SEEN, None),
        (A | SEEN, {"a"}),
        ({"operator": "AND", "conditions": [A, SEEN]}, {"a"}),
        ({"operator": "AND", "conditions": [A, B]}, set()),
        ({"operator": "OR", "conditions": [A, B]}, {"a", "b"}),
        ({"operator": "OR", "conditions": [A, SEEN]}, None),
        ({"operator": "NOT", "conditions": [A]}, None),
        ({"operator": "AND", "conditions": [{"operator": "NOT", "conditions": [A]}, B]}, {"b"}),
    ],
)
def test_mailboxes_of(filter: Any, expected: set[str] | None) -> None:
    """A query waits for the mailboxes its filter can match, and for all where it cannot tell."""
    assert mailboxes_of(email_filter(filter)) == expected


async def test_waits_for_its_mailbox_only(world: World) -> None:
    """A query in one mailbox does not wait for the others; one in all of them does."""
    await world.add_mailbox("late", is_indexed=False)
    await world.add_mailbox("later", is_indexed=False)
    late = await world.deliver(mail("a", 1), "late")
    later = await world.deliver(mail("b", 2), "later")
    assert (await world.call("Email/query", filter={"inMailbox": "late"}))["ids"] == [late]
    assert "later" not in world.indexed
    assert set((await world.call("Email/query"))["ids"]) == {late, later}


async def test_response(world: World) -> None:
    """The response has every argument of RFC 8620 section 5.5, and total only where it was asked for."""
    ids = [await world.deliver(mail(f"s{n}", n)) for n in range(5)][::-1]
    response = await world.call("Email/query", sort=NEWEST, position=1, limit=2)
    assert response == {
        "accountId": "A1",
        "queryState": response["queryState"],
        "canCalculateChanges": True,
        "position": 1,
        "ids": ids[1:3],
    }
    assert (await world.call("Email/query", limit=0, calculateTotal=True))["total"] == 5
    assert (await world.call("Email/query", limit=0, calculateTotal=True))["ids"] == []
    assert (await world.call("Email/query", sort=NEWEST, position=-2))["ids"] == ids[-2:]
    assert (await world.call("Email/query", sort=NEWEST, position=77))["ids"] == []
    anchored = await world.call("Email/query", sort=NEWEST, anchor=ids[2], anchorOffset=-1, position=4, limit=2)
    assert (anchored["ids"], anchored["position"]) == (ids[1:3], 1)


async def test_what_clients_send(world: World) -> None:
    """Nulls for defaults, a keyword sort before receivedAt, a mailbox and a subject in one condition all work."""
    plain = await world.deliver(mail("plain", 1))
    pinned = await world.deliver(mail("pinned", 2), flags=["\\Flagged"])
    newest = await world.deliver(mail("newest", 3))
    response = await world.call(
        "Email/query",
        filter=None,
        anchor=None,
        limit=None,
        sort=[
            {"property": "hasKeyword", "keyword": "$Flagged", "isAscending": False, "collation": None},
            {"property": "receivedAt", "isAscending": False},
        ],
    )
    assert response["ids"] == [pinned, newest, plain]
    assert (await world.call("Email/query", filter={"inMailbox": "inbox", "subject": "PIN"}))["ids"] == [pinned]


async def test_collapse_threads(world: World) -> None:
    """With collapseThreads a Thread is in the result once, where its first Email is."""
    await world.deliver("Subject: a\nMessage-ID: <1@x>\n\nx")
    other = await world.deliver("Subject: b\nMessage-ID: <2@x>\n\nx")
    reply = await world.deliver("Subject: Re: a\nMessage-ID: <3@x>\nIn-Reply-To: <1@x>\n\nx")
    response = await world.call("Email/query", sort=NEWEST, collapseThreads=True, calculateTotal=True)
    assert response["ids"] == [reply, other]
    assert response["total"] == 2


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"anchor": "nothing"}, "anchorNotFound"),
        ({"filter": {"colour": "red"}}, "unsupportedFilter"),
        ({"filter": {"header": []}}, "invalidArguments"),
        ({"filter": {"header": ["a", "b", "c"]}}, "invalidArguments"),
        ({"filter": {"before": "yesterday"}}, "invalidArguments"),
        ({"filter": {"minSize": -1}}, "invalidArguments"),
        ({"filter": {"inMailbox": None}}, "invalidArguments"),
        ({"sort": [{"property": "hasKeyword"}]}, "invalidArguments"),
        ({"sort": [{"property": "colour"}]}, "unsupportedSort"),
        ({"sort": [{"property": "subject", "collation": "i;klingon"}]}, "unsupportedSort"),
        ({"position": None}, "invalidArguments"),
        ({"limit": -1}, "invalidArguments"),
        ({"collapseThreads": "yes"}, "invalidArguments"),
        ({"upToId": None}, "invalidArguments"),
    ],
)
async def test_refused(world: World, arguments: dict[str, Any], kind: str) -> None:
    """What is ill-typed is invalidArguments, what is not known is unsupported."""
    with pytest.raises(MethodError) as raised:
        await world.call("Email/query", **arguments)
    assert raised.value.kind == kind


@pytest.mark.parametrize(
    "arguments",
    [
        {"sort": NEWEST, "filter": {"inMailbox": "inbox"}},
        {"sort": NEWEST, "collapseThreads": True},
        {"sort": [{"property": "subject"}], "filter": {"notKeyword": "$seen"}},
        {"sort": [{"property": "someInThreadHaveKeyword", "keyword": "$flagged", "isAscending": False}, *NEWEST]},
    ],
)
async def test_query_changes(world: World, arguments: dict[str, Any]) -> None:
    """Splicing /queryChanges into the old result gives the new result, whatever happened."""
    await world.add_mailbox("other")
    rng = random.Random(2)
    n, alive = 0, []
    for _ in range(12):
        before = await world.call("Email/query", **arguments)
        for _ in range(rng.randint(0, 4)):
            n += 1
            match rng.randrange(4):
                case 0 | 1:
                    old = rng.randint(0, n)
                    text = f"Subject: s{old}\nMessage-ID: <{n}@x>\nReferences: <{old}@x>\n\nx"
                    alive.append(await world.deliver(text, rng.choice(["inbox", "other"])))
                case 2 if alive:
                    await world.flag(rng.choice(alive), *rng.choice([["\\Seen"], ["\\Flagged"], []]))
                case 3 if alive:
                    await world.expunge(alive.pop(rng.randrange(len(alive))))
        after = await world.call("Email/query", **arguments, calculateTotal=True)
        changes = await world.call(
            "Email/queryChanges", **arguments, sinceQueryState=before["queryState"], calculateTotal=True, upToId=None
        )
        assert changes["newQueryState"] == after["queryState"]
        assert changes["total"] == after["total"]
        ids = [id for id in before["ids"] if id not in changes["removed"]]
        for added in changes["added"]:
            ids.insert(added["index"], added["id"])
        assert ids == after["ids"]


async def test_query_changes_response(world: World) -> None:
    """With nothing new the answer is empty, and total is there only where it was asked for."""
    state = (await world.call("Email/query"))["queryState"]
    assert await world.call("Email/queryChanges", sinceQueryState=state) == {
        "accountId": "A1",
        "oldQueryState": state,
        "newQueryState": state,
        "removed": [],
        "added": [],
    }


@pytest.mark.parametrize(
    ("arguments", "is_cut"),
    [
        ({"sort": [{"property": "receivedAt"}]}, True),
        ({"sort": [{"property": "receivedAt"}], "filter": {"subject": "x"}}, True),
        ({"sort": [{"property": "receivedAt"}], "filter": {"inMailbox": "inbox"}}, False),
        ({"sort": [{"property": "receivedAt"}], "collapseThreads": True}, False),
        ({"sort": [{"property": "receivedAt"}], "filter": {"notKeyword": "$seen"}}, False),
    ],
)
async def test_changes_past_up_to_id_are_left_out_where_nothing_moves(
    world: World, arguments: dict[str, Any], is_cut: bool
) -> None:
    """Only where filter and sort see nothing that changes (RFC 8620 section 5.6); an id that is gone cuts nothing."""
    first = await world.deliver(mail("x", 1))
    state = (await world.call("Email/query", **arguments))["queryState"]
    new = await world.deliver(mail("x", 2))
    for up_to_id, added in ((first, [] if is_cut else [new]), (new, [new]), ("Mgone", [new])):
        changes = await world.call("Email/queryChanges", **arguments, sinceQueryState=state, upToId=up_to_id)
        assert [one["id"] for one in changes["added"]] == added
        assert changes["removed"] == []


async def test_query_changes_refused(world: World) -> None:
    """More changes than maxChanges is tooManyChanges, a strange state cannotCalculateChanges."""
    state = (await world.call("Email/query"))["queryState"]
    for n in range(3):
        await world.deliver(mail("x", n))
    for arguments, kind in (
        ({"sinceQueryState": state, "maxChanges": 2}, "tooManyChanges"),
        ({"sinceQueryState": "nonsense"}, "cannotCalculateChanges"),
        ({}, "invalidArguments"),
    ):
        with pytest.raises(MethodError) as raised:
            await world.call("Email/queryChanges", **arguments)
        assert raised.value.kind == kind
