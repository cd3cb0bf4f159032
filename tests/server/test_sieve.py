"""SieveScript over HTTP, before Pigeonhole (RFC 9661)."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from gateway.upstream.managesieve import Connection
from tests.server.conftest import USING, JmapClient, MakeGateway
from tests.server.sieve import FILING, create, deliver, upload
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream

SIEVE = "urn:ietf:params:jmap:sieve"
VACATION = "urn:ietf:params:jmap:vacationresponse"


async def test_the_session_tells_the_engine(sieve_client: JmapClient) -> None:
    """The capabilities are the server's own: extensions, methods of notification, redirects, its name."""
    _status, session = await sieve_client.session()
    capability = session["accounts"][sieve_client.account_id]["accountCapabilities"][SIEVE]
    assert {"fileinto", "vacation", "include"} <= set(capability.pop("sieveExtensions"))
    assert capability == {
        "maxSizeScriptName": 512,
        "maxSizeScript": 1 << 20,
        "maxNumberScripts": None,
        "maxNumberRedirects": None,  # told after a login only
        "notificationMethods": ["mailto"],
        "externalLists": None,
    }
    assert session["capabilities"][SIEVE] == {"implementation": "Dovecot (Debian) Pigeonhole"}
    assert session["capabilities"][VACATION] == {}
    assert session["primaryAccounts"][VACATION] == sieve_client.account_id
    await sieve_client.call("SieveScript/get", ids=None)
    _status, session = await sieve_client.session()
    assert session["accounts"][sieve_client.account_id]["accountCapabilities"][SIEVE]["maxNumberRedirects"] == 4


async def test_nothing_is_offered_without_a_server(gateway: MakeGateway, dovecot: Upstream) -> None:
    """Neither capability is there where no ManageSieve server is configured, or none answers."""
    for data, more in (("a", ""), ("b", f'sieve = "sieve://{dovecot.host}:1"')):
        client = (await gateway(dovecot, data=data, more=more))(dovecot.fresh_login())
        _status, session = await client.session()
        assert not {SIEVE, VACATION} & set(session["capabilities"])
        _status, answer = await client.request(("SieveScript/get", {"ids": None}))
        assert answer["methodResponses"][0][1]["type"] in ("unknownMethod", "accountNotSupportedByMethod")


async def test_a_script_from_birth_to_death(sieve_client: JmapClient, other_client: Connection) -> None:
    """Created from an upload, read, activated, changed, renamed and destroyed; the other client sees the same."""
    blob_id = await upload(sieve_client, FILING)
    first = await sieve_client.call("SieveScript/get", ids=None)
    assert first["list"] == []
    made = await sieve_client.call(
        "SieveScript/set", create={"a": {"name": "mine", "blobId": blob_id}}, onSuccessActivateScript="#a"
    )
    id = made["created"]["a"]["id"]
    assert made["created"]["a"] == {"id": id, "isActive": True}
    assert made["oldState"] == first["state"] != made["newState"]
    assert await other_client.list_scripts() == [("mine", True)]
    assert (await other_client.get_script("mine")).decode() == FILING

    got = await sieve_client.call("SieveScript/get", ids=[id, "nope"])
    assert got["list"] == [{"id": id, "name": "mine", "blobId": blob_id, "isActive": True}]
    assert (got["state"], got["notFound"]) == (made["newState"], ["nope"])
    blob = await sieve_client.call("Blob/get", ids=[blob_id])
    assert blob["list"][0]["data:asText"] == FILING
    unnamed = (await sieve_client.request(("Blob/lookup", {"typeNames": ["SieveScript"], "ids": [blob_id]})))[1]
    assert unnamed["methodResponses"][0][1]["type"] == "unknownDataType"
    sieve_client.using = [*USING, SIEVE]
    lookup = await sieve_client.call("Blob/lookup", typeNames=["Email", "SieveScript"], ids=[blob_id])
    assert lookup["list"] == [{"id": blob_id, "matchedIds": {"Email": [], "SieveScript": [id]}}]

    new_blob = await upload(sieve_client, "keep;")
    changed = await sieve_client.call("SieveScript/set", update={id: {"name": "née", "blobId": new_blob}})
    assert changed["updated"] == {id: None}
    assert await other_client.list_scripts() == [("née", True)]
    assert await other_client.get_script("née") == b"keep;"

    active = await sieve_client.call("SieveScript/set", destroy=[id])
    assert active["notDestroyed"][id]["type"] == "sieveIsActive"
    both = await sieve_client.call("SieveScript/set", destroy=[id], onSuccessDeactivateScript=True)
    assert both["notDestroyed"][id]["type"] == "sieveIsActive"
    assert await other_client.list_scripts() == [("née", True)]
    off = await sieve_client.call("SieveScript/set", onSuccessDeactivateScript=True)
    assert off["updated"] == {id: {"isActive": False}}
    gone = await sieve_client.call("SieveScript/set", destroy=[id])
    assert gone["destroyed"] == [id]
    assert await other_client.list_scripts() == []


