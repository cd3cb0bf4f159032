"""Messages stored by APPEND, on every server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.account.backend import NewEmail
from gateway.jmap.errors import MethodError, SetError
from tests.sync.conftest import OpenAccount
from tests.sync.writes.conftest import ALL, ids_by_subject, mailbox_ids, make, message, states, there, view
from tests.upstreams.upstream import Upstream

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(120)]


def _email(octets: bytes, *mailbox_ids: str, **more: Any) -> NewEmail:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(octets), 1000):
            yield octets[at : at + 1000]

    return NewEmail(octets=chunks, size_octets=len(octets), mailbox_ids=mailbox_ids, **more)


async def test_stored_with_flags_and_date_in_all_its_mailboxes(upstream: Upstream, open_account: OpenAccount) -> None:
    """The id is that of a fresh index, and the next sweep finds nothing."""
    login = upstream.fresh_login()
    one, two = make(upstream, login, "One", "Two")
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    boxes = mailbox_ids(account)
    email = _email(
        message("new", body="line\r\n" * 500),
        boxes[one],
        boxes["INBOX"],
        boxes[two],
        keywords=frozenset({"$seen", "$draft", "work"}),
        received_at_s=1_600_000_000,
    )
    email_id = await account.backend.append_email(email)
    assert view(account) == {"new": (sorted(["INBOX", one, two]), ["$draft", "$seen", "work"])}
    with account.snapshot() as snapshot:
        row = snapshot.emails([email_id])[email_id]
    assert (row.received_at_s, row.size_octets) == (1_600_000_000, email.size_octets)
    for path in ("INBOX", one, two):
        assert [(it.subject, it.flags) for it in there(upstream, login, path)] == [
            ("new", frozenset({"\\seen", "\\draft", "work"}))
        ]
    before = states(account)
    await account.fresh(ALL)
    assert states(account) == before
    fresh = await open_account(upstream, login, index="fresh")
    await fresh.fresh(ALL)
    assert ids_by_subject(fresh) == {"new": email_id}


async def test_nothing_is_stored_that_could_not_be_written_down(
    dovecot: Upstream, open_account: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is told to try again must not get the message twice; one that is stored all the same is told of."""
    login = dovecot.fresh_login()
    account = await open_account(dovecot, login)
    await account.fresh(ALL)
    email = _email(message("new"), mailbox_ids(account)["INBOX"])

    async def away(*_arguments: object) -> Any:
        raise MethodError("serverUnavailable")

    with monkeypatch.context() as broken:
        broken.setattr(account, "ready", away)
        with pytest.raises(MethodError, match="serverUnavailable"):
            await account.backend.append_email(email)
        assert there(dovecot, login, "INBOX") == []
    with monkeypatch.context() as broken:
        broken.setattr(account, "apply", away)
        with pytest.raises(SetError, match="could not be written down"):
            await account.backend.append_email(email)
    await account.fresh(ALL)
    assert view(account).keys() == {"new"}


async def test_stored_twice(upstream: Upstream, open_account: OpenAccount) -> None:
    """Where identity is the content's, the second is alreadyExists and leaves no trace; else it is another Email."""
    login = upstream.fresh_login()
    (one,) = make(upstream, login, "One")
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    boxes = mailbox_ids(account)
    email = _email(message("same"), boxes["INBOX"], received_at_s=1_600_000_000)
    again = _email(message("same"), boxes[one], received_at_s=1_600_000_000)
    email_id = await account.backend.append_email(email)
    if upstream.kind == "dovecot":  # each message has a GUID
        assert await account.backend.append_email(again) != email_id
        return
    with pytest.raises(SetError) as caught:
        await account.backend.append_email(again)
    assert caught.value.kind == "alreadyExists"
    assert caught.value.extra == {"existingId": email_id}
    assert there(upstream, login, one) == []
    with pytest.raises(SetError):
        await account.backend.append_email(email)
    assert [it.subject for it in there(upstream, login, "INBOX")] == ["same"]
    assert view(account) == {"same": (["INBOX"], [])}
    before = states(account)
    await account.fresh(ALL)
    assert states(account) == before


async def test_what_cannot_be_stored(upstream: Upstream, open_account: OpenAccount) -> None:
    """A mailbox that is not there is named; a source that fails leaves nothing behind."""
    login = upstream.fresh_login()
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    inbox = mailbox_ids(account)["INBOX"]
    with pytest.raises(SetError) as caught:
        await account.backend.append_email(_email(message("new"), "Bnone"))
    assert caught.value.extra == {"properties": ["mailboxIds"]}

    async def fails() -> AsyncIterator[bytes]:
        yield message("new")
        raise SetError("blobNotFound")

    with pytest.raises(SetError) as caught:
        await account.backend.append_email(NewEmail(octets=fails, size_octets=10_000, mailbox_ids=(inbox,)))
    assert caught.value.kind == "blobNotFound"
    assert there(upstream, login, "INBOX") == []


async def test_over_quota(dovecot: Upstream, open_account: OpenAccount) -> None:
    """The RFC's own error, and nothing is stored."""
    account = await open_account(dovecot, "tiny")
    await account.fresh(ALL)
    boxes = mailbox_ids(account)
    with pytest.raises(SetError) as caught:
        await account.backend.append_email(_email(message("big", body="x" * 70 + "\r\n" * 40_000), boxes["INBOX"]))
    assert caught.value.kind == "overQuota"
    assert there(dovecot, "tiny", "INBOX") == []


async def test_the_first_message_of_a_mailbox_is_stored_once(upstream: Upstream, open_account: OpenAccount) -> None:
    """Where a server tells the time as UIDVALIDITY until something is there, too; and it is not read anew forever."""
    for _ in range(3):
        login = upstream.fresh_login()
        account = await open_account(upstream, login, index=login)
        await account.fresh(ALL)
        await asyncio.sleep(1.1)  # another second: another UIDVALIDITY on Courier
        box = mailbox_ids(account)["INBOX"]
        email_id = await account.backend.append_email(_email(message("first"), box))
        assert [it.subject for it in there(upstream, login, "INBOX")] == ["first"]
        before = states(account)
        await account.fresh(ALL)
        await account.fresh(ALL)
        assert list(ids_by_subject(account).values()) == [email_id]
        assert states(account) == before
