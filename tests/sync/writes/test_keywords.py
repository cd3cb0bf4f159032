"""Keywords of Emails, changed over IMAP, on every server."""

from __future__ import annotations

import pytest

from gateway.account.backend import EmailChange
from gateway.upstream.imap import Selected
from tests.sync.conftest import OpenAccount
from tests.sync.writes.conftest import ALL, fill, ids_by_subject, mailbox_ids, make, message, states, there, view
from tests.upstreams.upstream import Upstream, expect_ok, quoted

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(120)]


async def test_keywords_are_there_and_in_the_index_and_the_next_sweep_finds_nothing(
    upstream: Upstream, open_account: OpenAccount
) -> None:
    """What others set meanwhile stays."""
    login = upstream.fresh_login()
    fill(upstream, login, 3, flags=r"\Answered")
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    ids = ids_by_subject(account)
    with upstream.selected(login) as imap:
        expect_ok(imap.uid("STORE", "1", "+FLAGS", r"(\Flagged)"))
    failed = await account.backend.change_emails(
        [
            EmailChange(email_id=ids["m0"], add_keywords=frozenset({"$seen", "work"})),
            EmailChange(
                email_id=ids["m1"], add_keywords=frozenset({"$seen"}), remove_keywords=frozenset({"$answered"})
            ),
        ]
    )
    assert failed == {}
    assert view(account) == {
        "m0": (["INBOX"], ["$answered", "$flagged", "$seen", "work"]),
        "m1": (["INBOX"], ["$seen"]),
        "m2": (["INBOX"], ["$answered"]),
    }
    before = states(account)
    await account.fresh(ALL)
    assert states(account) == before
    really = {one.subject: one.flags for one in there(upstream, login, "INBOX")}
    assert really == {
        "m0": {"\\answered", "\\flagged", "\\seen", "work"},
        "m1": {"\\seen"},
        "m2": {"\\answered"},
    }


async def test_what_is_so_already_and_what_is_gone(upstream: Upstream, open_account: OpenAccount) -> None:
    """A change that changes nothing succeeds; an Email that vanished meanwhile is notFound."""
    login = upstream.fresh_login()
    fill(upstream, login, 2, flags=r"\Seen")
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    ids = ids_by_subject(account)
    with upstream.selected(login) as imap:
        expect_ok(imap.uid("STORE", "2", "+FLAGS", r"(\Deleted)"))
        expect_ok(imap.expunge())
    seen = frozenset({"$seen"})
    failed = await account.backend.change_emails(
        [EmailChange(email_id=id, add_keywords=seen) for id in [ids["m0"], ids["m1"], "Mnone"]]
    )
    assert {id: error.kind for id, error in failed.items()} == {ids["m1"]: "notFound", "Mnone": "notFound"}
    assert view(account) == {"m0": (["INBOX"], ["$seen"])}


async def test_every_location_is_written(upstream: Upstream, open_account: OpenAccount) -> None:
    """Setting or clearing a keyword makes the locations of an Email agree."""
    login = upstream.fresh_login()
    fill(upstream, login, 1)
    (other,) = make(upstream, login, "Other")
    with upstream.selected(login) as imap:
        expect_ok(imap.uid("COPY", "1", quoted(other)))
        expect_ok(imap.uid("STORE", "1", "+FLAGS", r"(\Flagged \Seen)"))
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    ids = ids_by_subject(account)
    assert view(account) == {"m0": (sorted(["INBOX", other]), ["$flagged"])}
    change = EmailChange(email_id=ids["m0"], add_keywords=frozenset({"$seen"}), remove_keywords=frozenset({"$flagged"}))
    assert await account.backend.change_emails([change]) == {}
    assert view(account) == {"m0": (sorted(["INBOX", other]), ["$seen"])}
    for mailbox in ("INBOX", other):
        assert [one.flags for one in there(upstream, login, mailbox)] == [{"\\seen"}]


async def test_what_came_a_moment_ago(upstream: Upstream, open_account: OpenAccount) -> None:
    """A connection that has not looked since a message came passes over it, and says OK: that is not believed."""
    login = upstream.fresh_login()
    (other,) = make(upstream, login, "Other")
    fill(upstream, login, 1)
    account = await open_account(upstream, login)
    await account.fresh(ALL)
    boxes = mailbox_ids(account)
    flagged = frozenset({"$flagged"})
    for n in range(4):
        inbox = EmailChange(email_id=ids_by_subject(account)["m0"], add_keywords=flagged)
        assert await account.backend.change_emails([inbox]) == {}
        upstream.append(login, *(message(f"n{n}-{kind}") for kind in ("set", "moved", "gone")))
        await account.fresh(ALL)
        ids = ids_by_subject(account)
        out = frozenset({boxes["INBOX"]})
        failed = await account.backend.change_emails(
            [
                EmailChange(email_id=ids[f"n{n}-set"], add_keywords=flagged),
                EmailChange(email_id=ids[f"n{n}-moved"], add_mailboxes=frozenset({boxes[other]}), remove_mailboxes=out),
                EmailChange(email_id=ids[f"n{n}-gone"], remove_mailboxes=out),
            ]
        )
        assert failed == {}
        really = {it.subject: it.flags for it in there(upstream, login, "INBOX")}
        assert really[f"n{n}-set"] == {"\\flagged"}
        assert not {f"n{n}-moved", f"n{n}-gone"} & really.keys()
    assert {it.subject for it in there(upstream, login, other)} == {f"n{n}-moved" for n in range(4)}


async def test_a_keyword_that_a_mailbox_does_not_keep(
    dovecot: Upstream, open_account: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is named before anything is sent for that Email; the others are done."""
    login = dovecot.fresh_login()
    fill(dovecot, login, 2)
    account = await open_account(dovecot, login)
    await account.fresh(ALL)
    ids = ids_by_subject(account)
    monkeypatch.setattr(Selected, "can_store", lambda self, flag: flag != "work")
    failed = await account.backend.change_emails(
        [
            EmailChange(email_id=ids["m0"], add_keywords=frozenset({"$seen", "work"})),
            EmailChange(email_id=ids["m1"], add_keywords=frozenset({"$seen"})),
        ]
    )
    assert {id: error.kind for id, error in failed.items()} == {ids["m0"]: "invalidProperties"}
    assert failed[ids["m0"]].extra == {"properties": ["keywords"]}
    assert "work" in str(failed[ids["m0"]].description)
    assert {it.subject: it.flags for it in there(dovecot, login, "INBOX")} == {"m0": frozenset(), "m1": {"\\seen"}}