async def test_what_others_do_is_seen(sieve_client: JmapClient, other_client: Connection) -> None:
    """Content, names and the active script change by another client: the state moves, and a rename keeps the id."""
    await other_client.put_script("theirs", FILING.encode())
    before = await sieve_client.call("SieveScript/get", ids=None)
    (script,) = before["list"]
    assert script["blobId"] == "u_" + hashlib.sha256(FILING.encode()).hexdigest()
    states = {before["state"]}
    for change in (
        other_client.set_active("theirs"),
        other_client.put_script("theirs", b"keep;"),
        other_client.rename_script("theirs", "renamed"),
    ):
        await change
        after = await sieve_client.call("SieveScript/get", ids=None)
        assert after["state"] not in states
        assert [one["id"] for one in after["list"]] == [script["id"]]
        states.add(after["state"])
    assert after["list"][0]["name"] == "renamed"
    assert (await sieve_client.call("SieveScript/get", ids=None))["state"] == after["state"]
    path = f"{sieve_client.account_id}/{after['list'][0]['blobId']}/a.siv?type=application/sieve"
    url = f"{sieve_client.url}/jmap/download/{path}"
    async with sieve_client.http.get(url, headers=sieve_client.headers) as download:
        assert await download.read() == b"keep;"


async def test_queries(sieve_client: JmapClient) -> None:
    """Filtered by name and isActive, sorted by both."""
    ids = [await create(sieve_client, name, "keep;") for name in ("beta", "alpha", "Gamma")]
    await sieve_client.call("SieveScript/set", onSuccessActivateScript=ids[1])
    for arguments, expected in (
        ({"sort": [{"property": "name"}]}, [ids[1], ids[0], ids[2]]),
        ({"filter": {"name": "A"}, "sort": [{"property": "name", "isAscending": False}]}, [ids[2], ids[0], ids[1]]),
        ({"filter": {"isActive": True}}, [ids[1]]),
        ({"sort": [{"property": "isActive", "isAscending": False}, {"property": "name"}]}, [ids[1], ids[0], ids[2]]),
    ):
        answer = await sieve_client.call("SieveScript/query", **arguments)
        assert answer["ids"] == expected, arguments
        assert answer["canCalculateChanges"] is False


async def test_refusals(sieve_client: JmapClient, other_client: Connection) -> None:
    """Each fault has the error of the RFC, and nothing is changed by it."""
    id = await create(sieve_client, "a", "keep;")
    good, bad = await upload(sieve_client, "discard;"), await upload(sieve_client, "keep;\r\nkep;")

    async def error(name: Any, blob_id: str = good) -> dict[str, Any]:
        answer = await sieve_client.call("SieveScript/set", create={"x": {"name": name, "blobId": blob_id}})
        fault: dict[str, Any] = answer["notCreated"]["x"]
        return fault

    exists = await error("a")
    assert (exists["type"], exists["existingId"]) == ("alreadyExists", id)
    invalid = await error("b", bad)
    assert invalid["type"] == "invalidSieve"
    assert "line 2" in invalid["description"]
    assert (await error("b", await upload(sieve_client, 'require "nonsense";')))["type"] == "invalidSieve"
    assert (await error("b", await upload(sieve_client, b"keep; # \xff")))["type"] == "invalidSieve"
    assert (await error("b", "u_" + "0" * 64))["properties"] == ["blobId"]
    assert (await error("b", await upload(sieve_client, "#" * (1 << 20) + "x")))["type"] == "tooLarge"
    for name in ("", "a\r\nDELETESCRIPT b", "a\0", "\x7f", "\x85", "\u2028", "x" * 513, "a/b", "x" * 300, 7):
        fault = await error(name)
        assert (fault["type"], fault["properties"]) == ("invalidProperties", ["name"]), name
    renamed = await sieve_client.call("SieveScript/set", update={id: {"name": "a/b", "blobId": good}})
    assert renamed["notUpdated"][id]["type"] == "invalidProperties"
    for update in ({"isActive": True}, {"name": None}, {"foo": 1}, {"blobId": "nope"}):
        answer = await sieve_client.call("SieveScript/set", update={id: update})
        assert answer["notUpdated"][id]["type"] == "invalidProperties", update
    assert await other_client.list_scripts() == [("a", False)]
    assert await other_client.get_script("a") == b"keep;"


async def test_names_of_all_kinds(sieve_client: JmapClient, other_client: Connection) -> None:
    """Quotes, backslashes and letters of the world are names like any other; without a name one is found."""
    names = ['a "b" c', "back\\slash", "日本語", "{5}", "OK", '") LOGOUT ("', "é" * 60]
    for name in names:
        await create(sieve_client, name, "keep;")
    assert await create(sieve_client, None, "keep;") != await create(sieve_client, None, "keep;")
    got = await sieve_client.call("SieveScript/get", ids=None)
    assert {one["name"] for one in got["list"]} == {*names, "script", "script 2"}
    assert {name for name, _active in await other_client.list_scripts()} == {*names, "script", "script 2"}


