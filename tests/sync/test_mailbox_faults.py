"""A connection that is cut at any command of a Mailbox write: what is answered is what is there."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import suppress

import pytest

from gateway.account.account import Account
from gateway.account.backend import MailboxChange, NewMailbox
from gateway.account.records import MailboxFacts, Need
from gateway.jmap.errors import MethodError
from gateway.jmap.errors import SetError as Cut  # no other kind of it is expected here
from tests.sync.conftest import OpenAccount
from tests.sync.cutting import Place, cutting
from tests.upstreams.upstream import Upstream

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(300)]

PLACES: tuple[Place, ...] = ("before", "within", "after")


async def tree(account: Account) -> dict[str, MailboxFacts]:
    await account.fresh(Need())
    return known(account)


def known(account: Account) -> dict[str, MailboxFacts]:
    with account.snapshot() as snapshot:
        return {row.facts.path: row.facts for row in snapshot.mailboxes()}


async def test_every_cut(upstream: Upstream, open_account: OpenAccount) -> None:
    """Create, rename with children, subscribe and destroy, cut at each of their commands, before, within and after."""
    login = upstream.fresh_login()
    async with cutting(upstream) as proxy:
        account = await open_account(proxy, login)
        await tree(account)
        observer = await open_account(upstream, login, index="observer")
        for place in PLACES:
            for verb in ("CREATE", "SUBSCRIBE"):
                proxy.cut(verb, place)
                id = await _create(account, f"{verb}-{place}")
                await _same(account, observer)
                there = await tree(observer)
                made = there.get(f"{upstream.prefix}{verb}-{place}")
                assert (made is not None) == (id is not None), (verb, place)
                if verb == "SUBSCRIBE" or place == "after":
                    assert made is not None
                    assert made.is_subscribed
        for place in PLACES:
            for verb in ("RENAME", "SUBSCRIBE", "UNSUBSCRIBE"):
                name = f"r-{verb}-{place}"
                outer = await account.backend.create_mailbox(NewMailbox(name=name, is_subscribed=True))
                inner = await account.backend.create_mailbox(NewMailbox(name="in", parent_id=outer, is_subscribed=True))
                proxy.cut(verb, place)
                change = MailboxChange(mailbox_id=outer, name=name + "2")
                is_done = await _done(account.backend.change_mailbox(change))
                await _same(account, observer)
                ids = {facts.id: facts for facts in known(account).values()}
                assert ids[outer].name == (name + "2" if is_done else name), (verb, place)
                assert ids[inner].parent_id == outer
                assert ids[outer].is_subscribed
                assert ids[inner].is_subscribed
                if place == "after" or verb != "RENAME":
                    assert is_done
        for place in PLACES:
            for verb in ("DELETE", "UNSUBSCRIBE", "STATUS"):
                id = await account.backend.create_mailbox(NewMailbox(name=f"d-{verb}-{place}", is_subscribed=True))
                proxy.cut(verb, place)
                if verb == "STATUS":  # it only asks: nothing was attempted yet
                    with pytest.raises(MethodError, match="serverUnavailable"):
                        await account.backend.destroy_mailbox(id)
                    continue
                is_done = await _done(account.backend.destroy_mailbox(id))
                await _same(account, observer)
                assert (id in {facts.id for facts in known(account).values()}) != is_done, (verb, place)


async def test_nothing_attempted(dovecot: Upstream, open_account: OpenAccount) -> None:
    """Without a server the call fails, and the tree stays as it is known."""
    async with cutting(dovecot) as proxy:
        account = await open_account(proxy, dovecot.fresh_login())
        before = await tree(account)
    with pytest.raises(MethodError, match="serverUnavailable"):
        await account.backend.create_mailbox(NewMailbox(name="a"))
    assert known(account) == before


async def _create(account: Account, name: str) -> str | None:
    """Return the id of the new mailbox; None: it is said not to be there."""
    with suppress(Cut):
        return await account.backend.create_mailbox(NewMailbox(name=name, is_subscribed=True))
    return None


async def _done(work: Coroutine[None, None, None]) -> bool:
    with suppress(Cut):
        await work
        return True
    return False


async def _same(account: Account, observer: Account) -> None:
    """The index knows what is there, without being asked to look."""
    mine = known(account)
    there = await tree(observer)
    assert {p: (f.name, f.role, f.is_subscribed) for p, f in mine.items()} == {
        p: (f.name, f.role, f.is_subscribed) for p, f in there.items()
    }
