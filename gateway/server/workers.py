"""`jmap-gateway serve --workers N`: N processes of one gateway that share the port, and the parent that keeps them.

    parent ──socket──▶ worker 0 · worker 1 · …        SO_REUSEPORT: the system spreads connections over them

Without Redis the accounts are partitioned (`partition`) and all workers share gateway.db, which SQLite allows; with
Redis each worker is a node like any other, with a directory of its own.

Rule 1: a worker that ends is replaced; one that cannot even start ends the gateway.
Rule 2: a worker never outlives its parent: the socket between them says so.
Rule 3: at the end workers finish what they have taken from clients first, and what they do for each other last: a
        worker that has no more requests says so, and goes when the parent has heard it of all.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.config import Config
from gateway.config.checks import Listen
from gateway.server.kept import open_vault
from gateway.server.nodes import Seat
from gateway.store.api import StoreError
from gateway.store.sqlite import SqliteStore

RESTART_S = 1.0  # between two starts of a worker
READY, RESTING = b"ready\n", b"resting\n"
CLOSE_S = 15.0  # beyond linger_s and drain_s, until a worker that does not end is killed
LOCK = "workers.lock"
FAILED = 1

log = logging.getLogger(__name__)


def config_of(config: Config, index: int, count: int, port: int) -> Config:
    """Return the configuration of one worker: ports beside each other, a directory of its own where there is Redis."""
    cluster, store = config.cluster, config.store
    if store.redis_url is not None:
        advertised = _beside(cluster.advertise, index) if cluster.advertise is not None else None
        cluster = replace(cluster, listen=_beside(cluster.listen, index), advertise=advertised)
        store = replace(store, data_dir=store.data_dir / f"worker-{index}")
    return replace(
        config,
        http=replace(config.http, listen=Listen(config.http.listen.host, port)),
        admin=replace(config.admin, listen=_beside(config.admin.listen, index)),
        cluster=cluster,
        store=store,
    )


def _beside(listen: Listen, index: int) -> Listen:
    return Listen(listen.host, listen.port + index if listen.port else 0)


# ------------------------------------------------------------ the parent


async def serve_workers(config: Config, count: int, arguments: Sequence[str]) -> int:
    """Keep `count` workers until SIGTERM or SIGINT; return the exit code. `arguments` are those of `serve`."""
    lock = await asyncio.to_thread(_lock, config.store.data_dir)
    try:
        if config.store.redis_url is None:  # the schema and the key file: made once, before anybody shares them
            await (await SqliteStore.open(config.store.data_dir)).close()
            await open_vault(config)
        with _reserved(config.http.listen) as port:
            return await _Parent(config, count, arguments, port.getsockname()[1]).run()
    finally:
        os.close(lock)


@dataclass(slots=True)
class _Worker:
    index: int
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class _Parent:
    def __init__(self, config: Config, count: int, arguments: Sequence[str], port: int) -> None:
        self._config, self._count, self._arguments, self._port = config, count, arguments, port
        self._stopping = asyncio.Event()
        self._workers: dict[int, _Worker] = {}
        self._code = 0
        self._resting: set[int] = set()
        self._all_rest = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stopping.set)
        async with asyncio.TaskGroup() as group:
            for index in range(self._count):
                group.create_task(self._keep(index))
        return self._code

    async def _keep(self, index: int) -> None:
        """Have worker `index` run, until the end."""
        has_run = False
        while True:
            worker = await self._start(index)
            ended = asyncio.create_task(worker.process.wait())
            has_run = await worker.reader.readline() == READY or has_run
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not ended.done():
                await self._stop(worker, ended)
            worker.writer.close()
            code = await ended
            if self._stopping.is_set():
                self._rests(index)
                return
            log.error("a worker has ended", extra={"worker": index, "code": code})
            if not has_run:
                self._code = code if code > 0 else FAILED
                self._stopping.set()
                self._rests(index)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(RESTART_S):
                    await self._stopping.wait()
                self._rests(index)
                return

    async def _start(self, index: int) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.cli",
                *self._arguments,
                "--worker",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is the parent's to pass on
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        seat = {"index": index, "count": self._count, "port": self._port}
        writer.write(json.dumps(seat).encode() + b"\n")
        worker = self._workers[index] = _Worker(index, process, reader, writer)
        log.info("worker", extra={"worker": index, "pid": process.pid})
        return worker

    def _rests(self, index: int) -> None:
        self._resting.add(index)
        if len(self._resting) == self._count:
            self._all_rest.set()

    async def _stop(self, worker: _Worker, ended: asyncio.Task[int]) -> None:
        worker.process.terminate()
        http = self._config.http
        try:
            async with asyncio.timeout(http.linger_s + http.drain_s + CLOSE_S):
                await worker.reader.readline()  # it rests, or has ended
                self._rests(worker.index)
                await self._all_rest.wait()
                worker.writer.close()
                await asyncio.shield(ended)
        except TimeoutError:
            log.error("a worker is killed", extra={"worker": worker.index})
            worker.process.kill()


def _lock(data_dir: Path) -> int:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(f"{data_dir} is in use by another gateway; stop it, or choose another data_dir") from None
    except OSError as error:
        reason = f"{data_dir} cannot be used ({error.strerror}); check its owner and permissions"
        raise StoreError(reason) from None
    return descriptor


def _reserved(listen: Listen) -> socket.socket:
    """Return a socket that is bound and takes nothing: the port is ours while there is no worker."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as asyncio binds it
        bound.bind((listen.host, listen.port))
    except BaseException:
        bound.close()
        raise
    return bound


# ------------------------------------------------------------ a worker


async def take_seat(descriptor: int, config: Config, stopping: asyncio.Event) -> tuple[Config, Seat]:
    """Return what the parent says to this worker; `stopping` is set when the parent goes."""
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
    told = json.loads(await reader.readline())
    parent_gone = asyncio.create_task(reader.read())
    parent_gone.add_done_callback(lambda _task: stopping.set())

    async def rest() -> None:
        writer.write(RESTING)
        await asyncio.wait([parent_gone], timeout=config.http.drain_s)
        writer.close()

    seat = Seat(told["index"], told["count"], lambda: writer.write(READY), rest)
    return config_of(config, seat.index, seat.count, told["port"]), seat
