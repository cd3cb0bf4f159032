"""Which nodes there are, this one among them, when several share a store.

Rule 1: this node's life ends `MARGIN_S` before the others may think so: one that cannot say that it is there, or was
        stopped for a while, does nothing as an owner any more.
Rule 2: a node is given up when its life is over; sooner where it is silent and nothing listens at its URL any more.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence

from gateway.store.api import BEAT_S, NODE_LIFETIME_S, LeaseStore, Node, StoreError

MARGIN_S = 1.5  # of NODE_LIFETIME_S: for clocks that run unevenly, and for what is half-way when the time is over
SILENT_S = 2.5  # then it is looked whether the node still listens
BEAT_AGAIN_S = 0.25  # after a beat that failed

log = logging.getLogger(__name__)


class Membership:
    """This node and the others. `join()`, then `beat()` for as long as it runs.

    `accounts` returns how many this node owns, or None when it takes no more. `gone` is called with the id of a node
    that is not there any more, `over` when this one's life is, with the reason, and `anew` when it has begun another
    under a new id. `is_down` tells whether it is certain that nothing listens at a URL.
    """

    def __init__(
        self,
        store: LeaseStore,
        url: str,
        *,
        accounts: Callable[[], int | None],
        gone: Callable[[str], None],
        over: Callable[[str], None],
        anew: Callable[[], None],
        is_down: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._store, self._url = store, url
        self._accounts, self._is_down = accounts, is_down
        self._gone, self._over, self._anew = gone, over, anew
        self.node = self._new_node()
        self.others: Sequence[Node] = ()
        self._until = 0.0  # its life ends then; by `time.monotonic`

    @property
    def is_alive(self) -> bool:
        return time.monotonic() < self._until

    async def join(self) -> None:
        """Come in. Raise `StoreError`."""
        await self._join(time.monotonic())
        await self._see_others()

    async def beat(self) -> None:
        """Say again and again that this node is there, and look which others are."""
        wait_s = BEAT_S
        while True:
            await asyncio.sleep(wait_s)
            reason = "this node was late"
            try:
                await self._beat_once()
                wait_s = BEAT_S
            except StoreError as error:
                wait_s, reason = BEAT_AGAIN_S, str(error)
            if not self.is_alive:
                self._over(reason)

    async def tell(self) -> None:
        """Tell the others now how many accounts this node owns, and look how many they do. Raise `StoreError`."""
        await self._store.beat(self.node, self._accounts())
        await self._see_others()

    async def _see_others(self) -> None:
        others = [node for node in await self._store.nodes() if node.id != self.node.id]
        gone = {node.id for node in self.others} - {node.id for node in others}
        self.others = others
        for id in gone:
            self._gone(id)

    async def leave(self) -> None:
        """Go. Raise `StoreError`."""
        await self._store.leave(self.node)

    async def _beat_once(self) -> None:
        began = time.monotonic()
        if await self._store.beat(self.node, self._accounts()):
            self._until = began + NODE_LIFETIME_S - MARGIN_S
        else:
            log.warning("this node was given up; it begins anew")
            self._until = 0.0
            self._over("this node was given up")
            self.node = self._new_node()
            await self._join(began)
            self._anew()
        await self._give_up_dead()
        await self._see_others()

    async def _join(self, began: float) -> None:
        await self._store.join(self.node)
        self._until = began + NODE_LIFETIME_S - MARGIN_S

    async def _give_up_dead(self) -> None:
        silent = [node for node in await self._store.silent(SILENT_S) if node.id != self.node.id]
        # At once: the next beat must not wait.
        down = await asyncio.gather(*(self._is_down(node.url) for node in silent))
        for node in itertools.compress(silent, down):
            log.warning("a node has ended without leaving", extra={"node": node.id, "url": node.url})
            await self._store.give_up(node, SILENT_S)

    def _new_node(self) -> Node:
        return Node(secrets.token_hex(8), self._url)
