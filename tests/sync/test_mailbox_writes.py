"""Mailboxes are created, renamed, moved, subscribed to and destroyed on every server, and the index knows at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.account.account import Account
from gateway.account.backend import MailboxChange, NewMailbox
from gateway.account.records import MailboxFacts, Need
from gateway.jmap.errors import SetError
from gateway.secret import Secret
from gateway.sync.imap_backend import ImapBackend
from gateway.upstream.imap import Endpoint, PasswordCredentials, Pool
from tests.fakes.uploads import NoUploads
from tests.sync.conftest import OpenAccount
from tests.upstreams.upstream import Upstream, expect_ok

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(300)]

LETTER = b"Subject: one\r\nMessage-ID: <one@example.org>\r\n\r\nbody\r\n"


def mailboxes(account: Account) -> Mapping[str, MailboxFacts]:
    with account.snapshot() as snapshot:
        return {row.facts.id: row.facts for row in snapshot.mailboxes()}


async def fresh(account: Account, *, everything: bool = False) -> Mapping[str, MailboxFacts]:
    await account.fresh(Need(everything=everything))
    return mailboxes(account)


class Kept:
    """User state in memory."""

    def __init__(self) -> None:
        self.orders: dict[str, int] = {}

    async def sort_orders(self, account_id: str) -> Mapping[str, int]:
        return dict(self.orders)

    async def put_sort_orders(self, account_id: str, orders: Mapping[str, int | None]) -> None:
        for path, order in orders.items():
            self.orders.pop(path, None)
            if order is not None:
                self.orders[path] = order


@asynccontextmanager
async def opened(upstream: Upstream, login: str, path: Path, kept: Kept) -> AsyncIterator[Account]:
    credentials = PasswordCredentials(login, Secret(upstream.password))

    async def current() -> PasswordCredentials:
        return credentials

    pool = Pool(Endpoint(upstream.host, upstream.ports["imap"], "none"), current)
    account = Account(
        id="A1",
        name=login,
        login=login,
        path=path,
        make_backend=lambda account: ImapBackend(account, pool, max_staleness_s=0, sort_orders=kept),
        uploads=NoUploads(),
    )
    await account.open()
    yield account
    await account.aclose()


async def refused(work: object) -> SetError:
    with pytest.raises(SetError) as caught:
        await work  # type: ignore[misc]  # a coroutine of the backend
    return caught.value


async def made_or_refused(account: Account, name: str) -> SetError | None:
    """Create a mailbox of this name and destroy it, if the server lets us."""
    try:
        id = await make(account, name)
    except SetError as error:
        return error
    assert mailboxes(account)[id].name == name
    await account.backend.destroy_mailbox(id)
    return None


async def make(account: Account, name: str, parent_id: str | None = None, *, is_subscribed: bool = True) -> str:
    return await account.backend.create_mailbox(NewMailbox(name=name, parent_id=parent_id, is_subscribed=is_subscribed))


async def test_create(upstream: Upstream, open_account: OpenAccount) -> None:
    """A new mailbox is in the tree when the call returns, below its parent, subscribed to or not."""
    account = await open_account(upstream, upstream.fresh_login())
    await fresh(account)
    outer = await make(account, "Wörk & Spiel")
    inner = await make(account, "日本", outer, is_subscribed=False)
    now = mailboxes(account)
    assert (now[outer].name, now[outer].parent_id, now[outer].is_subscribed) == ("Wörk & Spiel", None, True)
    assert (now[inner].name, now[inner].parent_id, now[inner].is_subscribed) == ("日本", outer, False)
    assert mailboxes(account) == await fresh(account)


async def test_names(upstream: Upstream, open_account: OpenAccount) -> None:
    """A name that cannot be is refused as a property; no server is left in doubt, none leaves a trace."""
    account = await open_account(upstream, upstream.fresh_login())
    before = await fresh(account)
    (drafts,) = [facts for facts in before.values() if facts.role == "drafts"]
    bad = [f"a{upstream.separator}b", "a\nb", "\x7f", "", "x" * 256, "inbox", "INBOX", "Inbox", "\u2028"]
    for name in bad:
        error = await refused(make(account, name))
        assert (error.kind, error.extra["properties"]) == ("invalidProperties", ["name"]), name
    error = await refused(make(account, drafts.name))
    assert (error.kind, error.extra["existingId"]) == ("alreadyExists", drafts.id)
    assert await fresh(account) == before
    for name in ("100 % * sure", "#x", "~x", " x", 'a"b\\c', "x" * 240, ".x", "NIL", "&-", "&AOk-"):
        refusal = await made_or_refused(account, name)
        assert refusal is None or (refusal.kind, refusal.extra["properties"]) == ("invalidProperties", ["name"]), name
    assert {facts.path for facts in (await fresh(account)).values()} == {facts.path for facts in before.values()}


async def test_below_inbox(upstream: Upstream, open_account: OpenAccount) -> None:
    """Where mailboxes cannot be below INBOX its rights say so."""
    account = await open_account(upstream, upstream.fresh_login())
    (inbox,) = [facts for facts in (await fresh(account)).values() if facts.role == "inbox"]
    assert "mayDelete" not in inbox.rights
    if upstream.prefix:
        assert "mayCreateChild" not in inbox.rights
        return
    id = await make(account, "child", inbox.id)
    assert mailboxes(account)[id].parent_id == inbox.id


async def test_rename(upstream: Upstream, open_account: OpenAccount) -> None:
    """A mailbox keeps its id, its mail, its children, and all keep their subscriptions."""
    login = upstream.fresh_login()
    account = await open_account(upstream, login)
    await fresh(account)
    a = await make(account, "a")
    b = await make(account, "b", a)
    c = await make(account, "c", b, is_subscribed=False)
    upstream.append(login, LETTER, mailbox=mailboxes(account)[b].path)
    await fresh(account, everything=True)
    await account.backend.change_mailbox(MailboxChange(mailbox_id=a, name="z"))
    now = mailboxes(account)
    assert [now[id].path for id in (a, b, c)] == [
        upstream.prefix + path.replace("/", upstream.separator) for path in ("z", "z/b", "z/b/c")
    ]
    assert [now[id].is_subscribed for id in (a, b, c)] == [True, True, False]
    with account.snapshot() as snapshot:
        row = snapshot.mailbox(b)
    assert row is not None
    assert row.total_emails == 1
    assert await fresh(account) == now
    with upstream.imap(login) as connection:
        listed = b"\n".join(line for line in connection.lsub()[1] if isinstance(line, bytes))
    assert b'a"' not in listed.replace(b'z"', b"")


async def test_long_names(upstream: Upstream, open_account: OpenAccount) -> None:
    """A name longer than a file may have is made or is what is wrong, at the top and further down."""
    account = await open_account(upstream, upstream.fresh_login())
    await fresh(account)
    a = await make(account, "a")
    parent = await make(account, "p" * 100)
    parent = await make(account, "q" * 100, parent)
    for octets, below in ((255, None), (255, parent), (100, parent)):
        longer = MailboxChange(mailbox_id=a, name="r" * octets, parent_id=below)
        error = await fault_of(account.backend.change_mailbox(longer))
        assert error is None or (error.kind, "name" in error.extra["properties"]) == ("invalidProperties", True)
        assert mailboxes(account)[a].name == ("r" * octets if error is None else "a")
        await account.backend.change_mailbox(MailboxChange(mailbox_id=a, name="a", parent_id=None))
        error = await fault_of(make(account, "m" * octets, below))
        assert error is None or (error.kind, error.extra) == ("invalidProperties", {"properties": ["name"]})


async def fault_of(call: Awaitable[object]) -> SetError | None:
    try:
        await call
    except SetError as error:
        return error
    return None


async def test_move(upstream: Upstream, open_account: OpenAccount) -> None:
    """A mailbox moves below another and to the top; never below itself."""
    account = await open_account(upstream, upstream.fresh_login())
    await fresh(account)
    a, x = await make(account, "a"), await make(account, "x")
    b = await make(account, "b", a)
    await account.backend.change_mailbox(MailboxChange(mailbox_id=b, moves=True, parent_id=x, name="bb"))
    assert (mailboxes(account)[b].parent_id, mailboxes(account)[b].name) == (x, "bb")
    await account.backend.change_mailbox(MailboxChange(mailbox_id=x, moves=True, parent_id=a))
    now = mailboxes(account)
    assert (now[x].parent_id, now[b].parent_id) == (a, x)
    error = await refused(account.backend.change_mailbox(MailboxChange(mailbox_id=a, moves=True, parent_id=b)))
    assert (error.kind, error.extra["properties"]) == ("invalidProperties", ["parentId"])
    await account.backend.change_mailbox(MailboxChange(mailbox_id=b, moves=True, parent_id=None))
    assert mailboxes(account)[b].parent_id is None
    await make(account, "a", x)
    error = await refused(account.backend.change_mailbox(MailboxChange(mailbox_id=a, moves=True, parent_id=x)))
    assert error.kind == "invalidProperties"
    error = await refused(account.backend.change_mailbox(MailboxChange(mailbox_id=b, name="a")))
    assert (error.kind, error.extra["existingId"]) == ("alreadyExists", a)
    assert await fresh(account) == mailboxes(account)


async def test_a_parent_without_a_mailbox(upstream: Upstream, open_account: OpenAccount) -> None:
    """What is only the path to a mailbox can be renamed with it, and goes with it."""
    login = upstream.fresh_login()
    with upstream.imap(login) as connection:
        expect_ok(connection.create(upstream.prefix + upstream.separator.join("abc")))
    account = await open_account(upstream, login)
    ids = {facts.name: facts.id for facts in (await fresh(account)).values()}
    await account.backend.change_mailbox(MailboxChange(mailbox_id=ids["a"], name="z"))
    now = mailboxes(account)
    assert [now[ids[name]].name for name in "abc"] == ["z", "b", "c"]
    for name in "cba":
        if ids[name] in mailboxes(account):
            await account.backend.destroy_mailbox(ids[name])
    assert not {ids[name] for name in "abc"} & (await fresh(account)).keys()


async def test_new_mailbox_in_an_old_place(upstream: Upstream, open_account: OpenAccount) -> None:
    """After a rename the old name can be used at once, by a mailbox with an id of its own."""
    login = upstream.fresh_login()
    account = await open_account(upstream, login)
    await fresh(account)
    first = await make(account, "name")
    upstream.append(login, LETTER, mailbox=mailboxes(account)[first].path)
    await fresh(account, everything=True)
    await account.backend.change_mailbox(MailboxChange(mailbox_id=first, name="other"))
    second = await make(account, "name")
    assert first != second
    await fresh(account, everything=True)
    with account.snapshot() as snapshot:
        totals = {row.facts.id: row.total_emails for row in snapshot.mailboxes()}
    assert (totals[first], totals[second]) == (1, 0)


async def test_subscription_and_order(upstream: Upstream, open_account: OpenAccount) -> None:
    """Both are kept, and go with a mailbox that is renamed in the same change."""
    account = await open_account(upstream, upstream.fresh_login())
    await fresh(account)
    id = await make(account, "a")
    await account.backend.change_mailbox(
        MailboxChange(mailbox_id=id, name="b", is_subscribed=False, sort_order=77),
    )
    now = mailboxes(account)[id]
    assert (now.name, now.is_subscribed, now.sort_order) == ("b", False, 77)
    await account.backend.change_mailbox(MailboxChange(mailbox_id=id, name="c", is_subscribed=True))
    now = (await fresh(account))[id]
    assert (now.name, now.is_subscribed, now.sort_order) == ("c", True, 77)


async def test_destroy(upstream: Upstream, open_account: OpenAccount) -> None:
    """Mail stands in the way unless it is to go too; an email that is elsewhere as well stays there."""
    login = upstream.fresh_login()
    account = await open_account(upstream, login)
    await fresh(account)
    a = await make(account, "a")
    b = await make(account, "b", a)
    path = mailboxes(account)[a].path
    upstream.append(login, LETTER, LETTER.replace(b"one", b"two"), mailbox=path)
    with upstream.selected(login, path) as connection:
        expect_ok(connection.copy("1", "INBOX"))
    await fresh(account, everything=True)
    assert (await refused(account.backend.destroy_mailbox(a, remove_emails=True))).kind == "mailboxHasChild"
    await account.backend.destroy_mailbox(b)
    assert (await refused(account.backend.destroy_mailbox(a))).kind == "mailboxHasEmail"
    await account.backend.destroy_mailbox(a, remove_emails=True)
    assert not {a, b} & mailboxes(account).keys()
    with account.snapshot() as snapshot:
        (email,) = snapshot.emails(snapshot.email_ids(10)).values()
    assert email.summary.subject == "one"
    assert (await refused(account.backend.destroy_mailbox(a))).kind == "notFound"
    assert (await refused(account.backend.change_mailbox(MailboxChange(mailbox_id=a, name="x")))).kind == "notFound"


async def test_deleted_mail_is_no_mail(upstream: Upstream, open_account: OpenAccount) -> None:
    """A message flagged \\Deleted is not there for a client, so it does not keep its mailbox."""
    login = upstream.fresh_login()
    account = await open_account(upstream, login)
    await fresh(account)
    id = await make(account, "a")
    upstream.append(login, LETTER, mailbox=mailboxes(account)[id].path, flags="\\Deleted")
    await account.backend.destroy_mailbox(id)
    assert id not in mailboxes(account)


async def test_gone_behind_our_back(upstream: Upstream, open_account: OpenAccount) -> None:
    """What another client has destroyed meanwhile is not found, whatever the server says."""
    login = upstream.fresh_login()
    account = await open_account(upstream, login)
    await fresh(account)
    ids = [await make(account, name) for name in ("a", "b")]
    with upstream.imap(login) as connection:
        for id in ids:
            expect_ok(connection.delete(mailboxes(account)[id].path))
    error = await refused(account.backend.change_mailbox(MailboxChange(mailbox_id=ids[0], name="x")))
    assert error.kind == "notFound"
    ids[1] in mailboxes(account) and await refused(account.backend.destroy_mailbox(ids[1]))
    assert not set(ids) & mailboxes(account).keys()


async def test_role(upstream: Upstream, open_account: OpenAccount) -> None:
    """A role is given where the server can keep it, and refused where not, without a trace."""
    account = await open_account(upstream, upstream.fresh_login())
    before = await fresh(account)
    new = NewMailbox(name="Weighty", role="important")
    if upstream.kind == "cyrus":
        id = await account.backend.create_mailbox(new)
        assert mailboxes(account)[id].role == "important"
        await account.backend.change_mailbox(MailboxChange(mailbox_id=id, sets_role=True, role=None))
        assert mailboxes(account)[id].role is None
        await account.backend.change_mailbox(MailboxChange(mailbox_id=id, sets_role=True, role="important"))
        assert mailboxes(account)[id].role == "important"
        return
    error = await refused(account.backend.create_mailbox(new))
    assert (error.kind, error.extra["properties"]) == ("invalidProperties", ["role"])
    assert await fresh(account) == before
    (sent,) = [facts for facts in before.values() if facts.role == "sent"]
    change = MailboxChange(mailbox_id=sent.id, sets_role=True, role="important")
    assert (await refused(account.backend.change_mailbox(change))).extra["properties"] == ["role"]


async def test_role_by_name(courier: Upstream, open_account: OpenAccount) -> None:
    """A server without special uses has the role that the name gives."""
    login = courier.fresh_login()
    account = await open_account(courier, login)
    (archive,) = [facts for facts in (await fresh(account)).values() if facts.role == "archive"]
    await account.backend.destroy_mailbox(archive.id)
    id = await account.backend.create_mailbox(NewMailbox(name="Archives", role="archive"))
    assert mailboxes(account)[id].role == "archive"


async def test_rights(upstream: Upstream, open_account: OpenAccount) -> None:
    """What ACL withholds a client does not have."""
    login = upstream.fresh_login()
    account = await open_account(upstream, login)
    await fresh(account)
    id = await make(account, "a")
    rights = mailboxes(account)[id].rights
    assert {"mayReadItems", "mayAddItems", "mayRemoveItems", "mayCreateChild", "mayRename", "mayDelete"} <= rights
    if upstream.kind != "cyrus":
        return
    with upstream.imap(login) as connection:
        expect_ok(connection.setacl("a", login, "lrsa"))
    rights = (await fresh(account))[id].rights
    assert {"mayReadItems", "maySetSeen"} <= rights
    assert not rights & {"mayAddItems", "mayRemoveItems", "maySetKeywords"}


async def test_order_outlives_the_index(upstream: Upstream, tmp_path: Path) -> None:
    """A sort order is there again after the index was lost, and after a rename."""
    login = upstream.fresh_login()
    kept = Kept()
    async with opened(upstream, login, tmp_path / "first.db", kept) as account:
        await fresh(account)
        id = await account.backend.create_mailbox(NewMailbox(name="a", sort_order=77))
        await make(account, "b", id)
        path = mailboxes(account)[id].path
        assert mailboxes(account)[id].sort_order == 77
        assert kept.orders == ({} if upstream.kind in ("dovecot", "cyrus") else {path: 77})
        upstream.append(login, LETTER, mailbox=path)
        await fresh(account, everything=True)
        if upstream.kind == "courier":  # a RENAME changes UIDVALIDITY: only our own can be followed
            await account.backend.change_mailbox(MailboxChange(mailbox_id=id, name="z"))
        else:
            with upstream.imap(login) as connection:
                expect_ok(connection.rename(path, path[:-1] + "z"))
        now = {facts.path: facts for facts in (await fresh(account)).values()}
        assert now[path[:-1] + "z"].sort_order == 77
    async with opened(upstream, login, tmp_path / "second.db", kept) as account:
        now = {facts.path: facts for facts in (await fresh(account)).values()}
        assert now[path[:-1] + "z"].sort_order == 77
        assert now[path[:-1] + f"z{upstream.separator}b"].sort_order == 10
        await account.backend.destroy_mailbox(now[path[:-1] + f"z{upstream.separator}b"].id)
        await account.backend.destroy_mailbox(now[path[:-1] + "z"].id, remove_emails=True)
    assert kept.orders == {}
