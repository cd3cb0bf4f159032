"""What a first indexing reads, here and in the process beside the gateway."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest

from gateway.sync import parsing
from gateway.sync.identity import Identity
from gateway.sync.parsing import WORTH_SENDING, read_messages

HEADER = b"Message-ID: <%d@x>\r\nReferences: <root@x>\r\n <%d@x>\r\nSubject: Re: plan\r\n\r\n"


def response(uid: int) -> bytes:
    """A FETCH response as Dovecot answers `light_items`."""
    header = HEADER % (uid, uid - 1)
    return (
        b'* %d FETCH (UID %d FLAGS (\\Seen $x) MODSEQ (7) INTERNALDATE "24-Nov-2026 05:05:05 +0000" RFC822.SIZE 99'
        b" X-GUID g%d BODY[HEADER.FIELDS (DATE FROM)] {%d}\r\n%b)" % (uid, uid, uid, len(header), header)
    )


RESPONSES = [response(uid) for uid in range(1, WORTH_SENDING + 100)]


@pytest.fixture
async def beside() -> AsyncIterator[None]:
    """The process, ready for work; gone afterwards."""
    await parsing.wait_until_ready()
    yield
    parsing.stop()


async def test_here_and_beside_are_the_same(beside: None) -> None:
    """The process reads what the gateway itself would: every field, in the order of the responses."""
    there = await read_messages(Identity.GUID, RESPONSES)
    parsing.stop()
    here = await read_messages(Identity.GUID, RESPONSES)
    assert there == here
    assert [message.uid for message in there] == list(range(1, len(RESPONSES) + 1))
    assert len({message.thread_id for message in there}) == 1
    assert there[0].header == HEADER % (1, 0)


async def test_a_response_without_sense_costs_itself(beside: None) -> None:
    """What cannot be read is left out, and the rest is read."""
    messages = await read_messages(Identity.GUID, [b"* 1 FETCH (UID 1 FLAGS (", *RESPONSES])
    assert len(messages) == len(RESPONSES)


async def test_the_process_is_killed(beside: None) -> None:
    """A process that dies in its work loses nothing: the window is read here, the next one by a new process."""
    pool = parsing._parser._pool
    assert pool is not None
    (victim,) = pool._processes
    os.kill(victim, signal.SIGKILL)
    assert len(await read_messages(Identity.GUID, RESPONSES)) == len(RESPONSES)
    await parsing.wait_until_ready()
    assert len(await read_messages(Identity.GUID, RESPONSES)) == len(RESPONSES)


@pytest.mark.parametrize("identity", Identity)
async def test_every_identity_gives_ids_and_threads(identity: Identity) -> None:
    """Whatever the upstream tells of a message, it has an id and a Thread."""
    for message in await read_messages(identity, RESPONSES[:3]):
        assert message.email_id.startswith("M")
        assert message.thread_id is not None
        assert message.thread_id.startswith("T")
