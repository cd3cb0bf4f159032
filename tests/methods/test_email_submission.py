"""EmailSubmission: what is checked before a message is handed in, and what becomes of the Email."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.method import Responses
from tests.methods.sending import ListSubmitter, sending_world
from tests.methods.world import World

MAIL = (
    "From: Me <me@here.example>\nTo: a@x.example\nCc: B <b@x.example>, A@X.EXAMPLE\nBcc: c@x.example\nDate: x\n\nhi\n"
)


class Desk:
    def __init__(self, world: World, submitter: ListSubmitter) -> None:
        self.world, self.submitter, self.identity = world, submitter, ""

    async def email(self, text: str = MAIL) -> str:
        return await self.world.deliver(text, "drafts", flags=("\\Draft", "\\Seen"))

    async def set(self, **arguments: Any) -> Any:
        return await self.world.call("EmailSubmission/set", **arguments)

    async def submit(self, email_id: str | None = None, **more: Any) -> Any:
        email_id = email_id or await self.email()
        given = {"identityId": self.identity, "emailId": email_id, **more}
        answer = await self.set(create={"k": given})
        return answer["created"]["k"] if answer["created"] else answer["notCreated"]["k"]

    @property
    def envelope(self) -> Any:
        return self.submitter.handed_in[-1][1]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with sending_world(tmp_path, "me@here.example", "*@mine.example") as (world, submitter):
        desk = Desk(world, submitter)
        desk.identity = (await world.call("Identity/get", ids=None))["list"][0]["id"]
        yield desk
        assert submitter.prepared == set(), "a message was put aside and forgotten"


def address(email: str, **parameters: str | None) -> dict[str, Any]:
    return {"email": email, "parameters": parameters or None}


def envelope(*to: Any, sender: Any = None) -> dict[str, Any]:
    rcpt = [address(one) if isinstance(one, str) else one for one in to or ("a@x.example",)]
    return {"mailFrom": sender or address("me@here.example"), "rcptTo": rcpt}


async def test_an_envelope_is_generated(desk: Desk) -> None:
    """From To, Cc and Bcc, each address once; the client is told what it did not give."""
    email_id = await desk.email()
    before = time.time()
    made = await desk.submit(email_id)
    assert [one["email"] for one in made["envelope"]["rcptTo"]] == [
        "a@x.example", "b@x.example", "A@X.EXAMPLE", "c@x.example",
    ]  # fmt: skip
    assert made["envelope"]["mailFrom"] == address("me@here.example")
    assert set(made) == {
        "id", "threadId", "envelope", "sendAt", "undoStatus", "deliveryStatus", "dsnBlobIds", "mdnBlobIds",
    }  # fmt: skip
    assert desk.submitter.handed_in[0][2] >= before
    (got,) = (await desk.world.call("EmailSubmission/get", ids=[made["id"]]))["list"]
    assert got == {**made, "identityId": desk.identity, "emailId": email_id}


async def test_the_sender_comes_before_from(desk: Desk) -> None:
    """Where the identity allows it; else the identity's own address."""
    await desk.submit(await desk.email("Sender: other@there.example\n" + MAIL))
    assert desk.envelope["mailFrom"]["email"] == "me@here.example"
    wide = (await desk.world.call("Identity/get", ids=None))["list"][1]["id"]
    await desk.submit(await desk.email("From: any@mine.example\nTo: a@x.example\n\n"), identityId=wide)
    assert desk.envelope["mailFrom"]["email"] == "any@mine.example"
    await desk.submit(identityId=wide)
    assert desk.envelope["mailFrom"]["email"] == "me@here.example"


@pytest.mark.parametrize(
    ("header", "name"),
    [("From: me@here.example, other@here.example", "from"), ("From: me@here.example\nFrom: me@here.example", "from"),
     ("Sender: a@b.example, c@d.example\nFrom: me@here.example", "sender"), ("Subject: none", "from")],
)  # fmt: skip
async def test_a_message_without_one_sender_is_invalid(desk: Desk, header: str, name: str) -> None:
    error = await desk.submit(await desk.email(f"{header}\nTo: a@x.example\n\n"))
    assert (error["type"], error["properties"]) == ("invalidEmail", [name])


async def test_what_is_not_there_is_named(desk: Desk) -> None:
    error = await desk.submit("Mnone", identityId="Inone")
    assert (error["type"], sorted(error["properties"])) == ("invalidProperties", ["emailId", "identityId"])
    error = await desk.submit("#nothing")
    assert error["properties"] == ["emailId"]


