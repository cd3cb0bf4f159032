"""The index is kept equal to the upstream, whatever another client does. On real servers, every tier."""

from __future__ import annotations

import email.utils
import imaplib
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.account.account import Account
from gateway.account.records import Changes, Need
from tests.sync.conftest import OpenAccount
from tests.upstreams.upstream import Upstream, expect_ok, quoted

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(300)]

ALL = Need(known=True, everything=True)
TYPES = ("Mailbox", "Thread", "Email")
ROUNDS = 12  # sweeps a server; each follows a handful of random operations


@dataclass
class Picture:
    """Everything a client can see of an account, by id."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)


def _picture(account: Account) -> Picture:
    with account.snapshot() as snapshot:
        emails = snapshot.emails(snapshot.email_ids(100_000))
        mailboxes = snapshot.mailboxes()
        threads = snapshot.threads({row.thread_id for row in emails.values()})
        states = {type: snapshot.state(type) for type in TYPES}  # type: ignore[arg-type] # the literal names above
    return Picture(
        {
            "Email": {
                row.id: (
                    row.thread_id,
                    sorted(row.mailbox_ids),
                    sorted(row.keywords),
                    row.size_octets,
                    row.received_at_s,
                    row.summary,
                )
                for row in emails.values()
            },
            "Mailbox": {
                row.facts.id: (
                    row.facts,
                    row.total_emails,
                    row.unread_emails,
                    row.total_threads,
                    row.unread_threads,
                )
                for row in mailboxes
            },
            "Thread": threads,
        },
        states,
    )


def _comparable(objects: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the upstream tells of a mailbox before it is read: the counts beside it are the index's own."""
    out = dict(objects)
    out["Mailbox"] = {
        id: ((facts.path, facts.name, facts.parent_id, facts.role, facts.is_subscribed), *counts)
        for id, (facts, *counts) in objects["Mailbox"].items()
    }
    return out


def _follow(known: dict[str, Any], changes: Changes, now: dict[str, Any]) -> dict[str, Any]:
    """Do what a client does with /changes: forget what is destroyed, get again what is created or updated."""
    assert not changes.has_more
    assert not set(changes.created) & set(changes.destroyed)
    after = {id: value for id, value in known.items() if id not in changes.destroyed}
    for id in [*changes.created, *changes.updated]:
        after[id] = now[id]
    return after


