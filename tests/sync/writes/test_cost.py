"""What writes cost: round trips, commands, and memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from gateway.account.account import Account
from gateway.account.backend import EmailChange, NewEmail
from tests.sync.conftest import OpenAccount
from tests.sync.writes.conftest import ALL, fill, ids_by_subject, mailbox_ids, make, there
from tests.upstreams.upstream import Upstream

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(240)]

MESSAGES = 1_000
MEGABYTES = 40


class Verbs:
    """An observer that lists the commands."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def connection_opened(self) -> None: ...

    def connection_closed(self, reason: str) -> None: ...

    def quirk_seen(self, name: str) -> None: ...

    def command_done(self, verb: str, *, seconds: float, octets_in: int, octets_out: int, ok: bool) -> None:
        self.seen.append(verb)


async def _quiet(account: Account, verbs: Verbs) -> None:
    """Wait until the background work is done."""
    while account.backend.is_filling():  # noqa: ASYNC110 # it tells of its end to those who look
        await asyncio.sleep(0.02)
    verbs.seen.clear()


async def test_toggling_a_keyword_is_one_command(upstream: Upstream, open_account: OpenAccount) -> None:
    """On a connection that has the mailbox open for writing; a sweep between leaves it so."""
    login, verbs = upstream.fresh_login(), Verbs()
    fill(upstream, login, 3)
    account = await open_account(upstream, login, observer=verbs)
    await account.fresh(ALL)
    ids = ids_by_subject(account)
    await _quiet(account, verbs)
    seen = frozenset({"$seen"})
    assert await account.backend.change_emails([EmailChange(email_id=ids["m0"], add_keywords=seen)]) == {}
    verbs.seen.clear()
    assert await account.backend.change_emails([EmailChange(email_id=ids["m1"], add_keywords=seen)]) == {}
    assert verbs.seen == ["STORE"]
    if upstream.kind not in ("dovecot", "cyrus"):
        return  # without mod-sequences a sweep selects every mailbox
    await account.fresh(ALL)
    verbs.seen.clear()
    assert await account.backend.change_emails([EmailChange(email_id=ids["m1"], remove_keywords=seen)]) == {}
    assert verbs.seen == ["STORE"]


async def test_marking_a_thousand_is_one_command(dovecot: Upstream, open_account: OpenAccount) -> None:
    """Moving them is one command as well."""
    login, verbs = dovecot.fresh_login(), Verbs()
    fill(dovecot, login, MESSAGES)
    (one,) = make(dovecot, login, "One")
    account = await open_account(dovecot, login, observer=verbs)
    await account.fresh(ALL)
    ids, boxes = ids_by_subject(account), mailbox_ids(account)
    await _quiet(account, verbs)
    for keyword in ("one", "two"):
        verbs.seen.clear()
        changes = [EmailChange(email_id=id, add_keywords=frozenset({keyword})) for id in ids.values()]
        assert await account.backend.change_emails(changes) == {}
    assert verbs.seen == ["STORE"]  # the first one had to open the mailbox for writing
    verbs.seen.clear()
    to_one = {"add_mailboxes": frozenset({boxes[one]}), "remove_mailboxes": frozenset({boxes["INBOX"]})}
    assert await account.backend.change_emails([EmailChange(email_id=id, **to_one) for id in ids.values()]) == {}
    assert verbs.seen == ["MOVE"]


async def test_a_large_message_is_not_held(dovecot: Upstream, open_account: OpenAccount) -> None:
    """Forty megabytes go through in chunks."""
    login = dovecot.fresh_login()
    account = await open_account(dovecot, login)
    await account.fresh(ALL)
    head = b"Subject: large\r\nMessage-ID: <large@example.com>\r\n\r\n"
    line = b"x" * 1022 + b"\r\n"

    async def octets() -> AsyncIterator[bytes]:
        yield head
        for _ in range(MEGABYTES):
            for _ in range(16):
                yield line * 64

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        await account.backend.append_email(
            NewEmail(
                octets=octets,
                size_octets=len(head) + MEGABYTES * 1024 * 1024,
                mailbox_ids=(mailbox_ids(account)["INBOX"],),
            )
        )
        grown = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert grown < 4 << 20, f"{grown >> 20} MB held"
    assert [it.subject for it in there(dovecot, login, "INBOX")] == ["large"]
