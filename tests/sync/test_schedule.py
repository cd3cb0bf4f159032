"""What is renamed or deleted is read before or after, not meanwhile. On a real server."""

from __future__ import annotations

import asyncio

import pytest

from gateway.account.account import Account
from gateway.account.records import MailboxRow, Need
from gateway.sync import schedule
from gateway.sync.imap_backend import ImapBackend
from gateway.sync.indexing import index_mailbox
from gateway.sync.link import Link
from tests.sync.conftest import OpenAccount
from tests.upstreams.upstream import Upstream, expect_ok

pytestmark = pytest.mark.upstream

MESSAGE = b"Subject: x\r\n\r\ny\r\n"
SLOW_S = 0.3
TIMEOUT_S = 10.0


class Heard:
    """What was done, in order: the verbs of commands that were answered, and what a test adds."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def connection_opened(self) -> None: ...

    def connection_closed(self, reason: str) -> None: ...

    def command_done(self, verb: str, *, seconds: float, octets_in: int, octets_out: int, ok: bool) -> None:
        self.events.append(verb)

    def quirk_seen(self, name: str) -> None: ...


async def _id_of(account: Account, path: str) -> str:
    return (await _ids_of(account))[path]


async def _ids_of(account: Account) -> dict[str, str]:
    """Return the ids of all mailboxes by path, after one look."""
    await account.fresh(Need())
    with account.snapshot() as snapshot:
        return {row.facts.path: row.facts.id for row in snapshot.mailboxes()}


async def _until(heard: Heard, event: str) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while event not in heard.events:  # noqa: ASYNC110 # events come from elsewhere
            await asyncio.sleep(0.01)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    """Slow down the indexing of the mailbox Box, and note where it begins and ends."""
    heard = Heard()

    async def slowly(link: Link, row: MailboxRow) -> None:
        if not row.facts.path.startswith("Box"):
            await index_mailbox(link, row)
            return
        heard.events.append("begins to read")
        await asyncio.sleep(SLOW_S)
        await index_mailbox(link, row)
        heard.events.append("has read")

    monkeypatch.setattr(schedule, "index_mailbox", slowly)
    return heard


async def test_a_mailbox_is_destroyed_after_it_was_read(
    dovecot: Upstream, open_account: OpenAccount, heard: Heard
) -> None:
    """DELETE beside EXAMINE of the same mailbox made Dovecot hang for two minutes."""
    login = dovecot.fresh_login()
    account = await open_account(dovecot, login, observer=heard)
    dovecot.append(login, MESSAGE, mailbox="Box")
    id = await _id_of(account, "Box")
    indexing = asyncio.create_task(account.fresh(Need(mailbox_ids=frozenset({id}))))
    await _until(heard, "begins to read")
    await account.backend.destroy_mailbox(id, remove_emails=True)
    await indexing
    assert heard.events.index("has read") < heard.events.index("DELETE")


async def test_a_mailbox_that_is_being_changed_is_read_afterwards(
    dovecot: Upstream, open_account: OpenAccount, heard: Heard
) -> None:
    """Whoever asks for it waits; others do not."""
    login = dovecot.fresh_login()
    account = await open_account(dovecot, login)
    dovecot.append(login, MESSAGE, mailbox="Box")
    dovecot.append(login, MESSAGE, mailbox="Other")
    ids = await _ids_of(account)  # another look would give the background the time to read Box before
    box, other = ids["Box"], ids["Other"]
    assert isinstance(account.backend, ImapBackend)
    async with account.backend._schedule.left_alone([box]):
        waiting = asyncio.create_task(account.fresh(Need(mailbox_ids=frozenset({box}))))
        await account.fresh(Need(mailbox_ids=frozenset({other})))
        await asyncio.sleep(SLOW_S)
        with dovecot.imap(login) as imap:
            expect_ok(imap.rename("Box", "Box2"))
        await account.fresh(Need())
        heard.events.append("is renamed")
    await waiting
    assert heard.events == ["is renamed", "begins to read", "has read"]
    with account.snapshot() as snapshot:
        assert len(snapshot.email_ids(10)) == 2
