"""VacationResponse over HTTP, before Pigeonhole (RFC 8621 section 8)."""

from __future__ import annotations

import asyncio
import email
import email.policy
import time

import pytest

from gateway.upstream.managesieve import Connection
from tests.server.conftest import JmapClient, MakeGateway
from tests.server.sieve import FILING, create, deliver, is_enabled, replies, sieve_of, upload, vacation
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream


async def test_the_reply_goes_out_once_and_the_rules_go_on(
    sieve_client: JmapClient, other_client: Connection, dovecot: Upstream, smtp_sink: SmtpSink
) -> None:
    """A vacation reply goes to each sender once, while the user's script files mail; switched off, all is as before."""
    own = await create(sieve_client, "mine", FILING, onSuccessActivateScript="#a")
    set_to = {
        "isEnabled": True,
        "subject": "Auf See ⛵",
        "textBody": 'Back "soon".\n.\n"; discard; #\\',
        "htmlBody": None,
    }
    await vacation(sieve_client, **set_to)
    got = (await sieve_client.call("VacationResponse/get", ids=None))["list"]
    assert got == [{"id": "singleton", "fromDate": None, "toDate": None, **set_to}]

    sender = f"once{time.time_ns()}@sender.test"
    for subject in ("hello", "work", "work again"):
        deliver(dovecot, sieve_client.login, sender=sender, subject=subject)
    smtp_sink.kept(1)
    await asyncio.sleep(0.3)
    (reply,) = replies(smtp_sink, sender)
    assert b"Auf_See" in reply or b"Auf See" in reply or b"QXVmIFNlZS" in reply
    assert b'Back "soon".\r\n.\r\n"; discard; #\\' in reply
    with dovecot.selected(sieve_client.login, "Work") as imap:
        assert imap.search(None, "ALL")[1] == [b"1 2"]
    with dovecot.selected(sieve_client.login) as imap:
        assert imap.search(None, "ALL")[1] == [b"1"]

    await vacation(sieve_client, isEnabled=False)
    assert [name for name, active in await other_client.list_scripts() if active] == ["mine"]
    assert (await other_client.get_script("mine")).decode() == FILING
    deliver(dovecot, sieve_client.login, sender=f"later{sender}")
    await asyncio.sleep(0.3)
    assert not replies(smtp_sink, f"later{sender}")
    assert (await sieve_client.call("SieveScript/get", ids=[own]))["list"][0]["isActive"]
    assert (await sieve_client.call("VacationResponse/get"))["list"][0]["subject"] == set_to["subject"]


async def test_html_goes_out_as_such(sieve_client: JmapClient, dovecot: Upstream, smtp_sink: SmtpSink) -> None:
    """A reply with HTML has a part in plain text as well."""
    await vacation(sieve_client, isEnabled=True, htmlBody='<p>I am <b>away</b> \u2014 "really"</p>')
    sender = f"html{time.time_ns()}@sender.test"
    deliver(dovecot, sieve_client.login, sender=sender)
    end = time.monotonic() + 10
    while not replies(smtp_sink, sender):
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    message = email.message_from_bytes(replies(smtp_sink, sender)[0], policy=email.policy.default)
    html, plain = message.get_body(("html",)), message.get_body(("plain",))
    assert html is not None
    assert "<b>away</b> \u2014" in html.get_content()
    assert plain is not None
    assert "I am away \u2014" in plain.get_content()


@pytest.mark.parametrize(
    ("dates", "replied"),
    [
        ({"fromDate": "2020-01-01T00:00:00Z"}, True),
        ({"fromDate": "9999-12-31T23:59:60Z"}, False),
        ({"toDate": "2020-01-01T00:00:00Z"}, False),
        ({"fromDate": "2020-01-01T00:00:00Z", "toDate": "2099-01-01T00:00:00Z"}, True),
    ],
)
async def test_the_time_is_kept(
    dates: dict[str, str], replied: bool, sieve_client: JmapClient, dovecot: Upstream, smtp_sink: SmtpSink
) -> None:
    """Between fromDate and toDate a reply goes out, and at no other time."""
    await vacation(sieve_client, isEnabled=True, textBody="away", **dates)
    sender = f"dates{time.time_ns()}@sender.test"
    deliver(dovecot, sieve_client.login, sender=sender)
    await asyncio.sleep(0.5)
    assert bool(replies(smtp_sink, sender)) is replied


