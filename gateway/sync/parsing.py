"""FETCH responses of a first indexing become what the index takes, in a process beside the gateway.

That is half the work of a first indexing, and pure Python: done here it would hold up the event loop, and the thread
that writes the index.

Rule 1: octets go over and plain values come back; the process knows no account and keeps nothing.
Rule 2: without the process (not started yet, or it died) the work is done here, in slices: it is never waited for.
Rule 3: a response that makes no sense costs itself, as everywhere.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import marshal
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from gateway.account.records import NewMessage
from gateway.sync.identity import Identity, reader
from gateway.upstream.imap import parse_message

MAX_PROCESSES = max(1, (os.cpu_count() or 1) // 2)  # of all accounts; the other half writes, and serves
WORTH_SENDING = 200  # responses: with fewer the way there and back costs more than the loop can bear
SLICE = 50  # responses: two milliseconds of the event loop
MARSHAL_VERSION = 2  # without references to what was there before, which take longer than they save
GC_THRESHOLD = 200_000  # a window leaves no cycles
NICENESS = 5  # whoever waits for an answer goes first

_log = logging.getLogger(__name__)


class _Parser:
    """The processes of this gateway."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._warm: Future[None] | None = None

    @property
    def is_ready(self) -> bool:
        warm = self._warm
        return warm is not None and warm.done() and not warm.cancelled() and warm.exception() is None

    def start(self) -> None:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                MAX_PROCESSES, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
            )
            self._warm = self._pool.submit(_nothing)

    async def wait_until_ready(self) -> None:
        self.start()
        assert self._warm is not None
        await asyncio.wait([asyncio.wrap_future(self._warm)])

    def stop(self) -> None:
        pool, self._pool, self._warm = self._pool, None, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    async def read(self, identity: Identity, responses: Sequence[bytes]) -> list[NewMessage]:
        assert self._pool is not None
        packed: bytes = await asyncio.get_running_loop().run_in_executor(
            self._pool, _read, identity.name, list(responses)
        )
        return list(map(NewMessage._make, marshal.loads(packed)))


_parser = _Parser()
start, stop, wait_until_ready = _parser.start, _parser.stop, _parser.wait_until_ready


async def read_messages(identity: Identity, responses: Sequence[bytes]) -> list[NewMessage]:
    """Read whole responses to a FETCH of `identity.light_items`, in their order; those without sense are left out."""
    if len(responses) >= WORTH_SENDING:
        _parser.start()
        if _parser.is_ready:
            try:
                return await _parser.read(identity, responses)
            except BrokenProcessPool:  # killed, most likely for memory: the next window begins a new one
                _log.warning("the parsing process died")
                _parser.stop()
    messages: list[NewMessage] = []
    for at in range(0, len(responses), SLICE):
        messages += _read_here(identity, responses[at : at + SLICE])
        await asyncio.sleep(0)
    return messages


def _read_here(identity: Identity, responses: Sequence[bytes]) -> list[NewMessage]:
    read = reader(identity)
    return [read(message) for response in responses if (message := parse_message(response)) is not None]


# ---------------------------------------------------------------- in the process


def _begin() -> None:
    """Live as long as the gateway, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    gc.set_threshold(GC_THRESHOLD)
    threading.Thread(target=_end_with_the_gateway, daemon=True).start()


def _end_with_the_gateway() -> None:
    gateway = multiprocessing.parent_process()
    if gateway is not None:
        gateway.join()
        os._exit(0)


def _nothing() -> None:
    """Be imported and started."""


def _read(identity: str, responses: Sequence[bytes]) -> bytes:
    return marshal.dumps([tuple(one) for one in _read_here(Identity[identity], responses)], MARSHAL_VERSION)
