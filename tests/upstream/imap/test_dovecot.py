"""Every verb against a real Dovecot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.secret import Secret
from gateway.upstream.imap import (
    CommandNo,
    Connection,
    Endpoint,
    Event,
    Exists,
    Message,
    PasswordCredentials,
    SectionMissing,
    StatusChanged,
    Vanished,
)
from gateway.upstream.imap.commands.append import Append
from gateway.upstream.imap.commands.copy import Copy, Move
from gateway.upstream.imap.commands.create import Create
from gateway.upstream.imap.commands.delete import Delete
from gateway.upstream.imap.commands.expunge import ExpungeAll, UidExpunge
from gateway.upstream.imap.commands.getquota import GetQuotaRoot
from gateway.upstream.imap.commands.notify import Notify
from gateway.upstream.imap.commands.rename import Rename
from gateway.upstream.imap.commands.store import Store
from gateway.upstream.imap.commands.subscribe import Subscribe, Unsubscribe
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream

MESSAGE = b"From: a@example.com\r\nSubject: caf\xc3\xa9 (\r\nMessage-ID: <%d@x>\r\n\r\nhello %d\r\n"


async def connect(server: Upstream, login: str) -> Connection:
    endpoint = Endpoint("localhost", server.ports["imaps"], ca_file=str(server.ca_file))
    return await Connection.open(endpoint, PasswordCredentials(login, Secret(server.password)))


@pytest.fixture
async def login(dovecot: Upstream) -> str:
    return dovecot.fresh_login()


@pytest.fixture
async def connection(dovecot: Upstream, login: str) -> AsyncIterator[Connection]:
    opened = await connect(dovecot, login)
    yield opened
    await opened.logout()


async def fill(connection: Connection, name: str, count: int) -> None:
    for number in range(count):
        message = MESSAGE % (number, number)
        await connection.run(Append(name, message, octets=len(message), flags=["\\Seen"], internaldate_s=1_700_000_000))


async def uids_and_flags(connection: Connection) -> dict[int, tuple[str, ...]]:
    got: dict[int, tuple[str, ...]] = {}
    await connection.fetch("1:*", "UID FLAGS", on_message=lambda m: got.update({m.uid: m.flags}))
    return got


async def test_first_contact(connection: Connection) -> None:
    """One round trip tells mailboxes, roles, subscriptions and counters; what Dovecot has not is not asked."""
    await fill(connection, "INBOX", 2)
    assert {"QRESYNC", "CONDSTORE"} <= connection.enabled
    assert connection.offers_guid
    entries = await connection.list_mailboxes(
        returns=["SPECIAL-USE", "SUBSCRIBED", "MYRIGHTS"],
        status=["MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ", "X-GUID", "MAILBOXID", "SIZE"],
    )
    by_name = {entry.name: entry for entry in entries}
    assert "\\sent" in by_name["Sent"].attributes
    status = by_name["INBOX"].status
    assert status is not None
    assert (status["MESSAGES"], status["UNSEEN"], status["UIDNEXT"]) == (2, 0, 3)
    assert isinstance(status["X-GUID"], str)
    assert (await connection.namespaces()).personal[0].delimiter == "/"


async def test_fetch_everything(connection: Connection) -> None:
    """The light index, details and sections of the same messages."""
    await fill(connection, "INBOX", 3)
    selected = await connection.select("INBOX")
    assert (selected.exists, selected.uidnext, selected.read_only) == (3, 4, True)
    got: list[Message] = []
    items = "UID FLAGS MODSEQ INTERNALDATE RFC822.SIZE X-GUID BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)] BINARY.SIZE[1]"
    await connection.fetch("1:*", items + " PREVIEW BODYSTRUCTURE", on_message=got.append)
    assert [message.uid for message in got] == [1, 2, 3]
    first = got[0]
    assert "\\Seen" in first.flags
    assert (first.internaldate_s, first.size) == (1_700_000_000, len(MESSAGE % (0, 0)))
    assert first.modseq
    assert first.x_guid
    assert first.preview == "hello 0"
    assert first.binary_sizes == {"1": 9}
    assert (first.sections["HEADER.FIELDS"] or b"").startswith(b"From: a@example.com\r\nSubject: caf\xc3\xa9 (")
    structure = first.structure()
    assert structure is not None
    assert (structure.content_type, structure.section, structure.octets) == ("text/plain", "1", 9)
    chunks: list[bytes] = []
    assert await connection.fetch_section(2, "TEXT", sink=chunks.append) == 9
    assert await connection.fetch_section(2, "", sink=chunks.append, partial=(0, 5)) == 5
    assert chunks == [b"hello 1\r\n", b"From:"]
    with pytest.raises(SectionMissing):
        await connection.fetch_section(99, "", sink=chunks.append)
    assert await connection.search(["SUBJECT", "café".encode()]) == [(1, 3)]
    assert await connection.search(["TEXT", b'no "such" thing\\']) == []
    assert await connection.search(["UID", "2:3", "NOT", "DELETED"]) == [(2, 3)]


async def test_large_message_through_both_ways(connection: Connection) -> None:
    """12 MB up from a source and down to a sink, octet for octet."""
    size = 12 << 20

    async def source() -> AsyncIterator[bytes]:
        yield b"Subject: big\r\n\r\n"
        for _ in range((size - 16) // 48):
            yield b"0123456789abcdef0123456789abcdef0123456789abcd\r\n"

    octets = 16 + (size - 16) // 48 * 48
    appended = await connection.run(Append("INBOX", source(), octets=octets))
    assert appended.uid == 1
    await connection.select("INBOX")
    got = 0

    async def sink(chunk: bytes) -> None:
        nonlocal got
        got += len(chunk)
        await asyncio.sleep(0)

    assert await connection.fetch_section(1, "", sink=sink) == octets == got


async def test_flags_and_what_others_do(dovecot: Upstream, login: str, connection: Connection) -> None:
    """STORE tells the new flags and MODSEQ; another connection hears of it by NOOP, IDLE and QRESYNC."""
    await fill(connection, "INBOX", 4)
    other = await connect(dovecot, login)
    before = await other.select("INBOX")
    heard: asyncio.Queue[Event] = asyncio.Queue()
    other.on_unsolicited = heard.put_nowait
    start = (before.uidvalidity or 0, before.highestmodseq, None)

    await connection.select("INBOX", read_only=False)
    changed: list[Message] = []
    stored = await connection.run(Store("1:2", "+", ["\\Flagged", "$work"], on_message=changed.append))
    assert stored.uids == [1, 2]
    assert changed[0].modseq > before.highestmodseq
    conflict = await connection.run(Store("1", "-", ["$work"], unchanged_since=1))
    assert conflict.modified == [(1, 1)]
    await connection.run(Store("4", "+", ["\\Deleted"]))
    assert await connection.run(UidExpunge("1:4")) == [(4, 4)]
    assert connection.selected is not None
    assert connection.selected.exists == 3

    await other.noop()
    events = [heard.get_nowait() for _ in range(heard.qsize())]
    assert Vanished([(4, 4)]) in events
    assert {event.uid for event in events if isinstance(event, Message)} >= {1, 2}
    assert other.selected is not None
    assert other.selected.exists == 3

    idling = asyncio.create_task(other.idle(heard.put_nowait))
    await asyncio.sleep(0.1)
    await fill(connection, "INBOX", 1)
    async with asyncio.timeout(10):
        while not isinstance(await heard.get(), Exists):
            pass
    idling.cancel()

    again = await other.select("INBOX", qresync=start)
    assert (4, 4) in again.vanished
    assert {message.uid for message in again.fetched} >= {1, 2, 5}
    since: list[Message] = []
    gone = await other.fetch("1:*", "UID FLAGS", changed_since=start[1], vanished=True, on_message=since.append)
    assert (gone, {message.uid for message in since}) == ([(4, 4)], {1, 2, 5})
    await other.logout()


async def test_copy_move_expunge(connection: Connection) -> None:
    """COPYUID says where everything went; MOVE keeps the counters right."""
    await fill(connection, "INBOX", 4)
    await connection.select("INBOX", read_only=False)
    copied = await connection.run(Copy("1,3", "Archive"))
    assert (copied.uids, copied.new_uids) == ((1, 3), (1, 2))
    moved = await connection.run(Move("2", "Archive"))
    assert (moved.uids, moved.new_uids) == ((2,), (3,))
    assert connection.selected is not None
    assert connection.selected.exists == 3
    await connection.run(Store("1", "+", ["\\Deleted"]))
    await connection.run(ExpungeAll())
    assert set(await uids_and_flags(connection)) == {3, 4}
    with pytest.raises(CommandNo) as missing:
        await connection.run(Copy("3", "nowhere"))
    assert missing.value.code == "TRYCREATE"


async def test_mailboxes(connection: Connection) -> None:
    """Names in any script are created, renamed, subscribed to, selected and deleted."""
    name = 'Entwürfe & 台北 💌 "q" \\'
    await connection.run(Create(name))
    await connection.run(Rename(name, f"{name}2"))
    await connection.run(Subscribe(f"{name}2"))
    entries = {entry.name: entry for entry in await connection.list_mailboxes(returns=["SUBSCRIBED"])}
    assert "\\subscribed" in entries[f"{name}2"].attributes
    assert (await connection.select(f"{name}2")).exists == 0
    await connection.unselect()
    assert connection.selected is None
    await connection.run(Unsubscribe(f"{name}2"))
    await connection.run(Delete(f"{name}2"))
    with pytest.raises(CommandNo):
        await connection.select(f"{name}2")
    assert connection.selected is None


async def test_notify(dovecot: Upstream, login: str, connection: Connection) -> None:
    """A mailbox that is not selected tells of its change."""
    other = await connect(dovecot, login)
    heard: asyncio.Queue[Event] = asyncio.Queue()
    other.on_unsolicited = heard.put_nowait
    await other.run(Notify())
    await fill(connection, "Archive", 1)
    async with asyncio.timeout(10):
        while True:
            event = await heard.get()
            if isinstance(event, StatusChanged) and event.name == "Archive" and event.items.get("MESSAGES"):
                break
    await other.logout()


async def test_quota(connection: Connection) -> None:
    """Roots and their numbers, where the server has any."""
    if "QUOTA" in connection.capabilities:
        for root in await connection.run(GetQuotaRoot("INBOX")):
            assert all(used <= limit for used, limit in root.resources.values())


async def test_hundred_at_once(connection: Connection) -> None:
    """A hundred calls in flight on one connection all get their own answer."""
    await fill(connection, "INBOX", 20)
    await connection.select("INBOX")
    chunks: dict[int, list[bytes]] = {}

    async def one(number: int) -> None:
        uid = number % 20 + 1
        if number % 3 == 0:
            assert await connection.search(["UID", str(uid)]) == [(uid, uid)]
        elif number % 3 == 1:
            got: list[Message] = []
            await connection.fetch(str(uid), "UID RFC822.SIZE", on_message=got.append)
            assert [message.uid for message in got] == [uid]
        else:
            sink = chunks.setdefault(number, [])
            await connection.fetch_section(uid, "TEXT", sink=sink.append)
            assert b"".join(sink) == b"hello %d\r\n" % (uid - 1)

    await asyncio.gather(*(one(number) for number in range(100)))
