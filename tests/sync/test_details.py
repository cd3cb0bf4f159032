"""Body structures and sizes that several load at the same time. On a real server."""

from __future__ import annotations

import asyncio
from base64 import encodebytes

import pytest

from gateway.account.records import EmailDetail, Need
from gateway.sync import details
from gateway.sync.imap_backend import ImapBackend
from gateway.sync.link import Link
from gateway.sync.places import Place
from tests.sync.conftest import OpenAccount
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream

OCTETS = 1000
MESSAGE = (
    b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + encodebytes(b"y" * OCTETS).replace(b"\n", b"\r\n")
)


async def test_who_comes_late_takes_no_size_away(
    dovecot: Upstream, open_account: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The background has read a structure, and before it is written down a request has one with its sizes."""
    load, has_read, may_write = details._load, asyncio.Event(), asyncio.Event()

    async def first_waits(link: Link, place: Place) -> list[EmailDetail]:
        found = await load(link, place)
        if not has_read.is_set():
            has_read.set()
            await may_write.wait()
        return found

    monkeypatch.setattr(details, "_load", first_waits)
    login = dovecot.fresh_login()
    dovecot.append(login, MESSAGE)
    account = await open_account(dovecot, login)
    backend = account.backend
    assert isinstance(backend, ImapBackend)
    await account.fresh(Need(everything=True))
    backend._schedule.wake()
    await has_read.wait()
    with account.snapshot() as snapshot:
        (id,) = snapshot.email_ids(10)
    await backend.load_details([id])
    await backend.load_sizes([id])
    may_write.set()
    assert backend._schedule._background is not None
    await backend._schedule._background
    with account.snapshot() as snapshot:
        structure = snapshot.emails([id], with_structure=True)[id].structure
    assert structure is not None
    assert structure.decoded_octets == OCTETS