async def test_another_script_is_made_active_elsewhere(sieve_client: JmapClient, other_client: Connection) -> None:
    """While the vacation is on, another client's choice of a script is included; switched off, it is what is active."""
    await create(sieve_client, "mine", FILING, onSuccessActivateScript="#a")
    await vacation(sieve_client, isEnabled=True)
    await other_client.put_script("theirs", b"keep;")
    await other_client.set_active("theirs")
    assert await is_enabled(sieve_client)
    (ours,) = [name for name, active in await other_client.list_scripts() if active]
    assert b'"theirs"' in await other_client.get_script(ours)
    await vacation(sieve_client, isEnabled=False)
    assert [name for name, active in await other_client.list_scripts() if active] == ["theirs"]


async def test_everything_off_elsewhere_is_off(sieve_client: JmapClient, other_client: Connection) -> None:
    """Who makes no script active switches the vacation off too; who makes ours active, on."""
    await vacation(sieve_client, isEnabled=True, subject="away")
    (ours,) = [name for name, active in await other_client.list_scripts() if active]
    await other_client.set_active(None)
    assert not await is_enabled(sieve_client)
    await other_client.put_script("theirs", b"keep;")
    await other_client.set_active("theirs")
    assert not await is_enabled(sieve_client)
    await other_client.set_active(ours)
    assert await is_enabled(sieve_client)
    assert (await sieve_client.call("VacationResponse/get"))["list"][0]["subject"] == "away"


async def test_the_included_script_is_looked_after(sieve_client: JmapClient, other_client: Connection) -> None:
    """It can be renamed and changed, and not be destroyed; a reply of its own ends ours, and it goes on."""
    id = await create(sieve_client, "mine", FILING, onSuccessActivateScript="#a")
    await vacation(sieve_client, isEnabled=True)
    doomed = await sieve_client.call("SieveScript/set", destroy=[id])
    assert doomed["notDestroyed"][id]["type"] == "sieveIsActive"
    renamed = await sieve_client.call("SieveScript/set", update={id: {"name": "new"}})
    assert renamed["updated"] == {id: None}
    (ours,) = [name for name, active in await other_client.list_scripts() if active]
    assert b':optional "new";' in await other_client.get_script(ours)
    assert b'"mine"' not in await other_client.get_script(ours)
    await other_client.rename_script("new", "newer")
    assert await is_enabled(sieve_client)
    assert b':optional "newer";' in await other_client.get_script(ours)

    rejecting = await upload(sieve_client, 'require "reject"; if size :over 1M { reject "too large"; }')
    await sieve_client.call("SieveScript/set", update={id: {"blobId": rejecting}})
    text = (await other_client.get_script(ours)).decode()
    assert text.index("include :personal") < text.index("vacation ", text.index("include :personal"))
    replying = await upload(sieve_client, 'require "vacation"; vacation "mine";')
    await sieve_client.call("SieveScript/set", update={id: {"blobId": replying}})
    assert not await is_enabled(sieve_client)
    assert [name for name, active in await other_client.list_scripts() if active] == ["newer"]
    answer = await sieve_client.call("VacationResponse/set", update={"singleton": {"isEnabled": True}})
    assert answer["notUpdated"]["singleton"]["type"] == "forbidden"
    assert [name for name, active in await other_client.list_scripts() if active] == ["newer"]


async def test_the_vacations_script_is_protected(sieve_client: JmapClient, other_client: Connection) -> None:
    """It is shown, and can be switched by SieveScript/set, neither changed nor destroyed (RFC 9661 section 4)."""
    own = await create(sieve_client, "mine", FILING, onSuccessActivateScript="#a")
    await vacation(sieve_client, subject="away")
    scripts = (await sieve_client.call("SieveScript/get", ids=None))["list"]
    (ours,) = [one for one in scripts if one["id"] != own]
    assert not ours["isActive"]
    blob_id = await upload(sieve_client, "keep;")
    for update in ({"name": "x"}, {"blobId": blob_id}):
        answer = await sieve_client.call("SieveScript/set", update={ours["id"]: update})
        assert answer["notUpdated"][ours["id"]]["type"] == "forbidden"
    answer = await sieve_client.call("SieveScript/set", destroy=[ours["id"]])
    assert answer["notDestroyed"][ours["id"]]["type"] == "forbidden"
    on = await sieve_client.call("SieveScript/set", onSuccessActivateScript=ours["id"])
    assert on["updated"] == {own: {"isActive": False}, ours["id"]: {"isActive": True}}
    assert await is_enabled(sieve_client)
    assert b'"mine"' in await other_client.get_script(ours["name"])
    off = await sieve_client.call("SieveScript/set", onSuccessActivateScript=own)
    assert off["updated"] == {ours["id"]: {"isActive": False}, own: {"isActive": True}}
    assert not await is_enabled(sieve_client)
    assert not await is_enabled(sieve_client)


