"""Thread/get and Thread/changes (RFC 8621 section 3)."""

from __future__ import annotations

from tests.methods.world import World

FIRST = "Subject: Lunch\nMessage-ID: <a@x>\n\nWhen?\n"
REPLY = "Subject: Re: Lunch\nMessage-ID: <b@x>\nIn-Reply-To: <a@x>\nReferences: <a@x>\n\nNoon.\n"


async def test_emails_oldest_first(world: World) -> None:
    """emailIds is sorted by receivedAt, oldest first."""
    first = await world.deliver(FIRST, at_s=2000)
    reply = await world.deliver(REPLY, at_s=1000)
    emails = await world.call("Email/get", ids=[first, reply], properties=["threadId"])
    (thread_id,) = {email["threadId"] for email in emails["list"]}
    response = await world.call("Thread/get", ids=[thread_id])
    assert response["list"] == [{"id": thread_id, "emailIds": [reply, first]}]


async def test_unseen_mailbox(world: World) -> None:
    """A Thread that is in no indexed mailbox is looked for in all of them before it counts as not found."""
    other = await world.deliver(FIRST)
    (email,) = (await world.call("Email/get", ids=[other], properties=["threadId"]))["list"]
    await world.expunge(other)
    await world.add_mailbox("late", is_indexed=False)
    await world.deliver(FIRST, "late")
    assert (await world.call("Thread/get", ids=[email["threadId"]]))["notFound"] == []
    assert world.needs[-1].everything


async def test_complete_account_is_not_searched(world: World) -> None:
    """Once every mailbox is indexed an unknown id costs nothing more."""
    await world.call("Thread/get", ids=["nothing"])
    assert not any(need.everything for need in world.needs)


async def test_last_email_goes(world: World) -> None:
    """A Thread whose last Email goes is destroyed; one that loses or wins an Email is updated."""
    first, reply = await world.deliver(FIRST), await world.deliver(REPLY)
    got = await world.call("Thread/get", ids=None)
    (thread,) = got["list"]
    await world.expunge(reply)
    changes = await world.call("Thread/changes", sinceState=got["state"])
    assert changes["updated"] == [thread["id"]]
    await world.expunge(first)
    changes = await world.call("Thread/changes", sinceState=got["state"])
    assert changes["destroyed"] == [thread["id"]]
    assert "updatedProperties" not in changes
