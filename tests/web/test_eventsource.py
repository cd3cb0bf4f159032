"""The event source, read as a client reads it: line by line."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.account.account import Account
from gateway.auth import Tickets
from gateway.web import eventsource
from gateway.web.streams import Streams
from tests.push.accounts import deliver, opened, rename, state, watchers
from tests.web.conftest import BASIC, WRONG, Client, MakeClient, Parts

URL = "/jmap/eventsource?types={types}&closeafter={closeafter}&ping={ping}"
SOON_S = 5.0


@pytest.fixture
async def account(parts: Parts, tmp_path: Path) -> AsyncIterator[Account]:
    async with opened(tmp_path / "a.db") as account:
        parts.accounts = {"A1": account}
        yield account


class Events:
    """An event stream as HTML's section 9.2.6 interprets it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self, timeout_s: float = SOON_S) -> tuple[str, Any]:
        """Return the next event's name and data; raise `EOFError` at the end."""
        event, data = "", ""
        async with asyncio.timeout(timeout_s):
            async for line in self.response.content:
                assert b"\r" not in line
                text = line.decode().removesuffix("\n")
                if not text and data:
                    return event, json.loads(data)
                name, _, value = text.partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    data += value
                elif name == "id":
                    self.last_id = value
        raise EOFError

    async def opened(self) -> None:
        """Read what comes before the first event."""
        async with asyncio.timeout(SOON_S):
            async for line in self.response.content:
                if line.startswith(b"id: "):
                    self.last_id = line[4:].decode().strip()
                if line == b"\n":
                    return


@asynccontextmanager
async def stream(
    client: Client,
    types: str = "*",
    closeafter: str = "no",
    ping: str = "0",
    headers: dict[str, str] | None = None,
    more: str = "",
) -> AsyncIterator[Events]:
    url = URL.format(types=types, closeafter=closeafter, ping=ping) + more
    async with client.get(url, headers=BASIC if headers is None else headers) as response:
        assert response.status == 200, await response.text()
        events = Events(response)
        await events.opened()
        yield events


async def test_the_stream_begins_at_once(client: Client, account: Account) -> None:
    """200, the type, and octets, while nothing has changed; nobody on the way may keep or buffer it."""
    async with asyncio.timeout(SOON_S), client.get(URL.format(types="*", closeafter="no", ping=0), headers=BASIC) as r:
        assert r.status == 200
        assert r.headers["Content-Type"] == "text/event-stream"
        assert "no-store" in r.headers["Cache-Control"]
        assert r.headers["X-Accel-Buffering"] == "no"
        assert r.headers["Access-Control-Allow-Origin"] == "*"
        assert await r.content.readline() == b": open\n"


@pytest.mark.parametrize("types", ["*", "%2A", "Email,Mailbox", "Email%2CMailbox"])
async def test_a_change_is_an_event(client: Client, account: Account, types: str) -> None:
    """`state` with a StateChange, however the types are encoded in the URL."""
    async with stream(client, types) as events:
        await rename(account, "Other")
        name, data = await events.next()
        assert name == "state"
        assert data == {"@type": "StateChange", "changed": {"A1": {"Mailbox": state(account, "Mailbox")}}}
        assert events.last_id


async def test_only_the_types_asked_for_are_told(client: Client, account: Account) -> None:
    """A Mailbox that is renamed is nothing to who listens for Email."""
    async with stream(client, "Email") as events:
        await rename(account, "Other")
        await deliver(account, 1)
        _, data = await events.next()
        assert data["changed"] == {"A1": {"Email": state(account, "Email")}}


async def test_it_ends_after_a_state_if_asked_to(client: Client, account: Account) -> None:
    """`closeafter=state`: the response ends whole, and the account is not watched any more."""
    async with stream(client, closeafter="state") as events:
        assert watchers(account) == 1
        await rename(account, "Other")
        await events.next()
        with pytest.raises(EOFError):
            await events.next()
    assert watchers(account) == 0


async def test_who_comes_back_hears_once_what_it_missed(client: Client, account: Account) -> None:
    """By Last-Event-ID: what changed since, not what did not, and not again."""
    async with stream(client) as events:
        await rename(account, "Other")
        await events.next()
        seen = events.last_id
    await rename(account, "Third")
    async with stream(client, headers={**BASIC, "Last-Event-ID": seen}) as events:
        _, data = await events.next()
        assert data["changed"] == {"A1": {"Mailbox": state(account, "Mailbox")}}
        seen = events.last_id
    async with stream(client, headers={**BASIC, "Last-Event-ID": seen}) as events:
        with pytest.raises(TimeoutError):
            await events.next(0.2)