async def test_a_name_longer_than_a_file_may_have(sieve_client: JmapClient, other_client: Connection) -> None:
    """Pigeonhole says TRYLATER of it; trying later is no help, and the name is what is wrong."""
    blob_id = await upload(sieve_client, "keep;")
    id = await create(sieve_client, "a" * 220, "keep;")
    for new_name, other_name in (("a" * 230, "a" * 256), ("é" * 120, "é" * 140)):  # a RENAME needs no temporary file
        answer = await sieve_client.call(
            "SieveScript/set", create={"a": {"name": new_name, "blobId": blob_id}}, update={id: {"name": other_name}}
        )
        for error in (answer["notCreated"]["a"], answer["notUpdated"][id]):
            assert (error["type"], error["properties"]) == ("invalidProperties", ["name"])
    assert await other_client.list_scripts() == [("a" * 220, False)]


async def test_a_blob_of_the_same_request(sieve_client: JmapClient, other_client: Connection) -> None:
    """A script is made of what Blob/upload has just created, named by its creation id."""
    data = [{"data:asText": "keep; # "}, {"data:asText": "ä"}]
    _status, answer = await sieve_client.request(
        ("Blob/upload", {"create": {"B": {"data": data, "type": "application/sieve"}}}),
        ("SieveScript/set", {"create": {"s": {"name": "a", "blobId": "#B"}}, "onSuccessActivateScript": "#s"}),
        ("SieveScript/validate", {"blobId": "#B"}),
        ("SieveScript/set", {"update": {"#s": {"name": "b"}}}),
    )
    responses = [arguments for _name, arguments, _id in answer["methodResponses"]]
    assert responses[1]["created"]["s"]["isActive"] is True
    assert responses[2]["error"] is None
    assert list(responses[3]["updated"].values()) == [None]
    assert await other_client.list_scripts() == [("b", True)]
    assert (await other_client.get_script("b")).decode() == "keep; # ä"


async def test_two_scripts_take_one_anothers_names(sieve_client: JmapClient, other_client: Connection) -> None:
    """A name that another script has is refused, with its id; the update of the content alone goes through."""
    first, second = await create(sieve_client, "a", "keep;"), await create(sieve_client, "b", "discard;")
    answer = await sieve_client.call("SieveScript/set", update={first: {"name": "b"}})
    fault = answer["notUpdated"][first]
    assert (fault["type"], fault["existingId"]) == ("alreadyExists", second)
    bad = await upload(sieve_client, "kep;")
    answer = await sieve_client.call("SieveScript/set", update={first: {"name": "c", "blobId": bad}})
    assert answer["notUpdated"][first]["type"] == "invalidSieve"
    assert {(one.name, await other_client.get_script(one.name)) for one in await other_client.list_scripts()} == {
        ("a", b"keep;"),
        ("b", b"discard;"),
    }


async def test_validate(sieve_client: JmapClient, other_client: Connection) -> None:
    """A script is checked without being stored."""
    good, bad = await upload(sieve_client, "keep;"), await upload(sieve_client, "kep;")
    assert (await sieve_client.call("SieveScript/validate", blobId=good))["error"] is None
    fault = (await sieve_client.call("SieveScript/validate", blobId=bad))["error"]
    assert fault["type"] == "invalidSieve"
    assert "line 1" in fault["description"]
    _status, answer = await sieve_client.request(("SieveScript/validate", {"blobId": "nope"}))
    assert answer["methodResponses"][0][1]["type"] == "invalidArguments"
    assert await other_client.list_scripts() == []


async def test_switching_waits_for_success(sieve_client: JmapClient) -> None:
    """Nothing is switched when anything failed; an id that is none is ignored."""
    first, second = await create(sieve_client, "a", "keep;"), await create(sieve_client, "b", "discard;")
    await sieve_client.call("SieveScript/set", onSuccessActivateScript=first)
    failed = await sieve_client.call("SieveScript/set", destroy=["nope"], onSuccessActivateScript=second)
    assert failed["updated"] is None
    for id in ("nope", "#nope", "not an id", 5, None):
        assert (await sieve_client.call("SieveScript/set", onSuccessActivateScript=id))["updated"] is None
    both = await sieve_client.call("SieveScript/set", onSuccessActivateScript=second, onSuccessDeactivateScript=True)
    assert both["updated"] == {first: {"isActive": False}, second: {"isActive": True}}


async def test_an_active_script_files_mail(sieve_client: JmapClient, dovecot: Upstream) -> None:
    """What JMAP activates filters what arrives."""
    await create(sieve_client, "mine", FILING, onSuccessActivateScript="#a")
    deliver(dovecot, sieve_client.login, sender="s@sender.test", subject="work to do")
    with dovecot.selected(sieve_client.login, "Work") as imap:
        assert imap.search(None, "ALL")[1] == [b"1"]


async def test_changes_are_pushed(sieve_client: JmapClient) -> None:
    """Who listens hears of new states of both types."""
    await sieve_client.call("SieveScript/get", ids=None)
    url = f"{sieve_client.url}/jmap/eventsource?types=SieveScript,VacationResponse&closeafter=state&ping=0"
    async with sieve_client.http.get(url, headers=sieve_client.headers) as events:
        await create(sieve_client, "mine", "keep;")
        async with asyncio.timeout(10):
            text = (await events.content.read()).decode()
    assert '"SieveScript"' in text
