"""The gateway is killed during a bulk move: every message is in exactly one place afterwards.

What is guaranteed on which tier: with MOVE the upstream moves each message whole, so it is in exactly one place.
Without it there is a moment between COPY and EXPUNGE when a message is in both: then it is in at least one, never lost,
and the same change made again leaves it in the target alone, once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.account.backend import EmailChange
from tests.sync.conftest import OpenAccount
from tests.sync.writes.conftest import ALL, fill, ids_by_subject, mailbox_ids, make, subjects
from tests.upstreams.upstream import Upstream

pytestmark = [pytest.mark.upstream, pytest.mark.slow, pytest.mark.timeout(300)]

MESSAGES = 1_000
REPOSITORY = Path(__file__).resolve().parents[3]
DELAYS_S = (0.0, 0.05, 0.2)  # from the start of the move to the kill


@pytest.mark.parametrize("tier", ["dovecot", "dovecot_uidplus", "dovecot_bare"])
async def test_killed_during_a_move_of_a_thousand(
    tier: str, request: pytest.FixtureRequest, open_account: OpenAccount, tmp_path: Path
) -> None:
    """Wherever the kill falls, and again after a later run."""
    server: Upstream = request.getfixturevalue(tier)
    login = server.fresh_login()
    (one,) = make(server, login, "One")
    fill(server, login, MESSAGES)
    everything = {f"m{n}": 1 for n in range(MESSAGES)}
    from_box, to_box = "INBOX", one
    for delay_s in DELAYS_S:
        _move_and_kill(server, login, tmp_path / "killed.db", from_box, to_box, delay_s)
        source, target = subjects(server, login, from_box), subjects(server, login, to_box)
        assert set(source | target) == set(everything), "lost"
        if tier == "dovecot":
            assert source + target == everything, f"doubled by a kill after {delay_s} s"
        assert max([*source.values(), *target.values()]) == 1
        account = await open_account(server, login, index=f"later{delay_s}")
        await account.fresh(ALL)
        ids, boxes = ids_by_subject(account), mailbox_ids(account)
        change = {"add_mailboxes": frozenset({boxes[to_box]}), "remove_mailboxes": frozenset({boxes[from_box]})}
        assert await account.backend.change_emails([EmailChange(email_id=id, **change) for id in ids.values()]) == {}
        assert subjects(server, login, from_box) == {}
        assert subjects(server, login, to_box) == everything
        await account.aclose()
        from_box, to_box = to_box, from_box


def _move_and_kill(server: Upstream, login: str, index: Path, from_box: str, to_box: str, delay_s: float) -> None:
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.sync.writes.mover"),
            *(server.host, str(server.ports["imap"]), login, server.password, str(index), from_box, to_box),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"moving\n"
    time.sleep(delay_s)
    child.kill()
    child.wait()
    time.sleep(0.5)  # the server finishes the command it has read