async def test_who_lost_the_connection_before_the_first_event_has_an_id(client: Client, account: Account) -> None:
    """The stream begins with an id, so that nothing is missed between two connections."""
    async with stream(client) as events:
        first = events.last_id
    assert first
    await rename(account, "Other")
    async with stream(client, headers={**BASIC, "Last-Event-ID": first}) as events:
        _, data = await events.next()
        assert set(data["changed"]["A1"]) == {"Mailbox"}


async def test_a_foreign_event_id_is_told_everything_once(client: Client, account: Account) -> None:
    """An id of another server, or of an index that was lost, costs one event too many and never one too few."""
    async with stream(client, headers={**BASIC, "Last-Event-ID": "from elsewhere"}) as events:
        _, data = await events.next()
        assert set(data["changed"]["A1"]) >= {"Email", "Thread", "Mailbox"}


async def test_pings_tell_the_interval_in_use(
    client: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clamped by the server, told as it is, without an id."""
    monkeypatch.setattr(eventsource, "MIN_PING_S", 1)
    monkeypatch.setattr(eventsource, "LOOK_S", 0.1)
    async with stream(client, ping="1") as events:
        seen = events.last_id
        began = time.monotonic()
        assert await events.next() == ("ping", {"interval": 1})
        assert 0.9 < time.monotonic() - began < 1.9
        assert events.last_id == seen


@pytest.mark.parametrize(
    ("asked", "used"), [("0", 0), ("1", 10), ("9", 10), ("60", 60), ("300", 300), ("999999999", 900), ("", 300)]
)
def test_the_interval_is_clamped(asked: str, used: int) -> None:
    """The minimum is at most 30 and the maximum at least 300 (RFC 8620 section 7.3); 0 is none."""
    assert eventsource.parse_query({"types": "*", "closeafter": "no", "ping": asked}).ping_s == used


async def test_without_ping_nothing_is_sent(client: Client, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ping=0`: a quiet stream is quiet."""
    monkeypatch.setattr(eventsource, "LOOK_S", 0.05)
    async with stream(client, ping="0") as events:
        with pytest.raises(TimeoutError):
            await events.next(0.4)


@pytest.mark.parametrize(
    "query", ["types={types}", "types=Em%20ail", "types=*&closeafter=maybe", "types=*&ping=-1", "types=*&ping=soon"]
)
async def test_a_malformed_url_is_refused(client: Client, account: Account, query: str) -> None:
    """400 with the variable that is wrong, not a stream that tells nothing."""
    async with client.get(f"/jmap/eventsource?{query}", headers=BASIC) as response:
        assert response.status == 400
        assert "event source is malformed" in (await response.json(content_type=None))["detail"]


async def test_it_needs_credentials(client: Client, account: Account) -> None:
    """401 with CORS headers: a page must be able to read why."""
    for headers in ({}, WRONG):
        async with client.get("/jmap/eventsource?types=*", headers=headers) as response:
            assert response.status == 401
            assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_client_that_goes_is_noticed(client: Client, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when nothing changes and no ping is sent, its account stops being watched."""
    monkeypatch.setattr(eventsource, "LOOK_S", 0.05)
    async with stream(client) as events:
        assert watchers(account) == 1
        events.response.close()
        async with asyncio.timeout(SOON_S):
            while watchers(account):  # noqa: ASYNC110  # nobody tells a test
                await asyncio.sleep(0.02)


async def test_a_client_that_does_not_read_is_hung_up_on(
    client: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs a buffer until then, and no more."""
    monkeypatch.setattr(eventsource, "SEND_TIMEOUT_S", 0.3)
    monkeypatch.setattr(eventsource, "BUFFER_OCTETS", 1)
    monkeypatch.setattr("gateway.push.bus.SPACING_S", 0.0)
    monkeypatch.setattr(eventsource, "state_event", lambda _changed, _id: b"data: " + b"x" * 1_000_000 + b"\n\n")
    reader, writer = await asyncio.open_connection(client.host, client.port, limit=1024)
    head = "".join(f"{name}: {value}\r\n" for name, value in BASIC.items())
    writer.write(f"GET /jmap/eventsource?types=*&ping=0 HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    await reader.readline()
    async with asyncio.timeout(20):
        uid = 0
        while watchers(account) or not uid:
            uid += 1
            await deliver(account, uid)
            await asyncio.sleep(0.02)
    writer.close()


async def test_a_stop_ends_streams_at_once(client: Client, account: Account, parts: Parts) -> None:
    """The gateway does not wait for a client to go, and a new stream is told to come later."""
    async with stream(client) as events:
        began = time.monotonic()
        parts.site.streams.end_all()
        with pytest.raises(EOFError):
            await events.next()
        assert time.monotonic() - began < 1
        async with client.get("/jmap/eventsource?types=*", headers=BASIC) as response:
            assert response.status == 503


async def test_a_refused_login_ends_its_streams(client: Client, account: Account, parts: Parts) -> None:
    """Whose password has been changed hears no more."""
    async with stream(client) as events:
        caller = parts.account_id
        parts.site.streams.end("somebody else")
        with pytest.raises(TimeoutError):
            await events.next(0.1)
        parts.site.streams.end(caller)
        with pytest.raises((EOFError, aiohttp.ClientError)):
            await events.next()


async def test_an_account_has_so_many_streams(make_client: MakeClient, account: Account) -> None:
    """The next one is refused until one has gone."""
    client = await make_client(streams=Streams(max_of_an_account=1))
    async with stream(client, closeafter="state") as events:
        async with client.get("/jmap/eventsource?types=*", headers=BASIC) as response:
            assert response.status == 429
        await rename(account, "Other")
        await events.next()
        with pytest.raises(EOFError):
            await events.next()
    async with stream(client):
        pass


# ---------------------------------------------------------------- tickets


def tickets(**options: Any) -> Tickets:
    return Tickets(b"k" * 32, **options)


async def test_a_ticket_opens_the_event_source(make_client: MakeClient, parts: Parts, account: Account) -> None:
    """A browser's EventSource sends no Authorization; it follows the Session's URL, which carries the ticket."""

    async def opened_here(_account_id: str) -> dict[str, Account]:
        return {"A1": account}

    client = await make_client(tickets=tickets(), opened=opened_here)
    async with client.get("/.well-known/jmap", headers=BASIC) as response:
        session = await response.json()
    more = "&" + session["eventSourceUrl"].partition("ping={ping}&")[2]
    assert more.startswith("&ticket=")
    async with stream(client, headers={}, more=more) as events:
        await rename(account, "Other")
        name, _ = await events.next()
        assert name == "state"


async def test_a_ticket_is_good_for_nothing_else(make_client: MakeClient, parts: Parts, account: Account) -> None:
    """No other URL takes one."""
    client = await make_client(tickets=tickets())
    async with client.get("/.well-known/jmap", headers=BASIC):
        pass
    ticket = tickets().issue(parts.account_id)
    for method, path in (("GET", "/.well-known/jmap"), ("POST", "/jmap/api"), ("GET", "/jmap/download/A1/b/n")):
        async with client.request(method, f"{path}?ticket={ticket}") as response:
            assert response.status == 401, path


@pytest.mark.parametrize(
    "ticket", ["", "x", "AAAA", tickets().issue("A1")[:-1] + "!", "A" * 300], ids=["none", "x", "short", "cut", "long"]
)
async def test_a_false_ticket_is_refused(make_client: MakeClient, account: Account, ticket: str) -> None:
    """401, as for wrong credentials."""
    client = await make_client(tickets=tickets())
    async with client.get(f"/jmap/eventsource?types=*&ticket={ticket}") as response:
        assert response.status == 401


async def test_tickets_can_be_turned_off(client: Client, account: Account) -> None:
    """Then the Session's URL carries none, and one given out before is refused."""
    async with client.get("/.well-known/jmap", headers=BASIC) as response:
        assert "ticket" not in (await response.json())["eventSourceUrl"]
    async with client.get(f"/jmap/eventsource?types=*&ticket={tickets().issue('A1')}") as response:
        assert response.status == 401


async def test_a_ticket_of_an_account_that_is_not_open_waits(make_client: MakeClient) -> None:
    """After a restart nobody has the credentials: a browser is asked to come back, for it takes 401 for final."""
    client = await make_client(tickets=tickets())
    async with client.get(f"/jmap/eventsource?types=*&ticket={tickets().issue('A1')}") as response:
        assert response.status == 200
        assert "retry: 10000\n" in await response.text()


async def test_a_stream_ends_with_its_ticket(make_client: MakeClient, account: Account) -> None:
    """It lasts no longer than what opened it."""

    async def opened_here(_account_id: str) -> dict[str, Account]:
        return {"A1": account}

    client = await make_client(tickets=tickets(), opened=opened_here)
    ticket = tickets(lifetime_s=2).issue("A1")
    async with stream(client, headers={}, more=f"&ticket={ticket}") as events:
        with pytest.raises(EOFError):
            await events.next()