class Other:
    """Another client of the same account, with a memory of nothing: it does random things over IMAP."""

    def __init__(self, upstream: Upstream, login: str, seed: int) -> None:
        self.upstream, self.random = upstream, random.Random(seed)
        self.imap = upstream.imap(login)
        self.serial = 0
        self.mailboxes = ["INBOX"]

    def step(self) -> None:
        self.random.choices(
            [self.append, self.flag, self.expunge, self.copy, self.move, self.create, self.rename, self.delete],
            [6, 6, 3, 2, 4, 2, 1, 1],
        )[0]()

    def pick(self) -> str:
        return self.random.choice(self.mailboxes)

    def append(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            self.serial += 1
            root = self.random.randint(0, 3)
            references = f"References: <root{root}@example.com>\r\n" if self.random.random() < 0.5 else ""
            message = (
                f"From: Someone <s{root}@example.com>\r\nTo: me@example.com\r\nSubject: topic {root}\r\n"
                f"Date: {email.utils.formatdate(1.7e9 + self.serial)}\r\n"
                f"Message-ID: <m{self.serial}.{self.random.random()}@example.com>\r\n{references}\r\nbody\r\n"
            )
            flags = " ".join(flag for flag in FLAGS if self.random.random() < 0.3)
            expect_ok(
                self.imap.append(
                    quoted(self.pick()), f"({flags})", imaplib.Time2Internaldate(1.7e9 + self.serial), message.encode()
                )
            )

    def some(self) -> str | None:
        """Select a mailbox and choose a few uids of it."""
        expect_ok(self.imap.select(quoted(self.pick())))
        uids = self.imap.uid("SEARCH", "ALL")[1][0].split()
        if not uids:
            return None
        return b",".join(self.random.sample(uids, min(len(uids), self.random.randint(1, 3)))).decode()

    def flag(self) -> None:
        if uids := self.some():
            command = self.random.choice(["+FLAGS", "-FLAGS"])
            expect_ok(self.imap.uid("STORE", uids, command, f"({self.random.choice(FLAGS)})"))

    def expunge(self) -> None:
        if uids := self.some():
            expect_ok(self.imap.uid("STORE", uids, "+FLAGS", r"(\Deleted)"))
            if self.random.random() < 0.7:
                expect_ok(self.imap.expunge())

    def copy(self) -> None:
        if uids := self.some():
            expect_ok(self.imap.uid("COPY", uids, quoted(self.pick())))

    def move(self) -> None:
        if uids := self.some():
            expect_ok(self.imap.uid("COPY", uids, quoted(self.pick())))
            expect_ok(self.imap.uid("STORE", uids, "+FLAGS", r"(\Deleted)"))
            expect_ok(self.imap.expunge())

    def create(self) -> None:
        self.serial += 1
        name = f"{self.upstream.prefix}box{self.serial}"
        expect_ok(self.imap.create(quoted(name)))
        self.mailboxes.append(name)

    def rename(self) -> None:
        if len(self.mailboxes) > 1:
            self.serial += 1
            old = self.random.choice(self.mailboxes[1:])
            new = f"{self.upstream.prefix}renamed{self.serial}"
            self.imap.select("INBOX")
            expect_ok(self.imap.rename(quoted(old), quoted(new)))
            self.mailboxes[self.mailboxes.index(old)] = new

    def delete(self) -> None:
        if len(self.mailboxes) > 2:
            name = self.random.choice(self.mailboxes[1:])
            self.imap.select("INBOX")
            expect_ok(self.imap.delete(quoted(name)))
            self.mailboxes.remove(name)
            if self.random.random() < 0.5:  # and another of the same name: a new UIDVALIDITY
                expect_ok(self.imap.create(quoted(name)))
                self.mailboxes.append(name)


FLAGS = [r"\Seen", r"\Flagged", r"\Answered", "$Forwarded", "work"]


async def test_after_every_sweep_the_index_is_what_a_fresh_one_would_be(
    upstream: Upstream, open_account: OpenAccount
) -> None:
    """And every state plus its changes is the present, for a client that only ever follows /changes."""
    login = upstream.fresh_login()
    account = await open_account(upstream, login)
    other = Other(upstream, login, seed=7)
    await account.fresh(ALL)
    past = [_picture(account)]
    for round in range(ROUNDS):
        for _ in range(other.random.randint(1, 6)):
            other.step()
        await account.fresh(ALL)
        await account.fresh(ALL)  # what the first listed anew is indexed; what came in between is resynced
        now = _picture(account)
        fresh = await open_account(upstream, login, index=f"fresh{round}")
        await fresh.fresh(ALL)
        expected = _picture(fresh)
        await fresh.aclose()
        kept, anew = _comparable(now.objects), _comparable(expected.objects)
        assert kept["Email"].keys() == anew["Email"].keys(), f"round {round}"
        if _has_mailbox_ids(upstream):
            assert kept == anew, f"round {round}"
        _check_every_past(account, past, now)
        past.append(now)
    other.imap.logout()


def _has_mailbox_ids(upstream: Upstream) -> bool:
    """Without ids of the server's own, a mailbox that was renamed keeps its id, and a fresh index mints another."""
    return upstream.kind in ("dovecot", "cyrus")


def _check_every_past(account: Account, past: Iterable[Picture], now: Picture) -> None:
    for then in past:
        for type in TYPES:
            with account.snapshot() as snapshot:
                changes = snapshot.changes(type, then.states[type])  # type: ignore[arg-type] # as above
            assert changes.new_state == now.states[type]
            followed = _follow(then.objects[type], changes, now.objects[type])
            assert _comparable({**now.objects, type: followed}) == _comparable(now.objects), type


async def test_a_move_by_another_client_is_an_update(upstream: Upstream, open_account: OpenAccount) -> None:
    """The Email keeps its id; nothing is destroyed."""
    login = upstream.fresh_login()
    upstream.append(login, b"Subject: moved\r\nMessage-ID: <moved@example.com>\r\n\r\nx\r\n")
    with upstream.imap(login) as imap:
        target = f"{upstream.prefix}Target"
        expect_ok(imap.create(target))
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    before = _picture(account)
    with upstream.selected(login) as imap:
        expect_ok(imap.uid("COPY", "1", target))
        expect_ok(imap.uid("STORE", "1", "+FLAGS", r"(\Deleted)"))
        expect_ok(imap.expunge())
    await account.fresh(ALL)
    with account.snapshot() as snapshot:
        changes = snapshot.changes("Email", before.states["Email"])
    assert (list(changes.created), list(changes.destroyed)) == ([], [])
    assert list(changes.updated) == list(before.objects["Email"])


async def test_an_index_of_an_earlier_run_is_brought_up_to_date(
    upstream: Upstream, open_account: OpenAccount, tmp_path: Path
) -> None:
    """After a restart the states handed out before still work."""
    login = upstream.fresh_login()
    upstream.append(login, b"Subject: one\r\n\r\nx\r\n", b"Subject: two\r\n\r\ny\r\n")
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    before = _picture(account)
    await account.aclose()
    with upstream.selected(login) as imap:
        expect_ok(imap.uid("STORE", "1", "+FLAGS", r"(\Seen)"))
        expect_ok(imap.uid("STORE", "2", "+FLAGS", r"(\Deleted)"))
        expect_ok(imap.expunge())
    upstream.append(login, b"Subject: three\r\n\r\nz\r\n")
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    with account.snapshot() as snapshot:
        changes = snapshot.changes("Email", before.states["Email"])
    assert (len(changes.created), len(changes.updated), len(changes.destroyed)) == (1, 1, 1)