async def test_recipients_are_checked(desk: Desk) -> None:
    assert (await desk.submit(await desk.email("From: me@here.example\n\n")))["type"] == "noRecipients"
    assert (await desk.submit(envelope={**envelope(), "rcptTo": []}))["type"] == "noRecipients"
    many = await desk.submit(envelope=envelope(*(f"a{n}@x.example" for n in range(6))))
    assert (many["type"], many["maxRecipients"]) == ("tooManyRecipients", 5)
    bad = await desk.submit(envelope=envelope("a@x.example", "nobody", "x y@z.example"))
    assert (bad["type"], bad["invalidRecipients"]) == ("invalidRecipients", ["nobody", "x y@z.example"])
    bad = await desk.submit(await desk.email("From: me@here.example\nTo: undisclosed, a@x.example\n\n"))
    assert (bad["type"], bad["invalidRecipients"]) == ("invalidRecipients", ["undisclosed"])


async def test_only_own_addresses_send(desk: Desk) -> None:
    """The envelope's sender and the header's; the null sender is allowed, and so is a message sent on."""
    error = await desk.submit(envelope=envelope(sender=address("boss@here.example")))
    assert error["type"] == "forbiddenMailFrom"
    foreign = await desk.email(MAIL.replace("me@here", "boss@here"))
    assert (await desk.submit(foreign, envelope=envelope()))["type"] == "forbiddenFrom"
    assert "id" in await desk.submit(envelope=envelope(sender=address("")))
    assert desk.envelope["mailFrom"]["email"] == ""
    sent_on = await desk.email("Resent-From: me@here.example\n" + MAIL.replace("me@here", "boss@here"))
    assert "id" in await desk.submit(sent_on, envelope=envelope())
    not_by_me = await desk.email("Resent-From: you@here.example\n" + MAIL.replace("me@here", "boss@here"))
    assert (await desk.submit(not_by_me, envelope=envelope()))["type"] == "forbiddenFrom"


async def test_parameters_are_checked_against_what_is_offered(desk: Desk) -> None:
    good = envelope(
        address("a@x.example", NOTIFY="SUCCESS,DELAY", ORCPT="rfc822;a@x.example"),
        sender=address("me@here.example", ret="HDRS", ENVID="x y+z", SIZE="1", BODY="8BITMIME", SMTPUTF8=None),
    )
    made = await desk.submit(envelope=good)
    assert "envelope" not in made  # it is as it was given
    assert desk.envelope["mailFrom"]["parameters"] == {"RET": "HDRS", "ENVID": "x y+z"}
    assert desk.envelope["rcptTo"][0]["parameters"] == {"NOTIFY": "SUCCESS,DELAY", "ORCPT": "rfc822;a@x.example"}


@pytest.mark.parametrize(
    ("mail", "rcpt"),
    [
        ({"BY": "120;R"}, {}),  # not offered
        ({"X-OTHER": "1"}, {}),
        ({"AUTH": "<>"}, {}),
        ({"NOTIFY": "NEVER"}, {}),  # of RCPT
        ({}, {"RET": "HDRS"}),  # of MAIL
        ({"RET": "SOME"}, {}),
        ({"RET": None}, {}),
        ({"RET": "HDRS", "ret": "FULL"}, {}),
        ({"ENVID": "a\r\nRCPT TO:<x@y.example>"}, {}),
        ({"ENVID": "a\0"}, {}),
        ({"ENVID": "x" * 101}, {}),
        ({"RET\r\nX": "HDRS"}, {}),
        ({"RET=HDRS X": "1"}, {}),
        ({"": "1"}, {}),
        ({}, {"NOTIFY": "SUCCESS,NEVER"}),
        ({}, {"ORCPT": "nothing"}),
        ({}, {"ORCPT": "rfc822;a\nb"}),
        ({"HOLDFOR": "-1"}, {}),
        ({"HOLDFOR": "1.5"}, {}),
        ({"HOLDFOR": None}, {}),
        ({"HOLDFOR": "3601"}, {}),
        ({"HOLDFOR": "9" * 30}, {}),
        ({"HOLDUNTIL": "tomorrow"}, {}),
        ({"HOLDUNTIL": "2999-01-01T00:00:00Z"}, {}),
        ({"HOLDFOR": "1", "HOLDUNTIL": "2020-01-01T00:00:00Z"}, {}),
    ],
)
async def test_a_bad_parameter_is_named_by_the_envelope(desk: Desk, mail: dict[str, Any], rcpt: dict[str, Any]) -> None:
    given = envelope(address("a@x.example", **rcpt), sender=address("me@here.example", **mail))
    error = await desk.submit(envelope=given)
    assert (error["type"], error["properties"]) == ("invalidProperties", ["envelope"])
    assert desk.submitter.handed_in == []


