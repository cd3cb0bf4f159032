"""This process as one of several: which accounts are its own, how the others reach it, and how it stops.

Rule 1: it stops in an order that no client notices: no new connections; requests under way, at other nodes' behest too,
        are finished; accounts are handed over; and only when the others know that does it stop listening to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config import Config
from gateway.metrics import Metrics
from gateway.server.ownership import KNOWN_S, Ownership
from gateway.server.partition import Partition
from gateway.server.stores import Shared
from gateway.server.work import AccountWork
from gateway.store.api import Lease
from gateway.web.app import make_app
from gateway.web.forward import Forwarder
from gateway.web.hop import HopSeal
from gateway.web.listener import Listener, SocketListener
from gateway.web.site import Site

SOCKETS = "workers"  # in the data directory
KNOCK_S = 1.0  # for a connection to a node that is silent
MOVES_PER_S = 8  # accounts that a node is given so that each has its share: each costs it some 50 ms of CPU
LOGINS_A_MOVE = 4  # two as a rule; the rest is for those who come anew


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of a process among the workers of one gateway."""

    index: int
    count: int
    ready: Callable[[], None]  # tell that clients are served
    rest: Callable[[], Awaitable[None]]  # tell that all requests are done, and wait until that is so of every worker


class Others:
    """The other nodes, or the other workers. `start()`, then `drain()` and `aclose()`."""

    def __init__(
        self,
        config: Config,
        metrics: Metrics,
        work: AccountWork,
        key: bytes,
        *,
        seat: Seat | None,
        shared: Shared | None,
    ) -> None:
        self._config, self._work, self._seat = config, work, seat
        self.mirror = shared.mirror if shared is not None else None
        self._leases = shared.leases if shared is not None else None
        self._seal = HopSeal(key)
        self._listener: Listener | None = None
        self.owners: Partition | Ownership
        if shared is not None:
            address = config.cluster.advertise or config.cluster.listen
            url = f"http://{address}"
            self.owners = Ownership(
                shared.leases,
                shared.signals,
                url,
                work,
                metrics,
                gone=lambda id: self.forwarder.cut(id),
                is_down=is_down,
                moves_per_s=_moves_per_s(config),
            )
            work.share(shared.signals)
        else:
            assert seat is not None
            self.owners = Partition(seat.index, seat.count, self._sockets)
        self.forwarder = Forwarder(self.owners, self._seal, metrics)

    @property
    def _sockets(self) -> Path:
        return self._config.store.data_dir / SOCKETS

    async def start(self, site: Site) -> None:
        """Listen to the others, and begin with what has to be done."""
        app, config = make_app(site, self._seal), self._config
        if isinstance(self.owners, Partition):
            await asyncio.to_thread(self._sockets.mkdir, mode=0o700, parents=True, exist_ok=True)
            path = Partition.socket(self._sockets, self.owners.index)
            self._listener = SocketListener(app, path, drain_s=config.http.drain_s)
        else:
            listen = config.cluster.listen
            self._listener = Listener(app, listen.host, listen.port, drain_s=config.http.drain_s)
        await self._listener.start()
        site.to_owner = self.forwarder.serve
        if isinstance(self.owners, Partition):
            await self._work.begin_all(self.owners.is_ours)
        else:
            await self.owners.start()

    def is_ours(self, account_id: str) -> bool:
        return self.owners.is_ours(account_id)

    def lease(self, account_id: str) -> Lease | None:
        return self.owners.lease(account_id) if isinstance(self.owners, Ownership) else None

    async def adopt(self, account_id: str, login_id: str) -> Lease | None:
        if self._leases is None or not isinstance(self.owners, Ownership):
            return None
        return await self._leases.adopt(account_id, self.owners.lease(login_id))

    def lose(self, account_id: str) -> None:
        if isinstance(self.owners, Ownership):
            self.owners.lose(account_id)

    async def drain(self) -> None:
        """Hand over what is this node's. The public listener takes no new connections any more, or will not soon."""
        if isinstance(self.owners, Ownership):
            await self.owners.drain(self._config.http.drain_s)

    async def aclose(self) -> None:
        if isinstance(self.owners, Partition):
            assert self._seat is not None
            await self._seat.rest()
        else:
            await asyncio.sleep(KNOWN_S)  # until then another node may send a request here, and must hear that it moved
        if self._listener is not None:
            await self._listener.stop()
        await self.forwarder.aclose()
        if isinstance(self.owners, Ownership):
            await self.owners.aclose()


def _moves_per_s(config: Config) -> int:
    slowest = min(upstream.logins_per_second for upstream in config.upstreams.values())
    return max(1, min(MOVES_PER_S, int(slowest / LOGINS_A_MOVE)))


async def is_down(url: str) -> bool:
    """Tell whether it is certain that nothing listens at a node's URL: its machine says so itself."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(KNOCK_S):
            _reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    return False
