"""The connection is cut before, within and after the lines of every write, in both directions.

Whatever the position: the answer is true, nothing is lost, nothing doubled, and the index is that of a fresh one after
the next sweep. Every STRIDEth position is tried here, all of them by `make soak`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import cast

import pytest

from gateway.account.account import Account
from gateway.account.backend import EmailChange, NewEmail
from gateway.jmap.errors import MethodError, SetError
from gateway.sync.writes import appending, changing
from tests.fakes.cutting_proxy import CuttingProxy, Direction, positions
from tests.sync.conftest import OpenAccount
from tests.sync.writes.conftest import (
    ALL,
    counts,
    ids_by_subject,
    mailbox_ids,
    make,
    message,
    there,
    view,
)
from tests.upstreams.upstream import Upstream, expect_ok, quoted

pytestmark = [pytest.mark.upstream, pytest.mark.slow, pytest.mark.timeout(600)]

STRIDE = 1 if os.environ.get("CUTS") == "all" else 7  # odd: lines have a position before, within and after them
SETTLE_S = 0.05  # loopback: a command that arrived is carried out within a few milliseconds
TIERS = ("dovecot", "dovecot_uidplus", "dovecot_bare")
DIRECTIONS: tuple[Direction, ...] = ("up", "down")

Held = Mapping[str, dict[str, list[frozenset[str]]]]  # mailbox -> subject -> flags of each copy


@pytest.fixture(params=TIERS)
def server(request: pytest.FixtureRequest) -> Upstream:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Upstream)
    return found


@pytest.fixture
async def proxy(server: Upstream) -> AsyncIterator[CuttingProxy]:
    proxy = await CuttingProxy().start(server.host, server.ports["imap"])
    yield proxy
    await proxy.close()


class Bench:
    """One account behind the proxy; a write is tried on it with a cut at every position in turn."""

    def __init__(self, server: Upstream, proxy: CuttingProxy, open_account: OpenAccount) -> None:
        self.server, self.proxy, self.open_account = server, proxy, open_account
        self.login = server.fresh_login()
        self.one, self.two = make(server, self.login, "One", "Two")
        self.serial = 0

    async def open(self) -> Account:
        self.account = await self.open_account(self.server, self.login, port=self.proxy.port)
        await self.account.fresh(ALL)
        return self.account

    async def begin(self) -> list[str]:
        """Empty the mailboxes, put three new messages into the first; return their subjects."""
        with self.server.imap(self.login) as imap:
            for path in ("INBOX", self.one, self.two):
                expect_ok(imap.select(quoted(path)))
                expect_ok(imap.uid("STORE", "1:*", "+FLAGS", r"(\Deleted)"))
                expect_ok(imap.expunge())
        self.serial += 1
        names = [f"m{self.serial}-{n}" for n in range(3)]
        self.server.append(self.login, *(message(name) for name in names), at_s=1.7e9)
        await self.sweep()
        return names

    async def sweep(self) -> None:
        """Sweep until one succeeds: after a failure the pool backs off for a moment."""
        for _ in range(20):
            try:
                await self.account.fresh(ALL)
            except MethodError:
                await asyncio.sleep(0.2)
            else:
                return
        raise AssertionError("no sweep succeeds")

    def held(self) -> Held:
        """What is really there, by another client, without what is flagged \\Deleted."""
        found: dict[str, dict[str, list[frozenset[str]]]] = {}
        for path in ("INBOX", self.one, self.two):
            by_subject = found.setdefault(path, {})
            for one in there(self.server, self.login, path):
                if "\\deleted" not in one.flags:
                    by_subject.setdefault(one.subject, []).append(one.flags)
        return found

    async def index_is_right(self) -> None:
        await self.sweep()
        seen, counted = view(self.account), counts(self.account)
        self.serial += 1
        fresh = await self.open_account(self.server, self.login, index=f"fresh{self.serial}")
        await fresh.fresh(ALL)
        assert (seen, counted) == (view(fresh), counts(fresh))
        await fresh.aclose()

    async def everywhere(self, write: Callable[[list[str]], Awaitable[None]]) -> int:
        """Run `write` once as it is, then with each cut; it checks its own outcome. Return the number of cuts."""
        names = await self.begin()
        self.proxy.arm()
        await write(names)
        passed = {direction: bytes(self.proxy.passed[direction]) for direction in DIRECTIONS}
        cuts = 0
        for direction in DIRECTIONS:
            for at in positions(passed[direction])[::STRIDE]:
                names = await self.begin()
                self.proxy.arm(direction, at)
                try:
                    await write(names)
                    self.proxy.arm()
                    await self.index_is_right()
                except BaseException as error:
                    error.add_note(f"cut {direction} after {at} of {passed[direction]!r}")
                    raise
                cuts += 1
        return cuts


@pytest.fixture
async def bench(
    server: Upstream, proxy: CuttingProxy, open_account: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    for module in (changing, appending):
        monkeypatch.setattr(module, "SETTLE_S", SETTLE_S)
    bench = Bench(server, proxy, open_account)
    await bench.open()
    return bench


async def _answer(call: Awaitable[object]) -> object:
    try:
        return await call
    except (MethodError, SetError) as error:
        return error


async def _change(bench: Bench, names: list[str], change: EmailChange) -> bool:
    """Make the change to the first two messages; return whether it was done. All or nothing of each."""
    ids = ids_by_subject(bench.account)
    changes = [replace(change, email_id=ids[name]) for name in names[:2]]
    answer = await _answer(bench.account.backend.change_emails(changes))
    if isinstance(answer, MethodError):
        assert answer.kind == "serverUnavailable"  # nothing was attempted
        return False
    failed = cast(Mapping[str, SetError], answer)
    assert failed == {}, {id: error.object() for id, error in failed.items()}
    return True


async def test_keywords(bench: Bench) -> None:
    """Set and cleared in one change."""
    change = EmailChange(email_id="", add_keywords=frozenset({"$seen", "work"}), remove_keywords=frozenset({"$draft"}))

    async def write(names: list[str]) -> None:
        done = await _change(bench, names, change)
        flags = frozenset({"\\seen", "work"}) if done else frozenset()
        assert bench.held()["INBOX"] == {names[0]: [flags], names[1]: [flags], names[2]: [frozenset()]}

    assert await bench.everywhere(write) > 4


async def test_move(bench: Bench) -> None:
    """By MOVE, or by what there is instead."""
    boxes = mailbox_ids(bench.account)
    change = EmailChange(
        email_id="", add_mailboxes=frozenset({boxes[bench.one]}), remove_mailboxes=frozenset({boxes["INBOX"]})
    )

    async def write(names: list[str]) -> None:
        done = await _change(bench, names, change)
        held = bench.held()
        moved: dict[str, list[frozenset[str]]] = {names[0]: [frozenset()], names[1]: [frozenset()]}
        stayed: dict[str, list[frozenset[str]]] = {names[2]: [frozenset()]}
        assert held[bench.one] == (moved if done else {})
        assert held["INBOX"] == (stayed if done else moved | stayed)

    assert await bench.everywhere(write) > 4


async def test_copy_and_keyword(bench: Bench) -> None:
    """Into two further mailboxes at once."""
    boxes = mailbox_ids(bench.account)
    change = EmailChange(
        email_id="",
        add_keywords=frozenset({"$flagged"}),
        add_mailboxes=frozenset({boxes[bench.one], boxes[bench.two]}),
    )

    async def write(names: list[str]) -> None:
        done = await _change(bench, names, change)
        held = bench.held()
        flags = frozenset({"\\flagged"}) if done else frozenset[str]()
        changed = {names[0]: [flags], names[1]: [flags]}
        assert held["INBOX"] == {**changed, names[2]: [frozenset()]}
        assert held[bench.one] == held[bench.two] == (changed if done else {})

    assert await bench.everywhere(write) > 4


async def test_destroy(bench: Bench) -> None:
    """While another client has flagged a message that is none of ours."""
    boxes = mailbox_ids(bench.account)
    change = EmailChange(email_id="", remove_mailboxes=frozenset(boxes.values()))

    async def write(names: list[str]) -> None:
        with bench.server.selected(bench.login) as imap:
            expect_ok(imap.store("3", "+FLAGS", r"(\Deleted)"))
        done = await _change(bench, names, change)
        assert set(bench.held()["INBOX"]) == (set() if done else {names[0], names[1]})
        mine = {one.subject: one.flags for one in there(bench.server, bench.login, "INBOX")}
        assert mine[names[2]] == {"\\deleted"}, "the flag of another client is lost"

    assert await bench.everywhere(write) > 4


async def test_append(bench: Bench) -> None:
    """Into two mailboxes: there once in each, or not at all."""
    boxes = mailbox_ids(bench.account)

    async def write(names: list[str]) -> None:
        name = f"new{names[0]}"
        octets = message(name, body="line\r\n" * 20)

        async def chunks() -> AsyncIterator[bytes]:
            yield octets[:100]
            yield octets[100:]

        email = NewEmail(
            octets=chunks,
            size_octets=len(octets),
            mailbox_ids=(boxes[bench.one], boxes[bench.two]),
            keywords=frozenset({"$draft"}),
        )
        answer = await _answer(bench.account.backend.append_email(email))
        expected = {}
        if isinstance(answer, MethodError | SetError):
            assert answer.kind in ("serverUnavailable", "serverFail")
        else:
            assert ids_by_subject(bench.account)[name] == answer
            expected = {name: [frozenset({"\\draft"})]}
        held = bench.held()
        assert held[bench.one] == held[bench.two] == expected

    assert await bench.everywhere(write) > 4