@pytest.mark.parametrize(
    "hostile",
    [
        "a@x.example>\r\nRCPT TO:<e@x.example",
        "a\n@x.example",
        "a\0@x.example",
        "a@x\r.example",
        '"a\nb"@x.example',
        "a@x.example\u2028",
        "<a@x.example>",
    ],
)
async def test_no_address_carries_a_command(desk: Desk, hostile: str) -> None:
    error = await desk.submit(envelope=envelope(hostile))
    assert (error["type"], error["invalidRecipients"]) == ("invalidRecipients", [hostile])
    error = await desk.submit(envelope=envelope(sender=address(hostile)))
    assert error["type"] in ("invalidProperties", "forbiddenMailFrom")
    assert desk.submitter.handed_in == []


async def test_a_delay_is_told_and_not_passed_on(desk: Desk) -> None:
    made = await desk.submit(envelope=envelope(sender=address("me@here.example", HOLDFOR="600")))
    now = time.time()
    assert abs(desk.submitter.handed_in[0][2] - now - 600) < 5
    assert abs(time.mktime(time.strptime(made["sendAt"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - now - 600) < 5
    assert desk.envelope["mailFrom"]["parameters"] == {}
    (got,) = (await desk.world.call("EmailSubmission/get", ids=[made["id"]]))["list"]
    assert got["envelope"]["mailFrom"]["parameters"] == {"HOLDFOR": "600"}
    await desk.submit(envelope=envelope(sender=address("me@here.example", HOLDUNTIL="2020-01-01T00:00:00Z")))
    assert abs(desk.submitter.handed_in[1][2] - now) < 5


async def test_two_spellings_of_one_recipient_are_one(desk: Desk) -> None:
    await desk.submit(envelope=envelope("a@x.example", "a@X.example", "A@x.example"))
    assert [one["email"] for one in desk.envelope["rcptTo"]] == ["a@x.example", "A@x.example"]


async def test_what_success_asks_for_is_one_email_set(desk: Desk) -> None:
    """For those that succeeded, keyed by reference; a failed one changes nothing."""
    first, second, third = await desk.email(), await desk.email(), await desk.email("Subject: no From\n\n")
    answer = await desk.set(
        create={
            key: {"identityId": desk.identity, "emailId": id} for key, id in (("a", first), ("b", second), ("c", third))
        },
        onSuccessUpdateEmail={
            "#a": {"mailboxIds/drafts": None, "mailboxIds/inbox": True, "keywords/$draft": None},
            "#c": {"keywords/$draft": None},
            "#none": {"keywords/$draft": None},
        },
        onSuccessDestroyEmail=["#b", "#c"],
    )
    assert isinstance(answer, Responses)
    (name, submissions), (implied_name, implied) = answer.items
    assert (name, implied_name) == ("EmailSubmission/set", "Email/set")
    assert sorted(submissions["created"]) == ["a", "b"]
    assert submissions["notCreated"]["c"]["type"] == "invalidEmail"
    assert implied["updated"] == {first: None}
    assert implied["destroyed"] == [second]
    assert (implied["notUpdated"], implied["notDestroyed"]) == (None, None)
    (moved,) = (await desk.world.call("Email/get", ids=[first], properties=["mailboxIds", "keywords"]))["list"]
    assert moved["mailboxIds"] == {"inbox": True}
    assert moved["keywords"] == {"$seen": True}


async def test_updating_and_destroying_a_submission_count_as_success(desk: Desk) -> None:
    """By id; and a refused one does not."""
    email_id = await desk.email()
    made = await desk.submit(email_id)
    answer = await desk.set(
        update={made["id"]: {"undoStatus": "canceled"}}, onSuccessUpdateEmail={made["id"]: {"keywords/$flagged": True}}
    )
    assert answer.items[1][1]["updated"] == {email_id: None}
    again = await desk.set(
        update={made["id"]: {"undoStatus": "pending"}}, onSuccessUpdateEmail={made["id"]: {"keywords/$x": True}}
    )
    assert not isinstance(again, Responses)
    gone = await desk.set(destroy=[made["id"]], onSuccessDestroyEmail=[made["id"]])
    assert gone.items[0][1]["destroyed"] == [made["id"]]
    assert gone.items[1][1]["destroyed"] == [email_id]


async def test_a_refusal_is_the_set_error(desk: Desk) -> None:
    desk.submitter.refusal = SetError("forbiddenToSend", "554 5.7.1 spam")
    email_id = await desk.email()
    answer = await desk.set(
        create={"k": {"identityId": desk.identity, "emailId": email_id}}, onSuccessDestroyEmail=["#k"]
    )
    assert answer["notCreated"]["k"] == {"type": "forbiddenToSend", "description": "554 5.7.1 spam"}
    assert len((await desk.world.call("Email/get", ids=[email_id]))["list"]) == 1


async def test_only_undo_status_changes(desk: Desk) -> None:
    made = await desk.submit()
    for name, value in {
        "sendAt": "2020-01-01T00:00:00Z",
        "emailId": "M9",
        "dsnBlobIds": ["m_1"],
        "envelope": None,
    }.items():
        answer = await desk.set(update={made["id"]: {name: value}})
        assert answer["notUpdated"][made["id"]]["properties"] == [name]
    answer = await desk.set(update={made["id"]: {"undoStatus": "final"}})
    assert answer["notUpdated"][made["id"]]["type"] == "invalidProperties"
    await desk.set(update={made["id"]: {"undoStatus": "canceled"}})
    answer = await desk.set(update={made["id"]: {"undoStatus": "final"}})
    assert answer["notUpdated"][made["id"]]["type"] == "invalidProperties"
    for name in ("undoStatus", "sendAt", "threadId", "deliveryStatus"):
        assert (await desk.submit(**{name: "canceled"}))["properties"] == [name]


async def test_queries(desk: Desk) -> None:
    """Every condition and sort of section 7.3, and what has changed since."""
    first = await desk.submit()
    second = await desk.submit(envelope=envelope(sender=address("me@here.example", HOLDFOR="900")))
    ids = [first["id"], second["id"]]

    async def query(**filter: Any) -> Any:
        return (await desk.world.call("EmailSubmission/query", filter=filter, sort=[{"property": "sentAt"}]))["ids"]

    (one, two) = (await desk.world.call("EmailSubmission/get", ids=ids))["list"]
    assert await query() == ids
    assert await query(emailIds=[one["emailId"]]) == [first["id"]]
    assert await query(threadIds=[two["threadId"]]) == [
        id for id, r in zip(ids, (one, two), strict=True) if r["threadId"] == two["threadId"]
    ]
    assert await query(identityIds=["other"]) == []
    assert await query(undoStatus="pending") == ids
    assert await query(before=second["sendAt"]) == [first["id"]]
    assert await query(after=second["sendAt"]) == [second["id"]]
    for property in ("emailId", "threadId", "sentAt", "sendAt"):
        found = await desk.world.call("EmailSubmission/query", sort=[{"property": property, "isAscending": False}])
        assert sorted(found["ids"]) == sorted(ids)
    state = found["queryState"]
    await desk.set(update={first["id"]: {"undoStatus": "canceled"}})
    changes = await desk.world.call(
        "EmailSubmission/queryChanges", sinceQueryState=state, filter={"undoStatus": "pending"}, calculateTotal=True
    )
    assert changes["removed"] == [first["id"]]
    assert (changes["added"], changes["total"]) == ([], 1)
    with pytest.raises(MethodError, match="unsupportedFilter"):
        await query(sendAt="x")


@pytest.mark.parametrize(
    "arguments",
    [
        {"accountId": ["x"]},
        {"destroy": 1},
        {"onSuccessUpdateEmail": {"a": 1}},
        {"onSuccessDestroyEmail": {}},
        {"other": 1},
    ],
)
async def test_malformed_arguments(desk: Desk, arguments: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match="invalidArguments"):
        await desk.set(**arguments)


async def test_an_account_that_cannot_send(desk: Desk) -> None:
    desk.world.account.submitter = None
    assert (await desk.submit())["type"] == "forbiddenToSend"


async def test_old_submissions_make_room(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are done, the oldest first; what is pending stays."""
    monkeypatch.setattr("gateway.methods.email_submission_set.MAX_SUBMISSIONS", 3)
    made = [(await desk.submit())["id"] for _ in range(3)]
    await desk.set(update={made[1]: {"undoStatus": "canceled"}})
    made.append((await desk.submit())["id"])
    left = (await desk.world.call("EmailSubmission/get", ids=None))["list"]
    assert [one["id"] for one in left] == [made[0], made[2], made[3]]
