"""EXPUNGE says OK and removes nothing: what Dovecot 2.3 does when another connection expunges at that moment."""

from __future__ import annotations

import pytest

from gateway.sync.writes.expunging import Debts, remove
from tests.upstream.imap.scripted import CAPABILITIES, SELECTED, Peer, connect, serve

FLAGGED = b"* 2 FETCH (UID 2 FLAGS (\\Deleted))\r\n"


@pytest.mark.parametrize("has_qresync", [True, False], ids=["qresync", "uidplus"])
async def test_a_message_that_expunge_passes_over_is_expunged_again(*, has_qresync: bool) -> None:
    """It was flagged, EXPUNGE said OK, and it is still there."""

    async def script(peer: Peer) -> None:
        await peer.greet(CAPABILITIES + b" UIDPLUS CONDSTORE" + (b" ENABLE QRESYNC" if has_qresync else b""))
        if has_qresync:
            await peer.answer(b"ENABLE", b"* ENABLED QRESYNC\r\n")
        await peer.answer(b"SELECT", SELECTED, b"OK [READ-WRITE] done")
        await peer.answer(b"UID STORE 2 +FLAGS", FLAGGED)
        await peer.answer(b"UID EXPUNGE 2", b"* VANISHED 3\r\n" if has_qresync else b"* 3 EXPUNGE\r\n")
        if not has_qresync:
            await peer.answer(b"UID FETCH 2 (UID FLAGS)", FLAGGED)
        await peer.answer(b"SELECT", SELECTED, b"OK [READ-WRITE] done")
        await peer.answer(b"UID FETCH 2 (UID FLAGS", FLAGGED)
        await peer.answer(b"UID STORE 2 +FLAGS")
        await peer.answer(b"UID EXPUNGE 2", b"* VANISHED 2\r\n" if has_qresync else b"* 2 EXPUNGE\r\n")
        if not has_qresync:
            await peer.answer(b"UID FETCH 2 (UID FLAGS)")
        await peer.answer(b"LOGOUT")

    async with serve(script) as server:
        connection = await connect(server.endpoint)
        await connection.select("INBOX", read_only=False)
        removal = await remove(connection, {2}, Debts())
        assert (removal.gone, removal.left, removal.refused) == ({2}, set(), None)
        await connection.logout()
