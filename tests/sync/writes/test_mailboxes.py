"""Emails moved, copied and destroyed over IMAP, on every server."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gateway.account.account import Account
from gateway.account.backend import EmailChange
from tests.sync.conftest import OpenAccount
from tests.sync.writes.conftest import (
    ALL,
    counts,
    fill,
    ids_by_subject,
    mailbox_ids,
    make,
    states,
    subjects,
    there,
    view,
)
from tests.upstreams.upstream import Upstream, expect_ok, quoted

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(120)]


async def _is_what_a_fresh_index_is(upstream: Upstream, account: Account, open_account: OpenAccount) -> None:
    """The index is right before the next sweep, which finds nothing, and a fresh index is the same."""
    before, seen, counted = states(account), view(account), counts(account)
    await account.fresh(ALL)
    assert states(account) == before
    fresh = await open_account(upstream, account.login, index="fresh")
    await fresh.fresh(ALL)
    assert view(fresh) == seen
    assert counts(fresh) == counted
    assert set(ids_by_subject(fresh).values()) == set(ids_by_subject(account).values())


def _change(
    email_id: str, *, to: Iterable[str] = (), out_of: Iterable[str] = (), add: Iterable[str] = ()
) -> EmailChange:
    return EmailChange(
        email_id=email_id,
        add_keywords=frozenset(add),
        add_mailboxes=frozenset(to),
        remove_mailboxes=frozenset(out_of),
    )


async def test_moved_copied_and_destroyed(upstream: Upstream, open_account: OpenAccount) -> None:
    """The ids stay; every mailbox holds what it should, once; another client's \\Deleted is left alone."""
    login = upstream.fresh_login()
    one, two = make(upstream, login, "One", "Two")
    fill(upstream, login, 8)
    with upstream.selected(login) as imap:
        expect_ok(imap.uid("STORE", "8", "+FLAGS", r"(\Deleted)"))
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    ids, boxes = ids_by_subject(account), mailbox_ids(account)
    inbox = boxes["INBOX"]
    failed = await account.backend.change_emails(
        [
            _change(ids["m0"], to=[boxes[one]], out_of=[inbox]),
            _change(ids["m1"], to=[boxes[one]], out_of=[inbox], add=["$seen"]),
            _change(ids["m2"], to=[boxes[one]]),
            _change(ids["m3"], to=[boxes[one], boxes[two]], out_of=[inbox]),
            _change(ids["m4"], out_of=[inbox]),
            _change(ids["m5"], to=[boxes[one], boxes[two]], add=["$flagged", "work"]),
        ]
    )
    assert failed == {}
    assert view(account) == {
        "m0": ([one], []),
        "m1": ([one], ["$seen"]),
        "m2": (sorted(["INBOX", one]), []),
        "m3": (sorted([one, two]), []),
        "m5": (sorted(["INBOX", one, two]), ["$flagged", "work"]),
        "m6": (["INBOX"], []),
    }
    assert {subject: id for subject, id in ids.items() if subject not in ("m4", "m7")} == ids_by_subject(account)
    assert subjects(upstream, login, "INBOX") == {"m2": 1, "m5": 1, "m6": 1}
    assert subjects(upstream, login, one) == {"m0": 1, "m1": 1, "m2": 1, "m3": 1, "m5": 1}
    assert subjects(upstream, login, two) == {"m3": 1, "m5": 1}
    assert [message.subject for message in there(upstream, login, "INBOX") if "\\deleted" in message.flags] == ["m7"]
    await _is_what_a_fresh_index_is(upstream, account, open_account)