async def test_a_hand_made_change_makes_it_the_users(sieve_client: JmapClient, other_client: Connection) -> None:
    """Whoever edits our script has one of their own: it is not touched any more."""
    await vacation(sieve_client, isEnabled=True, subject="away")
    (ours,) = [name for name, active in await other_client.list_scripts() if active]
    edited = (await other_client.get_script(ours)).replace(b"away", b"gone")
    await other_client.put_script(ours, edited)
    assert not await is_enabled(sieve_client)
    await vacation(sieve_client, subject="other")
    assert await other_client.get_script(ours) == edited
    assert [name for name, active in await other_client.list_scripts() if active] == [ours]


async def test_all_that_we_keep_is_lost(gateway: MakeGateway, sieve_client: JmapClient, dovecot: Upstream) -> None:
    """A new gateway reads the vacation and the ids back from the mail server."""
    id = await create(sieve_client, "mine", FILING, onSuccessActivateScript="#a")
    await vacation(sieve_client, isEnabled=True, textBody="ä\nö")
    again = (await gateway(dovecot, data="other", more=sieve_of(dovecot)))(sieve_client.login)
    assert (await again.call("VacationResponse/get"))["list"][0] == {
        "id": "singleton",
        "isEnabled": True,
        "fromDate": None,
        "toDate": None,
        "subject": None,
        "textBody": "ä\nö",
        "htmlBody": None,
    }
    assert id in {one["id"] for one in (await again.call("SieveScript/get", ids=None))["list"]}


async def test_vacation_refusals(sieve_client: JmapClient, other_client: Connection) -> None:
    """There is one record; what does not fit is named, and changes nothing."""
    created = await sieve_client.call(
        "VacationResponse/set", create={"a": {"isEnabled": True}}, destroy=["singleton", "x"]
    )
    assert created["notCreated"]["a"]["type"] == "singleton"
    assert created["notDestroyed"]["singleton"]["type"] == "singleton"
    assert created["notDestroyed"]["x"]["type"] == "notFound"
    for name, value in (
        ("subject", "a\r\nBcc: x"),
        ("subject", "a\0"),
        ("subject", "\u2028"),
        ("subject", "x" * 300),
        ("textBody", "a\0"),
        ("htmlBody", 7),
        ("textBody", "x" * 100_001),
        ("fromDate", "2020-01-01"),
        ("toDate", "2020-01-01T00:00:00+01:00"),
        ("isEnabled", 1),
        ("id", "x"),
        ("days", 3),
    ):
        answer = await sieve_client.call("VacationResponse/set", update={"singleton": {"isEnabled": True, name: value}})
        fault = answer["notUpdated"]["singleton"]
        assert (fault["type"], fault["properties"]) == ("invalidProperties", [name]), (name, value)
    assert await other_client.list_scripts() == []


async def test_mail_to_an_alias_is_answered(gateway: MakeGateway, dovecot: Upstream, smtp_sink: SmtpSink) -> None:
    """A message that names only an alias of the login in its To is answered as well."""
    login = dovecot.fresh_login()
    more = f'{sieve_of(dovecot)}\naliases = ["sales-{{user}}@mail.test", "*@any.test"]'
    client = (await gateway(dovecot, more=more))(login)
    await vacation(client, isEnabled=True)
    alias, stranger = f"alias{time.time_ns()}@sender.test", f"stranger{time.time_ns()}@sender.test"
    deliver(dovecot, login, sender=stranger, to="somebody@else.test")
    deliver(dovecot, login, sender=alias, to=f"sales-{login}@mail.test")
    end = time.monotonic() + 10
    while not replies(smtp_sink, alias):
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    assert not replies(smtp_sink, stranger)