async def test_destroyed_everywhere_and_out_of_one(upstream: Upstream, open_account: OpenAccount) -> None:
    """Leaving one of several mailboxes keeps the keywords, which are those of all."""
    login = upstream.fresh_login()
    one, two = make(upstream, login, "One", "Two")
    fill(upstream, login, 2)
    with upstream.selected(login) as imap:
        for path in (one, two):
            expect_ok(imap.uid("COPY", "1:2", quoted(path)))
        expect_ok(imap.uid("STORE", "1:2", "+FLAGS", r"(\Flagged)"))
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    ids, boxes = ids_by_subject(account), mailbox_ids(account)
    failed = await account.backend.change_emails(
        [_change(ids["m0"], out_of=boxes.values()), _change(ids["m1"], out_of=[boxes["INBOX"]])]
    )
    assert failed == {}
    assert view(account) == {"m1": (sorted([one, two]), ["$flagged"])}
    assert subjects(upstream, login, "INBOX") == {}
    assert subjects(upstream, login, one) == subjects(upstream, login, two) == {"m1": 1}
    await _is_what_a_fresh_index_is(upstream, account, open_account)


async def test_back_to_where_a_deleted_one_lies(upstream: Upstream, open_account: OpenAccount) -> None:
    """A location that is flagged \\Deleted counts as absent: adding to its mailbox works."""
    login = upstream.fresh_login()
    (one,) = make(upstream, login, "One")
    fill(upstream, login, 1)
    with upstream.selected(login) as imap:
        expect_ok(imap.uid("COPY", "1", quoted(one)))
        expect_ok(imap.uid("STORE", "1", "+FLAGS", r"(\Deleted)"))
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    ids, boxes = ids_by_subject(account), mailbox_ids(account)
    assert view(account) == {"m0": ([one], [])}
    assert await account.backend.change_emails([_change(ids["m0"], to=[boxes["INBOX"]])]) == {}
    assert view(account) == {"m0": (sorted(["INBOX", one]), [])}
    assert subjects(upstream, login, "INBOX") == {"m0": 1}
    await _is_what_a_fresh_index_is(upstream, account, open_account)


async def test_what_cannot_be(upstream: Upstream, open_account: OpenAccount) -> None:
    """No such mailbox is invalidProperties; what went meanwhile is notFound; the others are done."""
    login = upstream.fresh_login()
    (one,) = make(upstream, login, "One")
    fill(upstream, login, 3)
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    ids, boxes = ids_by_subject(account), mailbox_ids(account)
    with upstream.selected(login) as imap:
        expect_ok(imap.uid("STORE", "2", "+FLAGS", r"(\Deleted)"))
        expect_ok(imap.expunge())
    failed = await account.backend.change_emails(
        [
            _change(ids["m0"], to=["Bnone"]),
            _change(ids["m1"], to=[boxes[one]], out_of=[boxes["INBOX"]]),
            _change(ids["m2"], to=[boxes[one]], out_of=[boxes["INBOX"]]),
        ]
    )
    assert {id: error.kind for id, error in failed.items()} == {ids["m0"]: "invalidProperties", ids["m1"]: "notFound"}
    assert failed[ids["m0"]].extra == {"properties": ["mailboxIds"]}
    assert view(account) == {"m0": (["INBOX"], []), "m2": ([one], [])}
    await _is_what_a_fresh_index_is(upstream, account, open_account)


async def test_a_target_that_went_away(upstream: Upstream, open_account: OpenAccount) -> None:
    """A copy that is refused removes nothing, and takes its keywords back."""
    login = upstream.fresh_login()
    (one,) = make(upstream, login, "One")
    fill(upstream, login, 1)
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    ids, boxes = ids_by_subject(account), mailbox_ids(account)
    with upstream.imap(login) as imap:
        expect_ok(imap.delete(quoted(one)))
    change = EmailChange(
        email_id=ids["m0"], add_mailboxes=frozenset({boxes[one]}), remove_mailboxes=frozenset({boxes["INBOX"]})
    )
    failed = await account.backend.change_emails([change])
    assert failed[ids["m0"]].kind in ("invalidProperties", "serverFail")
    assert view(account) == {"m0": (["INBOX"], [])}
    assert subjects(upstream, login, "INBOX") == {"m0": 1}
